"""Heat maps: rows by columns, each cell with its number, so that no colour need be read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from unicodedata import east_asian_width

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from personalign.report.drawing.figures import WIDTH
from personalign.report.drawing.ink import INK, MUTED

__all__ = ["heat_map"]

CELL = 20.0
LETTER = 5.6
LONGEST = 28


def heat_map(
    rows: Sequence[str],
    columns: Sequence[str],
    values: Sequence[Sequence[float | None]],
    show: Callable[[float], str],
    *,
    span: tuple[float, float] = (0.0, 1.0),
    ramp: str = "cividis",
) -> Figure:
    """A matrix as coloured cells with their numbers; a missing value is a dash without colour.

    Args:
        values: A sequence for each row, with a value for each column.
        show: How a value is written, in three characters or so.
        span: Values at the two ends of the colours.
        ramp: matplotlib's name for them: `cividis` (made for colour-blind readers) for amounts,
            `PuOr` for what has two sides.

    Source: Nuñez, Anderton & Renslow (2018), PLoS ONE 13:e0199239 (cividis).
    """
    left = 8 + max(map(_width, rows))
    top = 10 + max(map(_width, columns))
    wide = min((WIDTH - left) / len(columns), 2 * CELL)
    total = top + CELL * len(rows) + 4
    figure = Figure(figsize=(WIDTH / 72, total / 72))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, WIDTH)
    axes.set_ylim(total, 0)
    colours = mpl.colormaps[ramp]
    for j, name in enumerate(columns):
        x = left + wide * (j + 0.5)
        axes.text(x, top - 4, _short(name), color=MUTED, fontsize=10, rotation=90,
                  ha="center", va="bottom")  # fmt: skip
    for i, (name, line) in enumerate(zip(rows, values, strict=True)):
        y = top + CELL * i
        axes.text(left - 5, y + CELL / 2, _short(name), color=INK, fontsize=10, ha="right",
                  va="center")  # fmt: skip
        for j, value in enumerate(line):
            x, fill = left + wide * j, "none"
            ink = MUTED
            if value is not None:
                shade = colours((value - span[0]) / (span[1] - span[0]))
                fill, ink = mpl.colors.to_hex(shade), _on(shade)
                axes.add_patch(Rectangle((x + 0.5, y + 0.5), wide - 1, CELL - 1, color=fill))
            said = axes.text(
                x + wide / 2, y + CELL / 2, "–" if value is None else show(value), color=ink,
                fontsize=9, ha="center", va="center",
            )  # fmt: skip
            said.set_gid(f"cell-{i}-{j}")
    return figure


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def _width(name: str) -> float:
    """Of a label in points: Hangul and its like are two letters wide."""
    return LETTER * sum(1 + (east_asian_width(c) in "WF") for c in _short(name))


def _on(shade: tuple[float, float, float, float]) -> str:
    """Black or white, whichever stands out more. Source: WCAG 2.2, relative luminance."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in shade[:3]]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if luminance > 0.179 else "#ffffff"
