"""A problem that a training ran into, as its log and its adapter's card keep it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from personalign.records import Record

__all__ = ["Adjustment", "Problem", "problems"]

Adjustment = dict[str, float]
"""Setting → what it was changed to, or by which factor."""


class Problem(Record):
    """Something that went wrong at an optimiser step, and what was changed because of it.

    `adjusted` holds `learning_rate` (a factor) or `nll` (the new weight); empty under `warn`.
    """

    problem: str
    step: int
    value: float
    limit: float
    meaning: str
    remedy: str
    adjusted: Adjustment = Field(default_factory=dict)

    def line(self) -> str:
        """All of it in one line."""
        changed = "".join(f"; {k} changed: {v:g}" for k, v in self.adjusted.items())
        return (
            f"step {self.step}: {self.problem} {self.value:.3g} (limit {self.limit:g}): "
            f"{self.meaning} — {self.remedy}{changed}"
        )


def problems(history: Sequence[Mapping[str, Any]]) -> list[Problem]:
    """What was found, out of a trainer's log history."""
    return [Problem.model_validate(h) for h in history if "problem" in h]
