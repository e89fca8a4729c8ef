"""What is asked: one construct, measured in one way, and everything that is known of it.

A measure is one class in one file of this room; config, plan, verdict, report and analysis read it
here and hold no list of names. To add one, write its file.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import ClassVar, Literal

import pandas as pd

from personalign.corpus import scenes
from personalign.errors import ModelError
from personalign.judges.embedding import Encoder, packaged_encoder
from personalign.measures.settings import Measures
from personalign.models.respondent import Respondent
from personalign.personas import catalog
from personalign.progress import Progress, silent
from personalign.psychometrics import speech
from personalign.psychometrics.criterion import Spoken
from personalign.psychometrics.inventory import Inventory
from personalign.psychometrics.scoring import answers_of
from personalign.psychometrics.speech import SpeechRater
from personalign.records import Arm, Scene, State, Transcript

__all__ = ["MEASURES", "Margins", "Material", "Measure", "Scored"]

ENCODED = 40
"""Situations that the rater of sentence embeddings learns from: encoding takes a minute."""

_TEACHING = Lock()

MEASURES: dict[str, type[Measure]] = {}
"""Every measure by its name, in the order in which it was defined."""

Margins = tuple["pd.Series[float]", "pd.Series[float]"]
"""By sample, under base and under an arm: own reply less its counterpart's, nats per token."""

Scored = tuple[str, str, str, float | None, State]
"""Sample, cluster, metric, value, state."""


@dataclass(frozen=True)
class Material:
    """What measures are made of.

    Attributes:
        settings: How much of what is asked.
        scenes: The corpus; what measures is of split `measure`.
        own_scenes: Persona → what it alone is measured on, where it has pairs of its own.
        seed: The study's.
    """

    settings: Measures
    scenes: Sequence[Scene]
    own_scenes: Mapping[str, Sequence[Scene]]
    seed: int

    @property
    def built(self) -> list[Scene]:
        """What raters of text learn from."""
        return [scene for scene in self.scenes if scene.split == "build"]

    @cached_property
    def encoder(self) -> Encoder | None:
        """Of sentences; None where none is installed."""
        with suppress(ModelError):
            return packaged_encoder()
        return None

    @property
    def raters(self) -> Sequence[SpeechRater]:
        """Of free text: one of words, and one of sentence embeddings where there is an encoder.

        Arms are asked at the same time, and raters are taught once.
        """
        with _TEACHING:
            return self._raters

    @cached_property
    def _raters(self) -> Sequence[SpeechRater]:
        taught = [speech.train(self.built, catalog())]
        if self.encoder is not None:
            few = scenes.select(self.built, "build", ENCODED)
            taught.append(speech.train(few, catalog(), self.encoder))
        return taught


class Measure(ABC):
    """One construct, measured in one way.

    Attributes:
        name: As a study file names it.
        about: What it tells: whether the persona is there, what it changed, or how well it speaks.
        metrics: What its scores of a change are called, as `primary` and `equivalence` name them.
        by_default: A study that names no measures takes it.
        centred: It has a midpoint between the poles of a scale, so that base is not needed.
        voice: It speaks in the verdict.
        smallest: The smallest shift of a scale that counts as one, in its unit.
        text: What it says in the verdict is of free text, apart from what moved.
        varied: It asks about the same items in several wordings.
        beside: Name of the measure that it is compared with, and that must be asked too.
    """

    name: ClassVar[str]
    about: ClassVar[Literal["persona", "change", "quality"]]
    metrics: ClassVar[tuple[str, ...]] = ()
    by_default: ClassVar[bool] = False
    centred: ClassVar[bool] = False
    voice: ClassVar[bool] = True
    smallest: ClassVar[float] = 0.0
    text: ClassVar[bool] = False
    varied: ClassVar[bool] = False
    beside: ClassVar[str | None] = None

    def __init_subclass__(cls) -> None:
        if "name" in vars(cls):
            MEASURES[cls.name] = cls

    def __init__(self, material: Material) -> None:
        self.material = material

    @property
    def task(self) -> str:
        """Its name in the table of scores, where that depends on the data."""
        return self.name

    @property
    @abstractmethod
    def size(self) -> int:
        """How many samples an arm is asked."""

    @abstractmethod
    def subject(self, arm: Arm) -> object:
        """The content that is asked; a change of it redoes the measure."""

    @abstractmethod
    def ask(
        self, who: Respondent, arm: Arm, progress: Progress = silent
    ) -> Iterator[Scored | Transcript]:
        """Scores, and what was said where it is kept to be read; `progress` counts samples."""

    def positions(self, rows: pd.DataFrame) -> pd.DataFrame | None:
        """Unit × scale from an arm's rows of this measure; None where it knows no scales."""
        return None

    def margins(
        self, base: pd.DataFrame, after: pd.DataFrame, own: str, other: str
    ) -> Margins | None:
        """Where the persona `own` stands against `other`, from rows of base and of an arm."""
        return None

    def gains(self, base: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame | None:
        """Situation × persona whose reply it is: nats per token above base, from rows of both."""
        return None

    def spoken(self, rows: pd.DataFrame) -> Spoken | None:
        """What was said to each prompt, from an arm's rows, where free text is rated."""
        return None

    @property
    def key(self) -> pd.DataFrame | None:
        """Item → `scale` and `sign`, where there are items."""
        return None


class Answered(Measure):
    """A measure whose scores are answers to the items of an inventory.

    Attributes:
        way: What its metrics begin with; see `psychometrics.scoring.answers_of`.
    """

    about = "persona"
    centred = True
    smallest = 0.1  # of −1 to 1: a third of a step of seven, or five points of probability
    way: ClassVar[str]

    @property
    @abstractmethod
    def inventory(self) -> Inventory:
        """Whose items are asked."""

    @property
    def size(self) -> int:
        return len(self.inventory.items)

    def subject(self, arm: Arm) -> object:
        return self.inventory

    @property
    def scale(self) -> dict[str, str]:
        """Item → its scale, which is the cluster of its answers."""
        return {item.id: item.scale for item in self.inventory.items}

    def answers(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Answers as `psychometrics.scoring` reads them."""
        return answers_of(rows, self.way)

    def positions(self, rows: pd.DataFrame) -> pd.DataFrame | None:
        from personalign.psychometrics.positions import answer_positions

        return answer_positions(self.answers(rows), self.inventory)

    @property
    def key(self) -> pd.DataFrame | None:
        from personalign.psychometrics.scoring import key_of

        return key_of(self.inventory)
