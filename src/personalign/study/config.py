"""The study file: which personas on which base, from which corpus, measured how."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from personalign.errors import InputError, unknown
from personalign.files import read_document
from personalign.measures import Measures, chosen
from personalign.models import embedded
from personalign.models.thoughts import Thinking, as_thinking
from personalign.personas import Persona, load
from personalign.records import BASE, Arm, Condition, Record
from personalign.training.config import TrainingConfig

__all__ = ["PairFiles", "StudyConfig", "read_config"]


class PairFiles(Record):
    """Preference pairs that were generated for a persona (JSON Lines)."""

    build: Path
    """Pairs that train it."""
    measure: Path | None = None
    """Pairs on other situations: does it prefer the chosen reply there?"""
    skip_bad: bool = False
    """Leave out rows that are no pair, each told with its line; else the first one stops."""


class StudyConfig(Record):
    """One study: which personas on which base, from which corpus, measured how."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    base: str = embedded.EMBEDDED
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    thinking: Thinking = "off"
    """Do replies of a base that can think begin with a thought? Whole replies are trained and
    scored as they follow a shut one."""
    corpus: str = "starter/mbti"
    build_scenes: int | None = Field(None, ge=1)
    forms: float = Field(1 / 3, ge=0, le=1)
    """Share of the corpus's pairs that ask for a list, an e-mail or JSON, both replies put in it
    alike; pairs of one's own stay as they are."""
    pairs: dict[str, PairFiles] = Field(default_factory=dict)
    """Personas that are trained from generated pairs, not from the corpus."""
    adapters: dict[str, Path] = Field(default_factory=dict)
    """Personas whose adapter is there already, such as a composed one: taken, not trained."""
    personas: tuple[str, ...] = Field(min_length=1)
    """Names of the catalogue, or paths of persona files."""
    conditions: tuple[Condition, ...] = tuple(
        map(Condition, ("base", "prompted", "adapter", "prompted+adapter"))
    )
    training: TrainingConfig = TrainingConfig()
    neutral: Path | None = None
    """Prompts, one a line, on which `training.kl` holds to the base; the shipped ones if empty."""
    measures: Measures = Measures()
    strength: float = Field(1.0, ge=0, le=2)
    """How strongly adapters answer: 0 is the base, 1 as they were trained; DoRA has only 1."""
    seed: int = 0

    @field_validator("thinking", mode="before")
    @classmethod
    def _on_is_no_boolean(cls, value: object) -> object:
        return as_thinking(value) if isinstance(value, bool) else value

    @model_validator(mode="after")
    def _adapters_have_a_strength(self) -> StudyConfig:
        if self.training.method == "full" and (self.adapters or self.strength != 1):
            raise ValueError("with method full there are whole models: no adapters, no strength")
        if self.training.lora.dora and self.strength != 1 and {*self.personas} - {*self.adapters}:
            raise ValueError("strength is 1 with lora.dora: DoRA has no other")
        return self

    def skipping_bad(self) -> StudyConfig:
        """The same study, whose generated pairs may hold rows that are none."""
        pairs = {n: f.model_copy(update={"skip_bad": True}) for n, f in self.pairs.items()}
        return self.model_copy(update={"pairs": pairs})

    def arms(self) -> list[Arm]:
        """Base first, then every persona under every other condition."""
        rest = [c for c in self.conditions if c.parts]
        return [BASE] + [Arm(persona=p, condition=c) for p in self.catalogue() for c in rest]

    def catalogue(self) -> dict[str, Persona]:
        """The study's personas by name.

        Raises:
            InputError: for a name that is no persona, or pairs or an adapter for one that the study
                lacks.
        """
        found = {p.name: p for p in map(load, self.personas)}
        for key, named in (("pairs", self.pairs), ("adapters", self.adapters)):
            if strange := [name for name in named if name not in found]:
                raise unknown("persona", strange[0], found, key)
        return found


def read_config(path: Path) -> StudyConfig:
    """A study from a YAML file.

    Raises:
        InputError: naming the file, the key, its place and the nearest valid one.
    """
    try:
        config = StudyConfig.model_validate(read_document(path).data)
    except ValidationError as e:
        raise _bad_key(path, e) from e
    config.catalogue()  # a wrong name is said before anything heavy is loaded
    try:
        chosen(config.measures)
    except InputError as e:
        raise InputError(f"{path}: {e.what}", e.remedy) from e
    return config


def _bad_key(path: Path, error: ValidationError) -> InputError:
    first: Any = error.errors()[0]
    place = [str(part) for part in first["loc"]]
    if first["type"] == "extra_forbidden":
        where = f"{path}, {'.'.join(place[:-1]) or 'top level'}"
        return unknown("key", place[-1], StudyConfig.keys_at(place[:-1]), where)
    if first["type"] == "condition":
        return InputError(f"{first['ctx']['what']} in {path}", first["ctx"]["remedy"])
    if first["type"] == "literal_error":
        expected = str(first["ctx"]["expected"]).replace("'", "").replace(" or ", ", ").split(", ")
        return unknown(
            place[-2] if place[-1].isdigit() else place[-1],
            str(first["input"]),
            expected,
            str(path),
        )
    return InputError(f"{path}: {'.'.join(place) or 'study'}: {first['msg']}", "mend the value")
