"""Figures as SVG whose text is text, drawn narrow, so that a phone shows them at full size.

Colours are CSS variables of the page (`INKS`), so that they follow its dark and light modes; the
four conditions use Okabe & Ito's colour-blind-safe palette and differ in shape as well. A filled
mark is a verified persona's, a hollow one is not.
"""

from __future__ import annotations

import io
import re
import warnings
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.figure import Figure

__all__ = ["MARKS", "Bar", "Pole", "Row", "curves", "intervals", "type_chart"]

WIDTH = 344.0
ROW = 38.0
INKS = {
    "#010101": "var(--ink)",
    "#020202": "var(--muted)",
    "#030303": "var(--line)",
    "#040404": "var(--paper)",
    "#050505": "var(--base)",
    "#060606": "var(--prompted)",
    "#070707": "var(--adapter)",
    "#080808": "var(--both)",
}
INK, MUTED, LINE, PAPER, *_ = INKS
MARKS = {
    "base": ("o", "#050505"),
    "prompted": ("s", "#060606"),
    "adapter": ("^", "#070707"),
    "prompted+adapter": ("D", "#080808"),
}
RC: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "personalign",
    "text.parse_math": False,
    "font.size": 11,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.unicode_minus": True,
    "xtick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.color": LINE,
    "ytick.labelcolor": MUTED,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
}


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
    alt: str,
    axis: str,
    *,
    span: tuple[float, float] | None = None,
    line: float | None = None,
    scale: float = 1.0,
) -> Markup:
    """Rows of intervals: estimates, shares, or the contrasts of a forest plot.

    Args:
        span: Ends of the axis; taken from the data, and around `line`, where not given.
        line: Where a vertical reference line stands.
        scale: What values are multiplied with (100: proportions become points).
    """
    heights = [ROW + 12 * (len(row.bars) - 1) for row in rows]
    with mpl.rc_context(RC):
        figure, axes = _panel(sum(heights), axis)
        if line is not None:
            axes.axvline(line, color=MUTED, linewidth=1)
        top = 0.0
        for row, height in zip(rows, heights, strict=True):
            _text(axes, 0, top + 10, row.label, INK, "left")
            _text(axes, 1, top + 10, row.note, MUTED, "right")
            for k, bar in enumerate(row.bars):
                _bar(axes, bar, top + 24 + 12 * k, scale)
            top += height
        everything = [bar for row in rows for bar in row.bars]
        axes.set_xlim(span or _span(everything, scale, line))
        return _svg(figure, alt)


def type_chart(poles: Sequence[Pole], alt: str, axis: str) -> Markup:
    """Scales with their poles; the target's pole is bold and its half of the row is shaded."""
    heights = [28.0 + 14 * max(1, len(pole.bars)) for pole in poles]
    with mpl.rc_context(RC):
        figure, axes = _panel(sum(heights), axis)
        low, high = _span([b for p in poles for b in p.bars], 1.0, 0.0, symmetric=True)
        axes.set_xlim(low, high)
        axes.axvline(0, color=MUTED, linewidth=1)
        top = 0.0
        for pole, height in zip(poles, heights, strict=True):
            _target(axes, pole, top, height, high)
            for k, bar in enumerate(pole.bars):
                _bar(axes, bar, top + 26 + 14 * k, 1.0)
            top += height
        return _svg(figure, alt)


def curves(
    panels: Sequence[tuple[str, Sequence[tuple[float, float]]]], alt: str, axis: str
) -> Markup:
    """Small panels, one above the other, over a common axis: (title, points) each."""
    height = 92.0
    with mpl.rc_context(RC):
        total = height * len(panels) + 30
        figure = Figure(figsize=(WIDTH / 72, total / 72))
        for k, (title, points) in enumerate(panels):
            bottom = (total - height * (k + 1) + 6) / total
            axes = figure.add_axes(
                (40 / WIDTH, bottom, (WIDTH - 48) / WIDTH, (height - 28) / total)
            )
            _plain(axes)
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
        return _svg(figure, alt)


def _panel(height: float, axis: str) -> tuple[Figure, Any]:
    """One panel whose vertical unit is the page's pixel, downwards from 0."""
    total = height + 42
    figure = Figure(figsize=(WIDTH / 72, total / 72))
    axes = figure.add_axes((8 / WIDTH, 38 / total, (WIDTH - 16) / WIDTH, height / total))
    _plain(axes)
    axes.set_ylim(height, 0)
    axes.set_yticks([])
    axes.locator_params(axis="x", nbins=5)
    axes.grid(axis="x", color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel(axis, fontsize=10)
    return figure, axes


def _plain(axes: Any) -> None:
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


def _bar(axes: Any, bar: Bar, y: float, scale: float) -> None:
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


def _svg(figure: Figure, alt: str) -> Markup:
    """The figure as an inline SVG element that inherits the page's font and colours."""
    out = io.StringIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # glyphs are the browser's business
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    svg = out.getvalue()
    return Markup(_inline(svg, alt, f"f{zlib.crc32((alt + svg).encode()):08x}-"))


def _inline(svg: str, alt: str, prefix: str) -> str:
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", body, flags=re.S)
    box = re.search(r'viewBox="[^"]*"', body)
    head = f'<svg {box[0] if box else ""} role="img" aria-label="{escape(alt)}">'
    body = head + body[body.index(">") + 1 :]
    for ink, variable in INKS.items():
        body = body.replace(ink, variable)
    body = re.sub(r"font: (?:(bold|700) )?([\d.]+)px [^;\"]*", _font, body)
    body = re.sub(r' id="', f' id="{prefix}', body)
    body = re.sub(r"url\(#", f"url(#{prefix}", body)
    return re.sub(r'href="#', f'href="#{prefix}', body)


def _font(found: re.Match[str]) -> str:
    return f"font-size: {found[2]}px" + ("; font-weight: 700" if found[1] else "")
