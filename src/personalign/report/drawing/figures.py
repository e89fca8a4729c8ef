"""Figures, drawn narrow, so that a phone shows them at full size.

A filled mark is a verified persona's, a hollow one is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from personalign.report.drawing.ink import INK, LINE, MARKS, MUTED, PAPER

__all__ = [
    "ROW",
    "WIDTH",
    "Bar",
    "Pole",
    "Row",
    "bar_mark",
    "curves",
    "intervals",
    "panel",
    "plain_axes",
    "type_chart",
]

WIDTH = 344.0
ROW = 38.0


@dataclass(frozen=True, slots=True)
class Bar:
    """A value with its interval, under a condition; hollow where the persona is not verified."""

    condition: str
    value: float
    low: float | None
    high: float | None
    hollow: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A labelled line of a figure; `note` stands at its right end."""

    label: str
    note: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Pole:
    """A scale of the type chart: its two ends, the target's side, and where conditions stand."""

    negative: str
    positive: str
    target: int
    bars: tuple[Bar, ...]


def intervals(
    rows: Sequence[Row],
    axis: str,
    *,
    span: tuple[float, float] | None = None,
    line: float | None = None,
    scale: float = 1.0,
) -> Figure:
    """Rows of intervals: estimates, shares, or the contrasts of a forest plot.

    Args:
        span: Ends of the axis; taken from the data, and around `line`, where not given.
        line: Where a vertical reference line stands.
        scale: What values are multiplied with (100: proportions become points).
    """
    heights = [ROW + 12 * (len(row.bars) - 1) for row in rows]
    figure, axes = panel(sum(heights), axis)
    if line is not None:
        axes.axvline(line, color=MUTED, linewidth=1)
    top = 0.0
    for row, height in zip(rows, heights, strict=True):
        _text(axes, 0, top + 10, row.label, INK, "left")
        _text(axes, 1, top + 10, row.note, MUTED, "right")
        for k, bar in enumerate(row.bars):
            bar_mark(axes, bar, top + 24 + 12 * k, scale)
        top += height
    everything = [bar for row in rows for bar in row.bars]
    axes.set_xlim(span or _span(everything, scale, line))
    return figure


def type_chart(poles: Sequence[Pole], axis: str) -> Figure:
    """Scales with their poles; the target's pole is bold and its half of the row is shaded."""
    heights = [28.0 + 14 * max(1, len(pole.bars)) for pole in poles]
    figure, axes = panel(sum(heights), axis)
    low, high = _span([b for p in poles for b in p.bars], 1.0, 0.0, symmetric=True)
    axes.set_xlim(low, high)
    axes.axvline(0, color=MUTED, linewidth=1)
    top = 0.0
    for pole, height in zip(poles, heights, strict=True):
        _target(axes, pole, top, height, high)
        for k, bar in enumerate(pole.bars):
            bar_mark(axes, bar, top + 26 + 14 * k, 1.0)
        top += height
    return figure


def curves(panels: Sequence[tuple[str, Sequence[tuple[float, float]]]], axis: str) -> Figure:
    """Small panels, one above the other, over a common axis: (title, points) each."""
    height = 92.0
    total = height * len(panels) + 30
    figure = Figure(figsize=(WIDTH / 72, total / 72))
    for k, (title, points) in enumerate(panels):
        bottom = (total - height * (k + 1) + 6) / total
        axes = figure.add_axes((40 / WIDTH, bottom, (WIDTH - 48) / WIDTH, (height - 28) / total))
        plain_axes(axes)
        xs, ys = [p[0] for p in points], [p[1] for p in points]
        axes.plot(xs, ys, color=MARKS["adapter"][1], linewidth=1.6, marker="o", markersize=2.5)
        axes.margins(x=0.02, y=0.12)
        axes.locator_params(axis="y", nbins=3)
        axes.set_title(title, loc="left", fontsize=11, color=INK, pad=4)
        axes.grid(axis="y", color=LINE, linewidth=0.6)
        if k < len(panels) - 1:
            axes.tick_params(labelbottom=False)
        else:
            axes.set_xlabel(axis, fontsize=10)
    return figure


def panel(height: float, axis: str) -> tuple[Figure, Any]:
    """One panel whose vertical unit is the page's pixel, downwards from 0."""
    total = height + 42
    figure = Figure(figsize=(WIDTH / 72, total / 72))
    axes = figure.add_axes((8 / WIDTH, 38 / total, (WIDTH - 16) / WIDTH, height / total))
    plain_axes(axes)
    axes.set_ylim(height, 0)
    axes.set_yticks([])
    axes.locator_params(axis="x", nbins=5)
    axes.grid(axis="x", color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel(axis, fontsize=10)
    return figure, axes


def plain_axes(axes: Any) -> None:
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0, labelsize=10)


def _text(
    axes: Any, x: float, y: float, text: str, colour: str, side: str, bold: bool = False
) -> None:
    axes.text(
        x, y, text, color=colour, ha=side, va="center", fontsize=11,
        fontweight="bold" if bold else "normal", transform=axes.get_yaxis_transform(),
    )  # fmt: skip


def _target(axes: Any, pole: Pole, top: float, height: float, edge: float) -> None:
    if pole.target:
        axes.fill_between(
            [0, pole.target * edge], top + 18, top + height - 3, color=LINE, alpha=0.45, linewidth=0
        )
    for side, name, at in ((-1, pole.negative, "left"), (1, pole.positive, "right")):
        aim = pole.target == side
        label = f"◂ {name}" if aim and side < 0 else f"{name} ▸" if aim else name
        _text(axes, 0 if side < 0 else 1, top + 9, label, INK if aim else MUTED, at, bold=aim)


def bar_mark(axes: Any, bar: Bar, y: float, scale: float) -> None:
    marker, colour = MARKS.get(bar.condition, ("o", INK))
    if bar.low is not None and bar.high is not None:
        axes.plot([bar.low * scale, bar.high * scale], [y, y], color=colour, linewidth=2)
    axes.plot(
        [bar.value * scale], [y], marker=marker, markersize=6.5, color=colour, markeredgewidth=1.6,
        markerfacecolor=PAPER if bar.hollow else colour, clip_on=False, linestyle="none",
    )  # fmt: skip


def _span(
    bars: Iterable[Bar], scale: float, line: float | None, *, symmetric: bool = False
) -> tuple[float, float]:
    """Ends of an axis that holds all intervals and the reference line, with some air."""
    ends = [scale * v for b in bars for v in (b.value, b.low, b.high) if v is not None]
    ends += [] if line is None else [line]
    low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
    if symmetric:
        high = max(abs(low), abs(high))
        low = -high
    air = 0.08 * (high - low) or 1.0
    return low - air, high + air
