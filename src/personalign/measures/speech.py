"""Does it show in what it says? Free replies to other people's openings, rated blind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from importlib import resources
from threading import Lock

import numpy as np
import pandas as pd
import yaml

from personalign.corpus import scenes
from personalign.errors import ModelError
from personalign.evals.strata import stratified
from personalign.judges.coherence import repetition
from personalign.judges.embedding import packaged_encoder
from personalign.measures.measure import Measure, Scored
from personalign.models.local import Generation, Sampling
from personalign.models.respondent import Progress, Respondent, seed_of, silent
from personalign.personas import DICHOTOMIES, TYPES, catalog
from personalign.psychometrics import speech
from personalign.psychometrics.criteria import Spoken
from personalign.psychometrics.speech import SpeechRater
from personalign.records import Arm, Message, Record, Scene, State, Transcript

__all__ = ["Opening", "Speech", "openings"]

SAMPLING = Sampling(max_new_tokens=128, temperature=0.7, top_p=0.9)
"""As people talk to a companion: drawn, and long enough to run to an end."""

ENCODED = 40
"""Situations that the rater of sentence embeddings learns from: encoding takes a minute."""

NAMED = "named"
MANNER = ("repeated", "ended", "empty", "tokens")
RATERS = ("words", "sentences")
_TEACHING = Lock()  # arms are asked at the same time, and raters are taught once


class Opening(Record):
    """How somebody starts a conversation."""

    id: str
    area: str
    text: str


def openings(limit: int | None = None, seed: int = 0) -> list[Opening]:
    """The shipped openings, by a second writer; a part of them is drawn by area."""
    text = (resources.files("personalign.measures") / "openings.yaml").read_text(encoding="utf-8")
    found = [Opening.model_validate(o) for o in yaml.safe_load(text)["openings"]]
    return stratified(found, lambda opening: opening.area, limit, seed)


class Speech(Measure):
    """Replies to openings by a second writer, several draws each, placed on the scales by raters
    of different make that saw neither; base and arms share prompts and random numbers."""

    name = "speech"
    about = "persona"
    by_default = True
    text = True

    @cached_property
    def openings(self) -> list[Opening]:
        """What is said to it."""
        return openings(self.material.settings.openings, self.material.seed)

    @property
    def size(self) -> int:
        return len(self.openings) * self.material.settings.draws

    @property
    def built(self) -> list[Scene]:
        """What the raters learn from."""
        return [scene for scene in self.material.scenes if scene.split == "build"]

    def subject(self, arm: Arm) -> object:
        return [self.openings, self.material.settings.draws, repr(SAMPLING), self.built]

    @cached_property
    def raters(self) -> Sequence[SpeechRater]:
        """One of words, and one of sentence embeddings where an encoder is installed."""
        built = self.built
        raters = [speech.train(built, catalog())]
        with suppress(ModelError):  # no encoder installed: the metrics say who rated
            few = scenes.select(built, "build", ENCODED)
            raters.append(speech.train(few, catalog(), packaged_encoder()))
        return raters

    def ask(
        self, who: Respondent, arm: Arm, progress: Progress = silent
    ) -> Iterator[Scored | Transcript]:
        with _TEACHING:
            raters = self.raters
        for k in range(self.material.settings.draws):
            prompts = [[Message(role="user", content=o.text)] for o in self.openings]
            seeds = [seed_of(self.material.seed, prompt, k) for prompt in prompts]
            drawn = who.draw(prompts, SAMPLING, seeds, progress)
            yield from self._spoken(drawn, k)
            yield from self._rated(raters, drawn, arm, k)
            if k == 0:
                yield from self._kept(prompts, drawn, arm)

    def _rated(
        self, raters: Sequence[SpeechRater], drawn: Sequence[Generation], arm: Arm, k: int
    ) -> Iterator[Scored]:
        said = [reply.text for reply in drawn]
        for rater in raters:
            found = rater(said)
            for scale, values in found.items():
                yield from self._rows(f"{rater.name}:{scale}:{k}", said, values)
            if arm.persona in TYPES and set(DICHOTOMIES) <= set(found):
                right = [float(name == arm.persona) for name in _types(found)]
                yield from self._rows(f"{NAMED}:{rater.name}:{k}", said, right)

    def _spoken(self, drawn: Sequence[Generation], k: int) -> Iterator[Scored]:
        """How it speaks, whoever speaks: what the verdict compares with base."""
        for opening, reply in zip(self.openings, drawn, strict=True):
            found = {
                "tokens": float(reply.tokens),
                "ended": float(reply.ended == "stop"),
                "empty": float(not reply.text.strip()),
                "repeated": repetition(reply.text),
            }
            for metric, value in found.items():
                yield opening.id, opening.id, f"{metric}:{k}", value, "ok"

    def _rows(
        self, metric: str, said: Sequence[str], values: Sequence[float] | np.ndarray
    ) -> Iterator[Scored]:
        for opening, text, value in zip(self.openings, said, values, strict=True):
            known = bool(text.strip())
            state: State = "ok" if known else "unparsed"
            yield opening.id, opening.id, metric, float(value) if known else None, state

    def _kept(
        self, prompts: Sequence[Sequence[Message]], drawn: Sequence[Generation], arm: Arm
    ) -> Iterator[Transcript]:
        for opening, prompt, reply in zip(self.openings, prompts, drawn, strict=True):
            yield Transcript(
                persona=arm.persona,
                condition=arm.condition,
                task=self.task,
                sample=opening.id,
                prompt=tuple(prompt),
                reply=reply.text,
                tokens=reply.tokens,
                cut=reply.ended == "length",
                seed=reply.seed,
            )

    def positions(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Opening × scale, −1 to 1: twice the probability of the positive pole, less one; the mean
        over raters of the means over draws."""
        parts = rows["metric"].str.split(":", expand=True).reindex(columns=range(3))
        placed = rows.assign(rater=parts[0], scale=parts[1])[parts[0].isin(RATERS)]
        by_rater = placed.groupby(["sample", "rater", "scale"])["value"].mean()
        found: pd.DataFrame = by_rater.groupby(["sample", "scale"]).mean().unstack("scale")
        return 2 * found.reindex([o.id for o in self.openings]) - 1

    def spoken(self, rows: pd.DataFrame) -> Spoken:
        kind = rows["metric"].str.split(":").str[0]
        means = rows.groupby(["sample", kind])["value"].mean().unstack()
        means = means.reindex([o.id for o in self.openings], columns=[*MANNER, NAMED])
        return Spoken(self.positions(rows), means[list(MANNER)], means[NAMED].dropna())


def _types(found: Mapping[str, np.ndarray]) -> list[str]:
    """The likeliest of the sixteen types of each text, its letters taken as independent."""
    chosen = [np.where(found[scale] > 0.5, *poles) for scale, poles in DICHOTOMIES.items()]
    return ["".join(letters) for letters in zip(*chosen, strict=True)]
