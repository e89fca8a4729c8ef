"""Is the persona there? A verdict per scale, with an interval, against base and midpoint.

A measure gives a position for each unit (a scene, an item) and scale, positive towards the scale's
positive pole. Two comparisons, each a mean over units with a 95 % interval
(`intervals.mean_over_units`: bootstrap, below eight units t):

- with `base`, the same units under the untouched model: has it moved?
- with the midpoint, for measures that have one (answers on -1 to 1): on which side does it stand?
  Log-probs in nats have none: a text may be likelier for reasons that are no trait.

A measure confirms where every comparison that it has lies on the target's side, and contradicts
where one lies on the other and none on the target's; all measures of all scales of the persona are
corrected together (`family`), so that at most 5 % of personas have a null scale that is confirmed
or contradicted. A scale is confirmed where one measure confirms and none contradicts, contradicted
where one contradicts and none confirms. A persona has *moved* where every scale is confirmed; free
text is judged in the same way, as a family of its own, and what a persona must show besides to be
called confirmed stands in `criteria`.

Units are random: the claim is about items and situations like these, not about these alone.
`power` says how often a true effect of a stated size would be confirmed with so many units.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import numpy as np
import pandas as pd
from scipy import stats

from personalign.analysis.contrasts import adjust
from personalign.errors import InputError
from personalign.personas import DICHOTOMIES, Persona
from personalign.psychometrics.criteria import Word, moved, own, shown, word
from personalign.psychometrics.criterion import Criterion, Spoken, not_asked
from personalign.psychometrics.family import corrected, power_of_all
from personalign.psychometrics.fluent import fluent
from personalign.psychometrics.holds import holds
from personalign.psychometrics.intervals import ALPHA, mean_over_units
from personalign.psychometrics.shifts import (
    ScaleVerdict,
    Shift,
    Standing,
    Stray,
    Verdict,
    shift_of,
    unit_mean,
)
from personalign.records import Condition, Record

__all__ = [
    "Criterion",
    "Margin",
    "ScaleVerdict",
    "Shift",
    "Spoken",
    "Standing",
    "Stray",
    "Verdict",
    "Verification",
    "Word",
    "verify",
]


class Margin(Record):
    """The persona's reply against its opposite's on the measure scenes.

    `mean` nats per token with its interval; `moved` is the share of scenes whose margin grew
    against base, `preferred` the share where the persona's reply is the likelier one; both with
    Wilson intervals (Wilson 1927).
    """

    scenes: int
    mean: float
    low: float
    high: float
    preferred: tuple[float, float, float]
    moved: tuple[float, float, float] | None


class Verification(Record):
    """Verdict on one persona under one condition.

    `word` is the verdict, by the `criteria` in their order (`criteria.word`). `scales` say whether
    it moved, by log-probs and self-report, and `spoken` whether it shows in free text: a family of
    its own. `margin` is what the persona's reply has over its opposite's, `before` what base gives
    it. `power` is the chance that all `scales` are confirmed, were each measure's true shift
    `family.EFFECT` standard deviations towards the target. `strays` are scales that moved, in
    log-probs, self-report or text, though the persona does not claim them.
    """

    persona: str
    condition: Condition
    word: Word
    criteria: tuple[Criterion, ...]
    scales: tuple[ScaleVerdict, ...]
    spoken: tuple[ScaleVerdict, ...] = ()
    margin: Margin | None
    before: Margin | None = None
    power: float | None = None
    strays: tuple[Stray, ...] = ()
    seed: int

    @property
    def confirmed(self) -> bool:
        """Whether its numbers may be read as the persona's."""
        return self.word == "confirmed"

    def criterion(self, name: str) -> Criterion:
        """What was found for one criterion."""
        return next(c for c in self.criteria if c.name == name)


def verify(
    persona: Persona,
    condition: Condition,
    base: Mapping[str, pd.DataFrame],
    asked: Mapping[str, pd.DataFrame],
    margins: tuple[pd.Series[float], pd.Series[float]] | None,
    seed: int,
    centred: Collection[str] = (),
    gains: pd.DataFrame | None = None,
    spoken: Mapping[str, tuple[Spoken, Spoken]] | None = None,
    smallest: Mapping[str, float] | None = None,
) -> Verification:
    """Verdict on a persona under a condition.

    Args:
        base: Measure → positions (unit × scale) of the untouched base.
        asked: The same under the condition. A measure without base is judged by the midpoint.
        margins: Persona's reply minus opposite's, per scene: base and condition.
        seed: Of the bootstrap.
        centred: Measures whose zero is a midpoint between the poles.
        gains: Situation × persona: how much likelier than under base its reply became.
        spoken: Measure of free text (`speech`, `holds`) → what base and condition said to the same
            prompts.
        smallest: Measure → the smallest shift that counts, in its unit; 0 where it names none.

    Raises:
        InputError: if no measure says anything on a scale of the persona, or a measure has
            neither base nor midpoint.
    """
    rng = np.random.default_rng(seed)
    least = smallest or {}
    scales = _scales(persona, base, asked, centred, rng, least)
    if not any(scale.shifts for scale in scales):
        raise InputError(f"nothing was measured on a scale of {persona.name!r}", "check the corpus")
    said = spoken or {}
    heard = _heard(persona, said.get("speech"), np.random.default_rng([seed, 1]), least)
    rng_strays = np.random.default_rng([seed, 3])
    texts = [{"speech": s.positions} for s in said.get("speech", ())] or [{}, {}]
    strays = _strays(persona, {**base, **texts[0]}, {**asked, **texts[1]}, rng_strays, least)
    criteria = (
        moved(scales, strays),
        not_asked("own", "no measure knows how likely replies became")
        if gains is None
        else own(gains, persona.name, np.random.default_rng([seed, 2])),
        *_text(persona, heard, said),
    )
    return Verification(
        persona=persona.name,
        condition=condition,
        word=word(criteria),
        criteria=criteria,
        scales=scales,
        spoken=heard,
        margin=None if margins is None else _margin(*margins, rng),
        before=None if margins is None else _margin(margins[0], margins[0], rng),
        strays=strays,
        power=power_of_all(tuple(tuple(s.units for s in scale.shifts) for scale in scales)),
        seed=seed,
    )


def _scales(
    persona: Persona,
    base: Mapping[str, pd.DataFrame],
    asked: Mapping[str, pd.DataFrame],
    centred: Collection[str],
    rng: np.random.Generator,
    smallest: Mapping[str, float],
) -> tuple[ScaleVerdict, ...]:
    """A verdict for each scale of the persona, by all these measures as one family."""
    targets = {scale: target for scale, target in persona.traits.items() if target}
    found = {
        scale: list(_measured(scale, float(np.sign(target)), base, asked, centred, rng, smallest))
        for scale, target in targets.items()
    }
    judged = iter(corrected([s for shifts in found.values() for s in shifts]))
    return tuple(
        _scale(scale, targets[scale], tuple(next(judged) for _ in shifts))
        for scale, shifts in found.items()
    )


def _heard(
    persona: Persona,
    spoken: tuple[Spoken, Spoken] | None,
    rng: np.random.Generator,
    smallest: Mapping[str, float],
) -> tuple[ScaleVerdict, ...]:
    """The scales that show in what was said, or do not; without those that no rater can tell."""
    if spoken is None:
        return ()
    base, asked = ({"speech": s.positions} for s in spoken)
    return tuple(s for s in _scales(persona, base, asked, (), rng, smallest) if s.shifts)


def _strays(
    persona: Persona,
    base: Mapping[str, pd.DataFrame],
    asked: Mapping[str, pd.DataFrame],
    rng: np.random.Generator,
    smallest: Mapping[str, float],
) -> tuple[Stray, ...]:
    """Scales that base and arm were placed on, that the persona does not claim, and that moved."""
    claimed = {scale for scale, target in persona.traits.items() if target}
    both = {name: after for name, after in asked.items() if name in base}
    scales = dict.fromkeys(str(scale) for after in both.values() for scale in after)
    found = [
        (scale, shift)
        for scale in scales
        if scale not in claimed
        for shift in _measured(scale, 1.0, base, both, (), rng, smallest)
    ]
    p = adjust([min(1.0, 2 * min(s.towards[0], s.away[0])) for _, s in found])
    return tuple(
        Stray(
            scale=scale,
            towards=_pole(scale, shift.shift),
            measure=shift.measure,
            shift=shift.shift,
            low=shift.low,
            high=shift.high,
            p=adjusted,
        )
        for (scale, shift), adjusted in zip(found, p, strict=True)
        if adjusted is not None and adjusted <= ALPHA
    )


def _text(
    persona: Persona,
    heard: tuple[ScaleVerdict, ...],
    said: Mapping[str, tuple[Spoken, Spoken]],
) -> tuple[Criterion, Criterion, Criterion]:
    """What free text says: is it shown, does it hold, is it fluent."""
    sides = {scale: 1 if target > 0 else -1 for scale, target in persona.traits.items() if target}
    openings, forms = said.get("speech"), said.get("holds")
    silent = "the measure `{}` was not asked"
    held = not_asked("holds", silent.format("holds")) if forms is None else holds(*forms, sides)
    if openings is None:
        silent = silent.format("speech")
        return not_asked("shown", silent), held, not_asked("fluent", silent)
    lost = [scale for scale in sides if scale not in {found.scale for found in heard}]
    named = mean_over_units(openings[1].named, np.random.default_rng(0))
    return shown(heard, lost, named), held, fluent(openings, forms)


def _measured(
    scale: str,
    side: float,
    base: Mapping[str, pd.DataFrame],
    asked: Mapping[str, pd.DataFrame],
    centred: Collection[str],
    rng: np.random.Generator,
    smallest: Mapping[str, float],
) -> Iterator[Shift]:
    """What each measure that has the scale says of it."""
    for measure, after in asked.items():
        before = base.get(measure)
        if scale not in after or (before is not None and scale not in before):
            continue
        if before is None and measure not in centred:
            raise InputError(f"{measure!r} has neither base nor midpoint", "measure the base")
        start = None if before is None else before[scale]
        least = smallest.get(measure, 0.0)
        found = shift_of(measure, start, after[scale], side, measure in centred, rng, least)
        if found is not None:
            yield found


def _scale(scale: str, target: float, shifts: tuple[Shift, ...]) -> ScaleVerdict:
    return ScaleVerdict(
        scale=scale,
        target=_pole(scale, target),
        positive=target > 0,
        shifts=shifts,
        verdict=_together({s.verdict for s in shifts}),
    )


def _pole(scale: str, side: float) -> str:
    if scale in DICHOTOMIES:
        return DICHOTOMIES[scale][0 if side > 0 else 1]
    return "high" if side > 0 else "low"


def _margin(base: pd.Series[float], asked: pd.Series[float], rng: np.random.Generator) -> Margin:
    mean = unit_mean(asked, rng)
    same = base.index.equals(asked.index) and base.equals(asked)
    return Margin(
        scenes=len(asked),
        mean=mean.value,
        low=mean.low,
        high=mean.high,
        preferred=_share(asked > 0),
        moved=None if same else _share(asked > base),
    )


def _share(hits: pd.Series[bool]) -> tuple[float, float, float]:
    result = stats.binomtest(int(hits.sum()), len(hits))
    interval = result.proportion_ci(1 - ALPHA, method="wilson")
    return float(hits.mean()), float(interval.low), float(interval.high)


def _together(verdicts: set[Verdict]) -> Verdict:
    if "confirmed" in verdicts and "contradicted" not in verdicts:
        return "confirmed"
    if "contradicted" in verdicts and "confirmed" not in verdicts:
        return "contradicted"
    return "indeterminate"
