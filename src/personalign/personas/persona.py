"""Who a model is asked to be: a YAML file each, validated, with a system prompt derived from it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from personalign.errors import unknown
from personalign.files import read_document
from personalign.records import Record

__all__ = ["DICHOTOMIES", "TRAITS", "TYPES", "Persona", "catalog", "load", "read"]

DICHOTOMIES = {"EI": "EI", "SN": "NS", "TF": "TF", "JP": "JP"}
"""Scale name → its positive and its negative letter; +1 is E, N, T, J."""

TRAITS = ("openness", "conscientiousness", "extraversion", "agreeableness", "neuroticism")

TYPES = tuple(e + s + t + j for e in "IE" for s in "SN" for t in "TF" for j in "JP")


Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Persona(Record):
    """A persona: what it is, values and says, and where it stands on which scales.

    What a field says of itself here is the comment above it in a new persona file.
    """

    model_config = ConfigDict(use_attribute_docstrings=True)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    """What commands, files and reports call it: letters, digits, `-` and `_`."""
    framework: Literal["mbti", "big_five", "custom"]
    """`custom`; `mbti` where the name is a type that the traits spell, `big_five` for a pole."""
    title: Text
    """A few words for lists and reports. The model never sees them."""
    version: int = 1
    """Count it up with every change of the text."""
    licence: Text
    """Who may use this text: the identifier of a licence, or plain words."""
    source: Text
    """Who wrote it, and after what."""
    traits: dict[str, float]
    """Where it stands, from -1 to 1: what verification tests, and the model never sees. EI, SN, TF
    and JP are positive for E, N, T and J, a Big Five trait where it is high. Leave out scales that
    you claim nothing about, or leave them at 0."""
    opposite: Text | None = None
    """The persona whose replies are rejected in training: a name of the catalogue or a YAML file.
    `null` where there is none; a recipe of `personalign corpus build` can name one too."""
    identity: Text
    """Who this is, told to itself in one to three sentences. Name no type and no trait."""
    values: tuple[Text, ...] = Field(min_length=1)
    """What matters to it: short phrases, which follow "What matters to you:" in the prompt."""
    voice: tuple[Text, ...] = Field(min_length=1)
    """How it talks (length, words, pictures, questions): phrases that follow "How you speak:"."""
    decides: Text
    """How it comes to a decision, as a sentence that begins with "You"."""
    spends_time: Text
    """What it does with its days, as a sentence that begins with "You"."""
    never: tuple[Text, ...] = Field(min_length=1)
    """What it does not do, its safe limits included: phrases that follow "You never:"."""

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
    remedy = "compare with the output of `personalign personas show INFP --yaml`"
    return read_document(path).as_record(Persona, remedy)


def catalog() -> dict[str, Persona]:
    """All shipped personas by name: sixteen types, ten Big Five poles, custom examples."""
    return {p.name: p for p in _shipped()}


@cache
def _shipped() -> tuple[Persona, ...]:
    return tuple(map(read, _files()))


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
