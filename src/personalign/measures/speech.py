"""Does it show in what it says? Free replies to other people's openings, rated blind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, cached_property
from importlib import resources
from typing import Any

import numpy as np
import pandas as pd
import yaml

from personalign.corpus import scenes
from personalign.corpus.faults import FAULTS
from personalign.errors import InputError
from personalign.evals.strata import stratified
from personalign.judges.coherence import repetition
from personalign.judges.embedding import Encoder
from personalign.measures.measure import Measure, Scored
from personalign.models.local import Generation
from personalign.models.respondent import Candidates, Respondent, seed_of
from personalign.models.sampling import Sampling
from personalign.personas import DICHOTOMIES, TYPES
from personalign.progress import Progress, silent
from personalign.psychometrics.criterion import Spoken
from personalign.psychometrics.holds import SMALLEST
from personalign.records import Arm, Message, Record, State, Transcript

__all__ = ["DRAWN", "Opening", "Speech", "openings", "shipped"]

DRAWN = Sampling(max_new_tokens=128, temperature=0.7, top_p=0.9)
"""As people talk to a companion: drawn, and long enough to run to an end."""

GREEDY = replace(DRAWN, temperature=0.0, top_p=1.0)

SHIPPED = "shipped"
NAMED = "named"
RATERS = ("words", "sentences")


class Opening(Record):
    """How somebody starts a conversation.

    `of` is the opening that it puts in another way, as `json/work-01` is of `work-01`.
    """

    id: str
    area: str
    text: str
    of: str = ""

    @property
    def prompt(self) -> list[Message]:
        """What is asked."""
        return [Message(role="user", content=self.text)]

    @property
    def cluster(self) -> str:
        """The opening itself, however it is put."""
        return self.of or self.id


@cache
def shipped() -> dict[str, Any]:
    """The file of openings, and of ways to put them."""
    text = (resources.files("personalign.measures") / "openings.yaml").read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def openings(limit: int | None = None, seed: int = 0, source: str = SHIPPED) -> list[Opening]:
    """Openings by a second writer, or those of a source of situations (`corpus.scenes.gather`); a
    part of them is drawn by area."""
    if source == SHIPPED:
        found = [Opening.model_validate(o) for o in shipped()["openings"]]
    else:
        situations = scenes.gather(source, measure=1)
        found = [Opening(id=s.id, area=s.area, text=s.prompt[-1].content) for s in situations]
    return stratified(found, lambda opening: opening.area, limit, seed)


class Speech(Measure):
    """Replies to openings by a second writer, one greedy and others drawn, placed on the scales by
    raters of different make that saw neither; base and arms share prompts and random numbers."""

    name = "speech"
    about = "persona"
    by_default = True
    text = True
    smallest = SMALLEST

    @cached_property
    def openings(self) -> list[Opening]:
        """What is said to it."""
        return self.some(self.material.settings.openings)

    def some(self, limit: int | None) -> list[Opening]:
        """So many openings of the study's source, by area.

        Raises:
            InputError: for one that personas and raters are trained on.
        """
        source = self.material.settings.openings_from
        built = {scene.prompt[-1].content for scene in self.material.built}
        found = openings(limit, self.material.seed, source)
        if seen := [opening.text for opening in found if opening.text in built]:
            raise InputError(
                f"measures.openings_from: {seen[0]!r} of {source!r} is a situation that trains",
                "name openings by other people, such as `shipped`",
            )
        return found

    @property
    def samplings(self) -> Sequence[Sampling]:
        """How each is answered, in turn."""
        return [GREEDY, *[DRAWN] * (self.material.settings.draws - 1)]

    @property
    def size(self) -> int:
        return len(self.openings) * len(self.samplings)

    def subject(self, arm: Arm) -> object:
        return [self.openings, list(map(repr, self.samplings)), self.material.built]

    def ask(
        self, who: Respondent, arm: Arm, progress: Progress = silent
    ) -> Iterator[Scored | Transcript]:
        for k, sampling in enumerate(self.samplings):
            prompts = [opening.prompt for opening in self.openings]
            seeds = [seed_of(self.material.seed, prompt, k) for prompt in prompts]
            drawn = who.draw(prompts, sampling, seeds, progress)
            for metric, values in (self._placed(drawn, arm) | self.manner(drawn, who)).items():
                yield from self._rows(f"{metric}:{k}", values)
            if k == 0:
                yield from self._kept(drawn, arm)

    def _placed(self, drawn: Sequence[Generation], arm: Arm) -> dict[str, Sequence[float | None]]:
        """Metric → value of each reply, None of an empty one: who is heard in it."""
        said = [reply.text for reply in drawn]
        found: dict[str, Sequence[float] | np.ndarray] = {}
        for rater in self.material.raters:
            heard = rater(said)
            found |= {f"{rater.name}:{scale}": values for scale, values in heard.items()}
            if arm.persona in TYPES and set(DICHOTOMIES) <= set(heard):
                right = np.array([float(name == arm.persona) for name in _types(heard)])
                found[f"{NAMED}:{rater.name}"] = right
        return {
            metric: [
                float(x) if text.strip() else None for x, text in zip(values, said, strict=True)
            ]
            for metric, values in found.items()
        }

    def manner(
        self, drawn: Sequence[Generation], who: Respondent
    ) -> dict[str, Sequence[float | None]]:
        """Metric → value of each reply: how it speaks, whoever speaks (`fluent.FIGURES`); NaN where
        nothing is asked of it."""
        said = [reply.text for reply in drawn]
        found: dict[str, Sequence[float | None]] = {
            "length": [float(reply.tokens) for reply in drawn],
            "ended": [float(reply.ended == "stop") for reply in drawn],
            "empty": [float(not text.strip()) for text in said],
            "repeated": [repetition(text) for text in said],
            "foreign": [float(FAULTS["other_languages"](text) is not None) for text in said],
            "surprise": self._surprise(said, who.base),
        }
        if self.material.encoder is not None:
            found["fit"] = self._fit(said, self.material.encoder)
        return found

    def _surprise(self, said: Sequence[str], base: Respondent) -> list[float | None]:
        """Nats a token of each reply under base."""
        asked = [
            Candidates(opening.prompt, [text], whole=False)
            for opening, text in zip(self.openings, said, strict=True)
            if text.strip()
        ]
        rated = iter(base.score(asked))
        return [-float(next(rated)[0].mean()) if text.strip() else None for text in said]

    def _fit(self, said: Sequence[str], encode: Encoder) -> list[float | None]:
        """Cosine of each reply to its own prompt, less the mean to the others."""
        alike = encode(said) @ encode([opening.text for opening in self.openings]).T
        own = np.diag(alike)
        beside = own - (alike.sum(axis=1) - own) / (len(said) - 1)
        return [float(x) if text.strip() else None for x, text in zip(beside, said, strict=True)]

    def _rows(self, metric: str, values: Sequence[float | None]) -> Iterator[Scored]:
        for opening, value in zip(self.openings, values, strict=True):
            if value is not None and np.isnan(value):
                continue
            state: State = "unparsed" if value is None else "ok"
            yield opening.id, opening.cluster, metric, value, state

    def _kept(self, drawn: Sequence[Generation], arm: Arm) -> Iterator[Transcript]:
        for opening, reply in zip(self.openings, drawn, strict=True):
            yield Transcript(
                persona=arm.persona,
                condition=arm.condition,
                task=self.task,
                sample=opening.id,
                prompt=tuple(opening.prompt),
                reply=reply.text,
                tokens=reply.tokens,
                cut=reply.ended == "length",
                seed=reply.seed,
            )

    def positions(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Opening × scale, −1 to 1: twice the probability of the positive pole, less one; the mean
        over raters of the means over replies."""
        parts = rows["metric"].str.split(":", expand=True).reindex(columns=range(3))
        placed = rows.assign(rater=parts[0], scale=parts[1])[parts[0].isin(RATERS)]
        by_rater = placed.groupby(["sample", "rater", "scale"])["value"].mean()
        found: pd.DataFrame = by_rater.groupby(["sample", "scale"]).mean().unstack("scale")
        return 2 * found.reindex([o.id for o in self.openings]) - 1

    def spoken(self, rows: pd.DataFrame) -> Spoken:
        parts = rows["metric"].str.rsplit(":", n=1, expand=True).reindex(columns=range(2))
        kind = parts[0].str.partition(":")[0]
        greedy = (kind == "repeated") & (parts[1] == "0") & (self.samplings[0] == GREEDY)
        means = rows.groupby(["sample", kind.mask(greedy, "looped")])["value"].mean().unstack()
        means = means.reindex([o.id for o in self.openings]).dropna(axis="columns", how="all")
        named = means[NAMED].dropna() if NAMED in means else pd.Series(dtype=float)
        manner = means.drop(columns=[NAMED, *RATERS], errors="ignore")
        return Spoken(self.positions(rows), manner, named)


def _types(found: Mapping[str, np.ndarray]) -> list[str]:
    """The likeliest of the sixteen types of each text, its letters taken as independent."""
    chosen = [np.where(found[scale] > 0.5, *poles) for scale, poles in DICHOTOMIES.items()]
    return ["".join(letters) for letters in zip(*chosen, strict=True)]
