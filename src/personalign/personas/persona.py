"""Who a model is asked to be: a YAML file each, validated, with a system prompt derived from it."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from personalign.errors import InputError, unknown
from personalign.records import Record

__all__ = ["DICHOTOMIES", "TRAITS", "TYPES", "Persona", "catalog", "load", "read"]

DICHOTOMIES = {"EI": "EI", "SN": "NS", "TF": "TF", "JP": "JP"}
"""Scale name → its positive and its negative letter; +1 is E, N, T, J."""

TRAITS = ("openness", "conscientiousness", "extraversion", "agreeableness", "neuroticism")

TYPES = tuple(e + s + t + j for e in "IE" for s in "SN" for t in "TF" for j in "JP")


class Persona(Record):
    """A persona: what it is, values and says, and where it stands on which scales.

    `traits` maps a scale (EI, SN, TF, JP, or a Big Five trait) to a position in [-1, 1];
    positive is E, N, T, J, or a high trait.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    framework: Literal["mbti", "big_five", "custom"]
    title: str
    version: int = 1
    licence: str
    source: str
    traits: dict[str, float]
    opposite: str | None = None
    identity: str
    values: tuple[str, ...] = Field(min_length=1)
    voice: tuple[str, ...] = Field(min_length=1)
    decides: str
    spends_time: str
    never: tuple[str, ...] = Field(min_length=1)

    @field_validator("traits")
    @classmethod
    def _known_scales(cls, traits: dict[str, float]) -> dict[str, float]:
        for scale, position in traits.items():
            if scale not in DICHOTOMIES and scale not in TRAITS:
                raise ValueError(f"unknown scale {scale!r}")
            if not -1 <= position <= 1:
                raise ValueError(f"{scale} is {position}, outside [-1, 1]")
        return traits

    @model_validator(mode="after")
    def _name_is_traits(self) -> Persona:
        if self.framework == "mbti" and self.letters() != self.name:
            raise ValueError(f"the traits spell {self.letters()!r}, the name is {self.name!r}")
        return self

    def letters(self) -> str:
        """The four letters that the traits spell, `x` where a position is 0 or missing."""
        return "".join(
            "x" if not (at := self.traits.get(scale, 0.0)) else poles[0] if at > 0 else poles[1]
            for scale, poles in DICHOTOMIES.items()
        )

    def system_prompt(self) -> str:
        """The persona as a system prompt. It names no type and no trait."""
        return "\n".join(
            [
                self.identity,
                f"What matters to you: {'; '.join(self.values)}.",
                f"How you speak: {'; '.join(self.voice)}.",
                self.decides,
                self.spends_time,
                f"You never: {'; '.join(self.never)}.",
                "Stay this person and answer whoever talks to you in a few sentences.",
            ]
        )


def read(path: Path) -> Persona:
    """A persona from a YAML file.

    Raises:
        InputError: naming the file, the field and what is wrong with it.
    """
    try:
        data: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        return Persona.model_validate(data)
    except OSError as e:
        raise InputError(f"cannot read persona {path}: {e.strerror}", "check the path") from e
    except yaml.YAMLError as e:
        raise InputError(f"{path} is not YAML: {' '.join(str(e).split())}", "mend the file") from e
    except ValidationError as e:
        first: Any = e.errors()[0]
        field = ".".join(map(str, first["loc"])) or "persona"
        remedy = "compare with the output of `personalign personas show INFP --yaml`"
        raise InputError(f"{path}: {field}: {first['msg']}", remedy) from e


def catalog() -> dict[str, Persona]:
    """All shipped personas by name: sixteen types, ten Big Five poles, custom examples."""
    return {p.name: p for p in map(read, _files())}


def _files() -> Iterator[Path]:
    folder = Path(str(resources.files("personalign.personas"))) / "catalog"
    return iter(sorted(folder.glob("*/*.yaml")))


def load(name: str) -> Persona:
    """A persona by its name in the catalogue, or from a path that ends in `.yaml`."""
    if name.endswith((".yaml", ".yml")):
        return read(Path(name))
    known = catalog()
    if name not in known:
        raise unknown("persona", name, known)
    return known[name]
