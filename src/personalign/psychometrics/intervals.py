"""The mean over units (items, situations) with its interval and its chance to be positive."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from personalign.analysis.estimates import FEW_CLUSTERS, expanded_levels, expanded_tail

__all__ = ["ALPHA", "DRAWS", "UnitMean", "mean_over_units"]

ALPHA = 0.05
"""All intervals here are of 95 %."""

DRAWS = 10_000

SIGNS_NEEDED = 6
"""Units that must agree exactly before a mean without spread counts: 2 · 0.5⁶ < 0.05."""


RESOLVED = 20
"""Draws beyond zero below which their share is too coarse to be a tail; the t tail takes over."""


class UnitMean(NamedTuple):
    """A mean over `n` units with its 95 % interval.

    `above` is the chance of a mean over zero, by the tails that the interval is made from: its
    lower limit is zero where this is 0.975. `error` is the standard error, `method` how the
    interval was made.
    """

    value: float
    low: float
    high: float
    above: float
    n: int
    error: float
    method: str


def mean_over_units(
    values: ArrayLike, rng: np.random.Generator, *, draws: int = DRAWS
) -> UnitMean | None:
    """Mean of the values that are there; `None` below two of them.

    - From eight units on: bootstrap over units, its percentiles expanded so that the interval is
      as wide as a t interval (Hesterberg 2015, The American Statistician 69:371–386).
    - Below eight: the t interval, since there are too few distinct resamples.
    - Where all units have the same value there is no spread to resample. The interval is the value
      alone where an exact sign test over six units or more excludes zero, and reaches to zero
      otherwise.
    """
    x = np.asarray(values, dtype=float)
    x = x[~np.isnan(x)]
    n = len(x)
    if n < 2:
        return None
    centre, error = float(x.mean()), float(x.std(ddof=1) / np.sqrt(n))
    if np.ptp(x) <= 1e-12:
        return _without_spread(centre, n)
    if n < FEW_CLUSTERS:
        half = float(stats.t.ppf(1 - ALPHA / 2, n - 1)) * error
        above = float(stats.t.cdf(centre / error, n - 1))
        return UnitMean(centre, centre - half, centre + half, above, n, error, f"t, df {n - 1}")
    drawn = x[rng.integers(0, n, (draws, n))].mean(axis=1)
    low, high = (float(q) for q in np.quantile(drawn, expanded_levels(n, ALPHA / 2)))
    above = _above(drawn, n, centre / error)
    method = f"bootstrap over units (expanded percentiles, {draws} draws)"
    return UnitMean(centre, low, high, above, n, error, method)


def _above(drawn: NDArray[np.float64], n: int, t: float) -> float:
    """The chance over zero that matches expanded percentiles, as they do at `expanded_levels`.

    Beyond what the draws resolve it is the t tail, which the expansion takes the normal one to.
    """
    over, under = int((drawn > 0).sum()), int((drawn < 0).sum())
    if min(over, under) < RESOLVED:
        return float(stats.t.cdf(t, n - 1))
    even = (len(drawn) - over - under) / 2
    return expanded_tail(n, (over + even) / len(drawn))


def _without_spread(value: float, n: int) -> UnitMean:
    chance = 0.5 if abs(value) <= 1e-12 else 1 - 0.5**n if value > 0 else 0.5**n
    shown = n >= SIGNS_NEEDED
    low, high = (value if shown else min(value, 0.0)), (value if shown else max(value, 0.0))
    return UnitMean(value, low, high, chance, n, 0.0, "exact sign test (no spread)")
