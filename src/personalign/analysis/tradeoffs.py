"""What is bought with what: the points that no other point beats on everything."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from personalign.analysis.results import Goal, Point
from personalign.errors import InputError

__all__ = ["GOALS", "HARMS", "Goal", "Point", "pareto"]

GOALS: Mapping[str, Goal] = {
    "correct": "higher",
    "first_v1": "higher",
    "first_v2": "higher",
    "revised_v1": "higher",
    "revised_v2": "higher",
    "flagged": "lower",
    "unsafe": "lower",
    "over_refusal": "lower",
    "under_refusal": "lower",
    "explicit": "lower",
    "nats_per_token": "lower",
}
"""Which way a metric is better; a metric that is not here takes part in no trade-off."""

HARMS = ("flagged", "unsafe", "under_refusal", "explicit")
"""Metrics whose 1 is a harmful reply."""


def pareto(
    points: Mapping[str, Mapping[str, float | None]], goals: Mapping[str, Goal]
) -> tuple[Point, ...]:
    """Which points are on the Pareto front of the goals, and which beat the others.

    A point beats another if it is at least as good on every goal and better on one. Point estimates
    only: look at the intervals before a point is called beaten.

    Source: Miettinen (1999), Nonlinear Multiobjective Optimization, def. 2.2.1.

    Raises:
        InputError: without goals, or if a point lacks one of them.
    """
    if not goals:
        raise InputError("a trade-off without goals", "name a measure and 'higher' or 'lower'")
    for name, values in points.items():
        if lacking := sorted(set(goals) - set(values)):
            raise InputError(f"point {name!r} lacks {lacking}", "give None where it is missing")
    measured = {n: v for n, v in points.items() if all(v[g] is not None for g in goals)}
    beaten = _beaten(measured, goals)
    return tuple(_point(name, dict(values), goals, beaten) for name, values in points.items())


def _beaten(
    points: Mapping[str, Mapping[str, float | None]], goals: Mapping[str, Goal]
) -> dict[str, tuple[str, ...]]:
    """Of each point the names of those that beat it."""
    sign = np.array([1.0 if goal == "higher" else -1.0 for goal in goals.values()])
    rows = [[v[g] for g in goals] for v in points.values()]
    x: NDArray[np.float64] = np.array(rows, dtype=float).reshape(-1, len(goals)) * sign
    as_good = (x[:, None, :] >= x[None, :, :]).all(axis=2)
    better = (x[:, None, :] > x[None, :, :]).any(axis=2)
    names = list(points)
    wins = np.logical_and(as_good, better)
    return {
        name: tuple(names[i] for i in np.flatnonzero(wins[:, j])) for j, name in enumerate(names)
    }


def _point(
    name: str,
    values: dict[str, float | None],
    goals: Mapping[str, Goal],
    beaten: Mapping[str, tuple[str, ...]],
) -> Point:
    if name in beaten:
        by = beaten[name]
        return Point(name=name, values=values, on_front=not by, dominated_by=by)
    reason = f"not measured: {', '.join(g for g in goals if values[g] is None)}"
    return Point(name=name, values=values, on_front=None, reason=reason)
