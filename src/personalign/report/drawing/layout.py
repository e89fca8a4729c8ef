"""What the sections of the page are made of, and how their numbers are written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.figure import Figure

from personalign.report.drawing import figures
from personalign.report.drawing.figures import Bar, Row
from personalign.report.drawing.ink import RC, pdf, svg
from personalign.report.drawing.tables import Table
from personalign.report.words import Words, number, signed

__all__ = [
    "Drawing",
    "Group",
    "arm_name",
    "formatter",
    "interval",
    "levels",
    "outcome",
    "p_value",
    "row",
    "some",
    "told",
    "yes",
]

T = TypeVar("T")
Number = float | None


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure with what stands above it; it is drawn when it is asked for."""

    caption: str
    alt: str
    draw: Callable[[], Figure]

    @property
    def svg(self) -> Markup:
        """For the page."""
        return svg(self._figure(), self.alt)

    @property
    def pdf(self) -> bytes:
        """For print."""
        return pdf(self._figure())

    def _figure(self) -> Figure:
        with mpl.rc_context(RC):
            return self.draw()


@dataclass(frozen=True, slots=True)
class Group:
    """Figures under one heading, with what must be said of them, and tables of their numbers."""

    title: str
    drawings: tuple[Drawing, ...]
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()


def some(*given: T | None) -> tuple[T, ...]:
    """What is there of what may be missing."""
    return tuple(g for g in given if g is not None)


def row(label: str, r: dict[str, Any], value: str, low: str, high: str, note: str) -> Row:
    """A figure's row from a table's, with the mark and the hollow shape of the unverified."""
    marked = r["verified"] == "no"
    bar = Bar(r["condition"], r[value], r[low], r[high], hollow=marked)
    return Row(f"{label} †" if marked else label, note, (bar,))


def told(rows: Sequence[Row]) -> str:
    """A figure's rows as the end of its alternative text."""
    return " " + "; ".join(f"{row.label}: {row.note}" for row in rows)


def interval(value: Number, low: Number, high: Number, show: Callable[[Number], str]) -> str:
    """`value [low, high]`, as far as they are there."""
    if value is None:
        return "–"
    if low is None or high is None:
        return show(value)
    return f"{show(value)} [{show(low)}, {show(high)}]"


def formatter(unit: str, difference: bool = False) -> Callable[[Number], str]:
    """How values of a unit are shown: proportions in per cent, differences with their sign."""
    factor, digits = (100, 1) if unit == "proportion" else (1, 2)
    show = signed if difference else number
    return lambda v: show(None if v is None else factor * v, digits)


def outcome(words: Words, task: str, metric: str) -> str:
    """A metric of a task for people."""
    return f"{words.name('task', task)}: {words.name('metric', metric)}"


def levels(
    words: Words, title: str, rows: Sequence[dict[str, Any]], label: str, caption: str, alt: str
) -> Drawing | None:
    """The values of one outcome with their intervals; the key `label` names each row."""
    drawn = [
        row(r[label], r, "value", "low", "high", r["shown"]) for r in rows if r["value"] is not None
    ]
    if not drawn:
        return None
    share = all(r["unit"] == "proportion" for r in rows)
    axis = words("axis.percent" if share else "axis.value", title=title)
    draw = partial(figures.intervals, drawn, axis, scale=100 if share else 1)
    return Drawing(caption, alt + told(drawn), draw)


def arm_name(words: Words, persona: str, condition: str) -> str:
    """An arm for people: `INFP · adapter`, or the condition alone."""
    name = words.name("condition", condition)
    return f"{persona} · {name}" if persona else name


def yes(value: bool) -> str:
    """A truth value as CSV files hold it."""
    return "yes" if value else "no"


def p_value(value: float | None) -> str:
    """A p-value to three places."""
    return "–" if value is None else "< 0.001" if value < 0.001 else number(value, 3)
