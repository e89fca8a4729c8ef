"""What one criterion of a verdict is made of: what was said, figures with margins, and a word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from personalign.analysis.estimates import t_mean
from personalign.psychometrics.intervals import ALPHA, mean_over_units
from personalign.psychometrics.shifts import Verdict
from personalign.records import Record

__all__ = ["Criterion", "Figure", "Name", "Spoken", "least_sure", "limits", "not_asked"]

Name = Literal["moved", "own", "shown", "holds", "fluent"]
_ORDER: Sequence[Verdict] = ("contradicted", "indeterminate", "confirmed")


class Figure(Record):
    """One number of a criterion, with its interval and the margins that it must stay within.

    `least` and `most` are the margins, None where there is none on that side. `verdict` is
    confirmed where the interval lies within them, contradicted where it lies beyond one.
    """

    name: str
    value: float
    low: float
    high: float
    least: float | None = None
    most: float | None = None
    verdict: Verdict

    @classmethod
    def within(
        cls,
        name: str,
        found: tuple[float, float, float],
        least: float | None = None,
        most: float | None = None,
    ) -> Figure:
        """A figure from its value and interval, with its verdict by the margins."""
        value, low, high = map(float, found)
        inside = (least is None or least < low) and (most is None or high < most)
        beyond = (most is not None and low > most) or (least is not None and high < least)
        verdict: Verdict = "confirmed" if inside else "contradicted" if beyond else "indeterminate"
        at = {"value": value, "low": low, "high": high}
        return cls(name=name, least=least, most=most, verdict=verdict, **at)

    @property
    def room(self) -> float:
        """What is left between interval and the nearest margin, in widths of the interval."""
        width = max(self.high - self.low, 1e-9)
        left = [] if self.least is None else [(self.low - self.least) / width]
        return min([*left, *([] if self.most is None else [(self.most - self.high) / width])])

    def __str__(self) -> str:
        ends = [f"{end:.3g}" for end in (self.least, self.most) if end is not None]
        shown = f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"
        side = "between" if len(ends) == 2 else "above" if self.most is None else "below"
        return f"{self.name} {shown} {side} {' and '.join(ends)}: {self.verdict}"


class Criterion(Record):
    """One of them: what was found, with its interval, and why.

    `value` with `low` and `high` is that of the scale or figure that is the furthest from holding:
    a shift towards the target of `moved` (in its measure's unit), `shown` and `holds` (on −1 to 1),
    the gain of `own` in nats per token, a difference from or ratio to base of `fluent`; `reason`
    names it. `figures` are all of which it is one.
    """

    name: Name
    verdict: Verdict | Literal["not asked"]
    value: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str | None = None
    figures: tuple[Figure, ...] = ()


@dataclass(frozen=True)
class Spoken:
    """What an arm said, a row a prompt, means over its replies to it.

    Attributes:
        positions: Prompt × scale, −1 to 1.
        manner: Prompt × how it speaks (`fluent.FIGURES`), missing where it was not measured.
        named: Share of replies in which raters name the persona among sixteen; empty where they
            were not asked to.

    Prompts are openings, or pairs of how an opening was put and the opening.
    """

    positions: pd.DataFrame
    manner: pd.DataFrame
    named: pd.Series[float]


def not_asked(name: Name, reason: str) -> Criterion:
    """A criterion that was not measured."""
    return Criterion(name=name, verdict="not asked", reason=reason)


def least_sure(figures: Sequence[Figure]) -> Figure:
    """The figure that is the furthest from holding."""
    return min(figures, key=lambda f: (_ORDER.index(f.verdict), f.room))


def limits(values: pd.Series[float]) -> tuple[float, float, float] | None:
    """Mean with its 90 % t interval, which is two one-sided tests at 5 %; without spread, as
    `mean_over_units` has it; None below two values."""
    x = values.dropna().to_numpy()
    found = t_mean(x, np.arange(len(x)), confidence=1 - 2 * ALPHA)
    if found.value is not None and found.low is not None and found.high is not None:
        return found.value, found.low, found.high
    equal = mean_over_units(x, np.random.default_rng(0))
    return None if equal is None else (equal.value, equal.low, equal.high)
