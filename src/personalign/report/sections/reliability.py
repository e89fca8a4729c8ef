"""Can the measures be trusted? Reliability, biases and losses."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import groupby
from typing import Any

from personalign.findings import Findings
from personalign.psychometrics.validity import ArmFigure
from personalign.report.drawing.heatmap import heat_map
from personalign.report.drawing.layout import Drawing, Group, interval, some
from personalign.report.drawing.tables import Show, table
from personalign.report.words import Words, number

__all__ = ["reliability"]

FIGURES: Mapping[str, Show] = {
    "figure": str, "scale": str, "arm": str, "shown": str, "n": str, "over": str, "reason": str,
}  # fmt: skip


def reliability(words: Words, found: Findings) -> list[Group]:
    """Alpha at a glance, and a table of figures for each measure."""
    known = found.validity
    return [
        *some(_alphas(words, [f for f in known.reliability if f.name == "alpha"])),
        *_measures(words, known.reliability),
    ]


def _alphas(words: Words, figures: list[ArmFigure]) -> Group | None:
    """Cronbach's alpha over arms, a row a measure and a column a scale."""
    value = {(f.measure, f.scale): f.value for f in figures}
    if all(v is None for v in value.values()):
        return None
    measures, scales = (list(dict.fromkeys(k[i] for k in value)) for i in (0, 1))
    names = [words.name("measure", m) for m in measures]
    values = [[value.get((m, s)) for s in scales] for m in measures]
    told = "".join(f" {words.name('measure', m)} {s} {number(v)};" for (m, s), v in value.items())
    draw = partial(heat_map, names, scales, values, lambda v: number(100 * v, 0))
    title = words("figure.alpha")
    return Group(title, (Drawing(words("figure.alpha_by"), title + told, draw),))


def _measures(words: Words, every: tuple[ArmFigure, ...]) -> list[Group]:
    return [
        _measure(words, measure, list(figures))
        for measure, figures in groupby(
            sorted(every, key=lambda f: f.measure), key=lambda f: f.measure
        )
    ]


def _measure(words: Words, measure: str, figures: list[ArmFigure]) -> Group:
    title = words.name("measure", measure)
    rows = [_figure(words, f) for f in figures]
    caption = words("table.reliability", measure=title)
    return Group(title, (), some(table(words, "reliability", rows, FIGURES, caption)))


def _figure(words: Words, f: ArmFigure) -> dict[str, Any]:
    return {
        "measure": f.measure,
        "figure": f.name,
        "scale": f.scale,
        "arm": f.arm or words("over.all"),
        "value": f.value,
        "low": f.low,
        "high": f.high,
        "n": f.n,
        "over": f.over,
        "method": f.method,
        "shown": interval(f.value, f.low, f.high, number),
        "reason": f.reason or "",
    }
