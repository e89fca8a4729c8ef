"""Is the persona there? A verdict per scale, with an interval, against base and midpoint.

A measure gives a position for each unit (a scene, an item) and scale, positive towards the scale's
positive pole. Two comparisons, each a mean over units with a 95 % interval
(`intervals.mean_over_units`: bootstrap, below eight units t):

- with `base`, the same units under the untouched model: has it moved?
- with the midpoint, for measures that have one (answers on -1 to 1): on which side does it stand?
  Log-probs in nats have none: a text may be likelier for reasons that are no trait.

A comparison confirms where its interval lies on the target's side of zero, contradicts where it
lies on the other side, and is indeterminate otherwise. A measure confirms where every comparison
that it has confirms, and contradicts where one contradicts and none confirms. A scale is confirmed
where one measure confirms and none contradicts, contradicted where one contradicts and none
confirms. A persona is confirmed where every scale is confirmed. It is contradicted where a scale
is contradicted by a comparison whose chance to be on the target's side is under 0.025 divided by
the number of the persona's comparisons (Bonferroni), since one of many intervals will miss zero by
chance; otherwise it is indeterminate.

Units are random: the claim is about items and situations like these, not about these alone.
`power` says how often a true effect of a stated size would be confirmed with so many units.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from personalign.analysis.power import detectable_mean
from personalign.errors import InputError
from personalign.personas import DICHOTOMIES, TYPES, Persona
from personalign.psychometrics.intervals import ALPHA, UnitMean, mean_over_units
from personalign.records import Condition, Record

__all__ = [
    "FalseConfirmations",
    "Margin",
    "ScaleVerdict",
    "Shift",
    "Standing",
    "false_confirmations",
    "power",
    "Verdict",
    "Verification",
    "verify",
]

Verdict = Literal["confirmed", "indeterminate", "contradicted"]

CONFIDENCE = 1 - ALPHA

EFFECT = 0.8
"""The effect that power is stated for, in standard deviations of the units: "large" by Cohen
(1988), Statistical Power Analysis. What training is for should be no smaller."""


class Standing(Record):
    """The position against the midpoint, with its 95 % interval."""

    low: float
    high: float
    probability: float
    verdict: Verdict


class Shift(Record):
    """One measure of one scale: where a condition stands, and how far it moved from base.

    Positions and shifts are in the measure's unit (nats per token, or -1 to 1), positive towards
    the scale's positive pole; `shift` is from `reference`, which is the midpoint where base was
    not measured; `low` and `high` bound it at 95 %; `probability` is the share of bootstrap means
    (below eight units the t probability) on the target's side. `standing` is the comparison with
    the midpoint, for measures that have one. `power` is the chance that a true shift of `EFFECT`
    standard deviations is shown with so many units, `detectable` the shift that is shown with a
    chance of 80 %, given the spread.
    """

    measure: str
    reference: Literal["base", "midpoint"] = "base"
    units: int
    base: float
    position: float
    shift: float
    low: float
    high: float
    probability: float
    standing: Standing | None = None
    power: float | None = None
    detectable: float | None = None
    method: str = ""
    verdict: Verdict


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

    `power` is the chance that all its scales are confirmed, were each measure's true shift
    `EFFECT` standard deviations towards the target, taking measures and scales as independent.
    """

    persona: str
    condition: Condition
    scales: tuple[ScaleVerdict, ...]
    margin: Margin | None
    power: float | None = None
    verdict: Verdict
    seed: int


class FalseConfirmations(Record):
    """Which of the sixteen types one and the same model is confirmed as, other than `own`.

    `rate` is their share among the `labels` that were tried; nothing should be confirmed twice.
    """

    own: str | None
    confirmed: tuple[str, ...]
    labels: int
    rate: float


def verify(
    persona: Persona,
    condition: Condition,
    base: Mapping[str, pd.DataFrame],
    asked: Mapping[str, pd.DataFrame],
    margins: tuple[pd.Series[float], pd.Series[float]] | None,
    seed: int,
    centred: Collection[str] = (),
) -> Verification:
    """Verdict on a persona under one condition.

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
    scales = tuple(
        _scale(scale, target, base, asked, centred, rng)
        for scale, target in persona.traits.items()
        if target
    )
    if not any(s.shifts for s in scales):
        raise InputError(f"nothing was measured on a scale of {persona.name!r}", "check the corpus")
    return Verification(
        persona=persona.name,
        condition=condition,
        scales=scales,
        margin=None if margins is None else _margin(*margins, rng),
        power=float(np.prod([_power_of_scale(s) for s in scales])),
        verdict=_of_persona(scales),
        seed=seed,
    )


def false_confirmations(
    base: Mapping[str, pd.DataFrame],
    asked: Mapping[str, pd.DataFrame],
    seed: int,
    own: str | None = None,
    centred: Collection[str] = (),
) -> FalseConfirmations:
    """The same measurements under each of the sixteen labels: as which others would they pass?

    Give two halves of the variants of an untouched model as `base` and `asked` for the rate at
    which nothing at all is confirmed as something.

    Args:
        own: The type that the model was made to be, which is no false label.
        base, asked, seed, centred: As for `verify`.
    """
    rng = np.random.default_rng(seed)
    found = {
        pole: _scale(scale, side, base, asked, centred, rng).verdict
        for scale, poles in DICHOTOMIES.items()
        for side, pole in zip((1.0, -1.0), poles, strict=True)
    }
    wrong = [t for t in TYPES if t != own]
    confirmed = tuple(t for t in wrong if all(found[pole] == "confirmed" for pole in t))
    return FalseConfirmations(
        own=own, confirmed=confirmed, labels=len(wrong), rate=len(confirmed) / len(wrong)
    )


def power(units: int, effect: float = EFFECT) -> float:
    """Chance that a 95 % interval over so many units lies on the side of a true effect.

    `effect` in standard deviations of the units. Of the t test, which the bootstrap here is as
    wide as; noncentral t, Cohen (1988). 0 below two units.
    """
    if units < 2:
        return 0.0
    edge = stats.t.ppf((1 + CONFIDENCE) / 2, units - 1)
    return float(stats.nct.sf(edge, units - 1, effect * np.sqrt(units)))


def _scale(
    scale: str,
    target: float,
    base: Mapping[str, pd.DataFrame],
    asked: Mapping[str, pd.DataFrame],
    centred: Collection[str],
    rng: np.random.Generator,
) -> ScaleVerdict:
    shifts = []
    for measure, after in asked.items():
        before = base.get(measure)
        if scale not in after or (before is not None and scale not in before):
            continue
        if before is None and measure not in centred:
            raise InputError(f"{measure!r} has neither base nor midpoint", "measure the base")
        columns = {"base": 0.0 if before is None else before[scale], "asked": after[scale]}
        both = pd.DataFrame(columns, index=after.index if before is None else None).dropna()
        reference: Literal["base", "midpoint"] = "midpoint" if before is None else "base"
        if len(both) > 1:
            side = float(np.sign(target))
            shifts.append(_shift(measure, reference, both, side, measure in centred, rng))
    pole = DICHOTOMIES[scale][0 if target > 0 else 1] if scale in DICHOTOMIES else None
    return ScaleVerdict(
        scale=scale,
        target=pole or ("high" if target > 0 else "low"),
        shifts=tuple(shifts),
        verdict=_together({s.verdict for s in shifts}),
    )


def _shift(
    measure: str,
    reference: Literal["base", "midpoint"],
    both: pd.DataFrame,
    side: float,
    centred: bool,
    rng: np.random.Generator,
) -> Shift:
    moved = _mean(both["asked"] - both["base"], rng)
    comparisons, standing = [_side(moved, side)], None
    if centred:
        at = _mean(both["asked"], rng)
        standing = _standing(at, side)
        comparisons.append(standing.verdict)
    return Shift(
        measure=measure,
        reference=reference,
        units=len(both),
        base=float(both["base"].mean()),
        position=float(both["asked"].mean()),
        shift=moved.value,
        low=moved.low,
        high=moved.high,
        probability=_chance(moved, side),
        standing=standing,
        power=power(len(both)),
        detectable=detectable_mean(moved.error, len(both) - 1),
        method=moved.method,
        verdict="confirmed" if set(comparisons) == {"confirmed"} else _against(comparisons),
    )


def _standing(at: UnitMean, side: float) -> Standing:
    chance = _chance(at, side)
    return Standing(low=at.low, high=at.high, probability=chance, verdict=_side(at, side))


def _chance(mean: UnitMean, side: float) -> float:
    """How probable it is that the mean is on the target's side."""
    return mean.above if side > 0 else 1 - mean.above


def _mean(values: pd.Series[float], rng: np.random.Generator) -> UnitMean:
    found = mean_over_units(values, rng)
    if found is None:
        what = f"{len(values)} situations or items were measured, and an interval needs two"
        raise InputError(what, "measure more")
    return found


def _side(mean: UnitMean, side: float) -> Verdict:
    if min(side * mean.low, side * mean.high) > 0:
        return "confirmed"
    return "contradicted" if max(side * mean.low, side * mean.high) < 0 else "indeterminate"


def _against(comparisons: list[Verdict]) -> Verdict:
    one_sided = "contradicted" in comparisons and "confirmed" not in comparisons
    return "contradicted" if one_sided else "indeterminate"


def _power_of_scale(scale: ScaleVerdict) -> float:
    return 1 - float(np.prod([1 - (s.power or 0.0) for s in scale.shifts]))


def _margin(base: pd.Series[float], asked: pd.Series[float], rng: np.random.Generator) -> Margin:
    mean = _mean(asked, rng)
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
    interval = result.proportion_ci(CONFIDENCE, method="wilson")
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
    tried = sum(len(_chances(s)) for s in scales)
    edge = (1 - CONFIDENCE) / 2 / max(tried, 1)
    contradicted = (s for s in scales if s.verdict == "contradicted")
    clear = any(min(_chances(s)) < edge for s in contradicted)
    return "contradicted" if clear else "indeterminate"


def _chances(scale: ScaleVerdict) -> list[float]:
    """The chance of the target's side in each comparison of a scale."""
    standing = [s.standing.probability for s in scale.shifts if s.standing]
    return [s.probability for s in scale.shifts] + standing
