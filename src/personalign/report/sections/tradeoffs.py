"""Trade-offs: persona strength against each outcome, and which arms no other arm beats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from matplotlib.figure import Figure

from personalign.analysis.results import Point, TradeOff
from personalign.findings import Findings
from personalign.report.drawing.figures import WIDTH, Bar, bar_mark, plain_axes
from personalign.report.drawing.ink import INK, LINE
from personalign.report.drawing.layout import Drawing, Group, arm_name, outcome, some, yes
from personalign.report.drawing.tables import Show, table
from personalign.report.words import Words, number, signed

__all__ = ["tradeoffs"]

STRENGTH = "strength"
HEIGHT = 250.0
LABELS = 12
SHOWN: Mapping[str, Show] = {"arm": str, "strength_shown": str, "values_shown": str,
                             "on_front": str, "dominated_by": str}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Spot:
    """An arm on the plane: what it buys, and whether it is on the front."""

    label: str
    bar: Bar
    y: float
    front: bool


def tradeoffs(words: Words, found: Findings) -> list[Group]:
    """A plane for each outcome, with its front; one table for all outcomes at once."""
    parts = []
    for trade in found.analysis.tradeoffs:
        outcomes = [g for g in trade.goals if g != STRENGTH]
        rows = [_row(words, found, point, outcomes) for point in trade.points]
        title = _title(words, trade)
        equal = _equal(trade.points, outcomes)
        single = len(outcomes) == 1 and not equal
        drawn = _plane(words, found, trade, title) if single else None
        shown = table(words, "tradeoff", rows, SHOWN, words("table.tradeoff", title=title))
        notes = (words("note.equal"),) if equal else ()
        parts.append(Group(title, some(drawn), some(shown), notes))
    return parts


def _equal(points: Sequence[Point], outcomes: Sequence[str]) -> bool:
    """Is every outcome the same in all arms that have one?"""
    values = [{v for p in points if (v := p.values.get(o)) is not None} for o in outcomes]
    return all(len(found) < 2 for found in values)


def _title(words: Words, trade: TradeOff) -> str:
    if trade.task == trade.metric:
        return words("tradeoff.all")
    return outcome(words, trade.task, trade.metric)


def _arm(label: str) -> tuple[str, str]:
    persona, _, condition = label.rpartition(" · ")
    return persona, condition


def _row(words: Words, found: Findings, point: Point, outcomes: list[str]) -> dict[str, Any]:
    arm, values = _arm(point.name), point.values
    front = point.on_front
    return {
        "arm": arm_name(words, *arm),
        "persona": arm[0],
        "condition": arm[1],
        "verified": yes(not found.unverified(*arm)) if arm[0] else "",
        **values,
        "strength_shown": signed(values[STRENGTH]),
        "values_shown": "; ".join(number(values[o], 3) for o in outcomes),
        "on_front": words("tradeoff.unknown" if front is None else f"js.{yes(front)}"),
        "dominated_by": ", ".join(arm_name(words, *_arm(n)) for n in point.dominated_by),
        "reason": point.reason or "",
    }


def _plane(words: Words, found: Findings, trade: TradeOff, title: str) -> Drawing | None:
    (outcome,) = (g for g in trade.goals if g != STRENGTH)
    spots = [_spot(words, found, p, outcome) for p in trade.points if p.on_front is not None]
    if not spots:
        return None
    better = words(f"tradeoff.{trade.goals[outcome]}")
    front = ", ".join(s.label for s in spots if s.front)
    axes = (words("axis.strength"), f"{words.name('metric', trade.metric)} ({better})")
    alt = words("alt.tradeoff", title=title, front=front)
    return Drawing(words("figure.tradeoff"), alt, partial(plane, spots, *axes))


def _spot(words: Words, found: Findings, point: Point, outcome: str) -> Spot:
    arm, (x, y) = _arm(point.name), (_known(point, name) for name in (STRENGTH, outcome))
    bar = Bar(arm[1], x, None, None, hollow=found.unverified(*arm))
    label = arm[0] or words.name("condition", arm[1])
    return Spot(label, bar, y, bool(point.on_front))


def _known(point: Point, name: str) -> float:
    """A value of a point that stands on or behind the front, which has them all."""
    value = point.values[name]
    assert value is not None
    return value


def plane(spots: Sequence[Spot], across: str, upward: str) -> Figure:
    """Arms as marks, the front as a line through those on it, the first few labelled."""
    figure = Figure(figsize=(WIDTH / 72, HEIGHT / 72))
    axes = figure.add_axes((44 / WIDTH, 40 / HEIGHT, (WIDTH - 60) / WIDTH, (HEIGHT - 52) / HEIGHT))
    plain_axes(axes)
    axes.grid(color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.margins(0.12)
    axes.locator_params(nbins=5)
    on = sorted((s for s in spots if s.front), key=lambda s: s.bar.value)
    axes.plot([s.bar.value for s in on], [s.y for s in on], color=INK, linewidth=1, alpha=0.6)
    for spot in spots:
        bar_mark(axes, spot.bar, spot.y, 1.0)
    middle = (min(s.bar.value for s in spots) + max(s.bar.value for s in spots)) / 2
    for (x, y), label in list(_labels(on).items())[:LABELS]:
        left = x > middle
        axes.annotate(
            label, (x, y), (-8 if left else 8, 0), color=INK, fontsize=10,
            textcoords="offset points", ha="right" if left else "left", va="center",
        )  # fmt: skip
    axes.set_xlabel(across, fontsize=10)
    axes.set_ylabel(upward, fontsize=10)
    return figure


def _labels(spots: Sequence[Spot]) -> dict[tuple[float, float], str]:
    """One label for all marks at one place."""
    found: dict[tuple[float, float], str] = {}
    for spot in spots:
        at = (round(spot.bar.value, 3), round(spot.y, 3))
        found[at] = f"{found[at]}, {spot.label}" if at in found else spot.label
    return found
