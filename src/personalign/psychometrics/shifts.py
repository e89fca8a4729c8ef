"""One measure of one scale: how far a condition moved from base, and on which side it stands."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from personalign.errors import InputError
from personalign.psychometrics.intervals import UnitMean, mean_over_units
from personalign.records import Record

__all__ = [
    "Reference",
    "ScaleVerdict",
    "Shift",
    "Standing",
    "Stray",
    "Verdict",
    "shift_of",
    "unit_mean",
]

Verdict = Literal["confirmed", "indeterminate", "contradicted"]

Reference = Literal["base", "midpoint"]
"""What a shift is from: the midpoint where base was not measured."""


class Standing(Record):
    """The position against the midpoint, with its 95 % interval; `verdict` by that alone."""

    low: float
    high: float
    probability: float
    verdict: Verdict


class Shift(Record):
    """One measure of one scale: where a condition stands, and how far it moved from base.

    Positions and shifts are in the measure's unit (nats per token, or -1 to 1), positive towards
    the scale's positive pole; `shift` is from `reference`; `low` and `high` bound it at 95 %;
    `probability` is how probable the target's side is, by the tails that the interval was made
    from; `beyond` and `against`, how probable a shift of more than the `smallest` that counts is,
    on the target's side and on the other. `standing` is the comparison with the midpoint, for
    measures that have one.

    What follows is set by `family.corrected` for all scales and measures of a persona together:
    `p_towards` and `p_away` are the one-sided p-values, adjusted, that the measure lies on the
    target's side and on the other, and `verdict` goes by them. `power` is the least chance that a
    true shift of `family.EFFECT` standard deviations is shown, `detectable` the shift that is shown
    with a chance of 80 % or more, given the spread.
    """

    measure: str
    reference: Reference = "base"
    units: int
    base: float
    position: float
    shift: float
    low: float
    high: float
    error: float | None = None
    probability: float
    smallest: float = 0.0
    beyond: float | None = None
    against: float | None = None
    standing: Standing | None = None
    p_towards: float | None = None
    p_away: float | None = None
    power: float | None = None
    detectable: float | None = None
    method: str = ""
    verdict: Verdict = "indeterminate"

    @property
    def towards(self) -> tuple[float, ...]:
        """One-sided p that it is not on the target's side, of each comparison that there is."""
        beyond = self.probability if self.beyond is None else self.beyond
        return (1 - beyond, *([1 - self.standing.probability] if self.standing else []))

    @property
    def away(self) -> tuple[float, ...]:
        """One-sided p that it is not on the other side, of each comparison that there is."""
        against = 1 - self.probability if self.against is None else self.against
        return (1 - against, *([self.standing.probability] if self.standing else []))

    @property
    def nearest(self) -> float:
        """The best chance of the target's side in any comparison, however small the shift."""
        return max(self.probability, self.standing.probability if self.standing else 0.0)


class ScaleVerdict(Record):
    """What all measures together say of one scale; `target` is the pole that was asked for, and
    `positive` whether that is the scale's positive one."""

    scale: str
    target: str
    positive: bool
    shifts: tuple[Shift, ...]
    verdict: Verdict


class Stray(Record):
    """A scale that was not asked for, and moved: to which pole, by which measure, and how far.

    `p` is two-sided, of a shift of no more than the smallest that counts, and corrected for all
    scales and measures that were not asked for (Holm 1979).
    """

    scale: str
    towards: str
    measure: str
    shift: float
    low: float
    high: float
    p: float

    def __str__(self) -> str:
        shown = f"{self.shift:+.2f} ({self.low:+.2f} to {self.high:+.2f})"
        return f"{self.scale} towards {self.towards} by {self.measure}, {shown}"


def shift_of(
    measure: str,
    before: pd.Series[float] | None,
    after: pd.Series[float],
    side: float,
    centred: bool,
    rng: np.random.Generator,
    smallest: float = 0.0,
) -> Shift | None:
    """The shift over the units that both have; None below two of them.

    Args:
        before: Positions by unit under base, None where it was not measured.
        after: Positions by unit under the condition.
        side: 1 where the target is the scale's positive pole, -1 where it is the other.
        centred: Whether zero is a midpoint between the poles.
        rng: Of the bootstrap.
        smallest: Shifts of no more do not count.
    """
    columns = {"base": 0.0 if before is None else before, "asked": after}
    both = pd.DataFrame(columns, index=after.index if before is None else None).dropna()
    if len(both) < 2:
        return None
    moved = unit_mean(both["asked"] - both["base"], rng)
    beyond, against = (
        _chance(unit_mean(both["asked"] - both["base"] - way * smallest, rng), way)
        if smallest
        else _chance(moved, way)
        for way in (side, -side)
    )
    return Shift(
        measure=measure,
        reference="midpoint" if before is None else "base",
        units=len(both),
        base=float(both["base"].mean()),
        position=float(both["asked"].mean()),
        shift=moved.value,
        low=moved.low,
        high=moved.high,
        error=moved.error,
        probability=_chance(moved, side),
        smallest=smallest,
        beyond=beyond,
        against=against,
        standing=_standing(unit_mean(both["asked"], rng), side) if centred else None,
        method=moved.method,
    )


def unit_mean(values: pd.Series[float], rng: np.random.Generator) -> UnitMean:
    """The mean with its interval.

    Raises:
        InputError: below two values.
    """
    found = mean_over_units(values, rng)
    if found is None:
        what = f"{len(values)} situations or items were measured, and an interval needs two"
        raise InputError(what, "measure more")
    return found


def _standing(at: UnitMean, side: float) -> Standing:
    chance = _chance(at, side)
    return Standing(low=at.low, high=at.high, probability=chance, verdict=_side(at, side))


def _chance(mean: UnitMean, side: float) -> float:
    """How probable it is that the mean is on the target's side."""
    return mean.above if side > 0 else 1 - mean.above


def _side(mean: UnitMean, side: float) -> Verdict:
    if min(side * mean.low, side * mean.high) > 0:
        return "confirmed"
    return "contradicted" if max(side * mean.low, side * mean.high) < 0 else "indeterminate"
