"""All measures of all scales of one persona are one family, and corrected together.

Holm's (1979) step-down procedure, once for the target's side and once for the other, each at half
of 5 %: whichever scales are null, the chance that any of them is confirmed or contradicted is at
most 5 % a persona, however many measures it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from personalign.analysis.contrasts import adjust
from personalign.analysis.power import detectable_mean
from personalign.psychometrics.intervals import ALPHA
from personalign.psychometrics.shifts import Shift, Verdict

__all__ = ["EFFECT", "corrected", "power", "power_of_all"]

EFFECT = 0.8
"""The effect that power is stated for, in standard deviations of the units: "large" by Cohen
(1988), Statistical Power Analysis. What training is for should be no smaller."""

SIMULATED = 4_000
"""Simulated personas that a power is read from: its binomial error is below 0.008."""


def corrected(shifts: Sequence[Shift]) -> list[Shift]:
    """The shifts of one persona with p-values that are adjusted together, and verdicts by them.

    A measure is on the target's side where every comparison that it has is (the largest of their
    p-values; Berger 1982, Technometrics 24:295–300). It is on the other side where one comparison
    is (the smallest, times their number) and none is on the target's by its own interval.
    """
    towards = adjust([max(s.towards) for s in shifts])
    away = adjust([min(1.0, min(s.away) * len(s.away)) for s in shifts])
    return [
        s.model_copy(
            update={
                "p_towards": p,
                "p_away": q,
                "power": power(s.units, tests=len(shifts)),
                "detectable": _detectable(s, len(shifts)),
                "verdict": _verdict(p or 0.0, q or 0.0, s.nearest),
            }
        )
        for s, p, q in zip(shifts, towards, away, strict=True)
    ]


def _detectable(shift: Shift, tests: int) -> float | None:
    found = detectable_mean(shift.error or 0, shift.units - 1, alpha=ALPHA / tests)
    return None if found is None else shift.smallest + found


def power(units: int, effect: float = EFFECT, tests: int = 1) -> float:
    """Least chance that a true effect is shown over so many units, one of so many tests.

    `effect` in standard deviations of the units, beyond the smallest that counts. Of the t test at
    the first, strictest step of Holm's procedure, which the bootstrap is as wide as; noncentral t,
    Cohen (1988). 0 below two units.
    """
    if units < 2:
        return 0.0
    edge = stats.t.isf(ALPHA / 2 / tests, units - 1)
    return float(stats.nct.sf(edge, units - 1, effect * np.sqrt(units)))


@cache
def power_of_all(units: tuple[tuple[int, ...], ...], effect: float = EFFECT) -> float:
    """Chance that every scale is confirmed by a measure, were all shifts `effect` in truth.

    Args:
        units: Of each scale, how many units each of its measures has; measures and scales are
            taken as independent.
    """
    sizes = np.array([n for scale in units for n in scale], dtype=float)
    scales = np.repeat(np.arange(len(units)), [len(scale) for scale in units])
    if not all(units):
        return 0.0
    rng = np.random.default_rng(0)
    shape = (SIMULATED, len(sizes))
    spread = np.sqrt(rng.chisquare(sizes - 1, shape) / (sizes - 1))
    t = (rng.standard_normal(shape) + effect * np.sqrt(sizes)) / spread
    shown = _rejected(stats.t.sf(t, sizes - 1))
    every = [shown[:, scales == k].any(axis=1) for k in range(len(units))]
    return float(np.all(every, axis=0).mean())


def _rejected(p: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of (draws, tests) one-sided p-values Holm's procedure rejects, draw by draw."""
    order = np.argsort(p, axis=1)
    edges = ALPHA / 2 / np.arange(p.shape[1], 0, -1)
    steps = np.logical_and.accumulate(np.take_along_axis(p, order, axis=1) <= edges, axis=1)
    found = np.zeros_like(steps)
    np.put_along_axis(found, order, steps, axis=1)
    return found


def _verdict(towards: float, away: float, best: float) -> Verdict:
    if towards <= ALPHA / 2:
        return "confirmed"
    return "contradicted" if away <= ALPHA / 2 and best < 1 - ALPHA / 2 else "indeterminate"
