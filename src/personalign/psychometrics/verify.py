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
where one contradicts and none confirms. A persona is confirmed where every scale is confirmed, and
contradicted where one is contradicted; otherwise it is indeterminate.

Units are random: the claim is about items and situations like these, not about these alone.
`power` says how often a true effect of a stated size would be confirmed with so many units.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from personalign.errors import InputError
from personalign.personas import DICHOTOMIES, Persona
from personalign.psychometrics.family import corrected, power_of_all
from personalign.psychometrics.intervals import ALPHA
from personalign.psychometrics.shifts import Shift, Standing, Verdict, shift_of, unit_mean
from personalign.records import Condition, Record

__all__ = ["Margin", "ScaleVerdict", "Shift", "Standing", "Verdict", "Verification", "verify"]


class ScaleVerdict(Record):
    """What all measures together say of one scale; `target` is the pole that was asked for."""

    scale: str
    target: str
    shifts: tuple[Shift, ...]
    verdict: Verdict


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

    `margin` is what the persona's reply has over its opposite's, `before` what base gives it.
    `power` is the chance that all its scales are confirmed, were each measure's true shift
    `family.EFFECT` standard deviations towards the target.
    """

    persona: str
    condition: Condition
    scales: tuple[ScaleVerdict, ...]
    margin: Margin | None
    before: Margin | None = None
    power: float | None = None
    verdict: Verdict
    seed: int


def verify(
    persona: Persona,
    condition: Condition,
    base: Mapping[str, pd.DataFrame],
    asked: Mapping[str, pd.DataFrame],
    margins: tuple[pd.Series[float], pd.Series[float]] | None,
    seed: int,
    centred: Collection[str] = (),
) -> Verification:
    """Verdict on a persona under a condition.

    Args:
        base: Measure → positions (unit × scale) of the untouched base.
        asked: The same under the condition. A measure without base is judged by the midpoint.
        margins: Persona's reply minus opposite's, per scene: base and condition.
        seed: Of the bootstrap.
        centred: Measures whose zero is a midpoint between the poles.

    Raises:
        InputError: if no measure says anything on a scale of the persona, or a measure has
            neither base nor midpoint.
    """
    rng = np.random.default_rng(seed)
    targets = {scale: target for scale, target in persona.traits.items() if target}
    found = {
        scale: list(_measured(scale, float(np.sign(target)), base, asked, centred, rng))
        for scale, target in targets.items()
    }
    if not any(found.values()):
        raise InputError(f"nothing was measured on a scale of {persona.name!r}", "check the corpus")
    judged = iter(corrected([s for shifts in found.values() for s in shifts]))
    scales = tuple(
        _scale(scale, targets[scale], tuple(next(judged) for _ in shifts))
        for scale, shifts in found.items()
    )
    return Verification(
        persona=persona.name,
        condition=condition,
        scales=scales,
        margin=None if margins is None else _margin(*margins, rng),
        before=None if margins is None else _margin(margins[0], margins[0], rng),
        power=power_of_all(tuple(tuple(s.units for s in scale.shifts) for scale in scales)),
        verdict=_of_persona(scales),
        seed=seed,
    )


def _measured(
    scale: str,
    side: float,
    base: Mapping[str, pd.DataFrame],
    asked: Mapping[str, pd.DataFrame],
    centred: Collection[str],
    rng: np.random.Generator,
) -> Iterator[Shift]:
    """What each measure that has the scale says of it."""
    for measure, after in asked.items():
        before = base.get(measure)
        if scale not in after or (before is not None and scale not in before):
            continue
        if before is None and measure not in centred:
            raise InputError(f"{measure!r} has neither base nor midpoint", "measure the base")
        start = None if before is None else before[scale]
        found = shift_of(measure, start, after[scale], side, measure in centred, rng)
        if found is not None:
            yield found


def _scale(scale: str, target: float, shifts: tuple[Shift, ...]) -> ScaleVerdict:
    pole = DICHOTOMIES[scale][0 if target > 0 else 1] if scale in DICHOTOMIES else None
    return ScaleVerdict(
        scale=scale,
        target=pole or ("high" if target > 0 else "low"),
        shifts=shifts,
        verdict=_together({s.verdict for s in shifts}),
    )


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


def _of_persona(scales: Sequence[ScaleVerdict]) -> Verdict:
    if all(s.verdict == "confirmed" for s in scales):
        return "confirmed"
    wrong = any(s.verdict == "contradicted" for s in scales)
    return "contradicted" if wrong else "indeterminate"
