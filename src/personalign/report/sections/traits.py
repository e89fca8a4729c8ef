"""Which trait drives an outcome: the factorial effects of the sixteen types."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from personalign.analysis.factorial import Factorial
from personalign.findings import Findings
from personalign.report.drawing import figures
from personalign.report.drawing.figures import Bar, Row
from personalign.report.drawing.layout import (
    Drawing,
    Group,
    formatter,
    interval,
    outcome,
    p_value,
    told,
)
from personalign.report.drawing.tables import Show, table
from personalign.report.words import Words

__all__ = ["traits"]

DRAWN_ORDER = 2
"""Main effects and pairs are drawn; the table holds all fifteen."""
SHOWN: Mapping[str, Show] = {"arm": str, "effect_name": str, "shown": str, "p": p_value,
                             "p_adjusted": p_value, "check_shown": str,
                             "detectable_shown": str}  # fmt: skip


def traits(words: Words, found: Findings) -> list[Group]:
    """A group for each outcome, with a figure for each condition."""
    every = found.analysis.factorials
    parts = []
    for task, metric in dict.fromkeys((f.task, f.metric) for f in every):
        own = [f for f in every if (f.task, f.metric) == (task, metric)]
        show = formatter(_unit(found, task, metric), difference=True)
        title = outcome(words, task, metric)
        rows = [row for f in own for row in _rows(words, f, show)]
        shown = table(words, "factorial", rows, SHOWN, words("table.factorial", title=title))
        drawn = tuple(_drawing(words, f, title, show, _unit(found, task, metric)) for f in own)
        parts.append(Group(title, drawn, (shown,) if shown else ()))
    return parts


def _unit(found: Findings, task: str, metric: str) -> str:
    same = (e.unit for e in found.estimates if (e.task, e.metric) == (task, metric))
    return next(same, "value")


WHERE = {"task", "metric", "condition", "items", "method"}
WHAT = {"order", "value", "low", "high", "p", "p_adjusted", "check", "check_low", "check_high",
        "detectable", "reason"}  # fmt: skip


def _rows(words: Words, factorial: Factorial, show: Any) -> list[dict[str, Any]]:
    return [
        {
            "arm": words.name("condition", factorial.condition),
            "effect_name": e.name,
            **factorial.model_dump(include=WHERE),
            **e.model_dump(include=WHAT),
            "shown": interval(e.value, e.low, e.high, show),
            "check_shown": interval(e.check, e.check_low, e.check_high, show),
            "detectable_shown": show(e.detectable).lstrip("+"),
        }
        for e in factorial.effects
    ]


def _drawing(words: Words, factorial: Factorial, title: str, show: Any, unit: str) -> Drawing:
    condition = factorial.condition
    rows = [
        Row(
            e.name,
            interval(e.value, e.low, e.high, show),
            (Bar(condition, e.value, e.low, e.high),),
        )
        for e in factorial.effects
        if e.order <= DRAWN_ORDER
    ]
    share = unit == "proportion"
    axis = words("axis.points" if share else "axis.difference")
    alt = words("alt.factorial", title=title, condition=condition) + told(rows)
    draw = partial(figures.intervals, rows, axis, line=0, scale=100 if share else 1)
    return Drawing(words.name("condition", condition), alt, draw)
