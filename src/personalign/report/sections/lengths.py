"""How long replies are, task by task: a difference that others may come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from personalign.analysis.results import Length
from personalign.findings import Findings
from personalign.report.drawing.layout import (
    Group,
    arm_name,
    formatter,
    interval,
    levels,
    some,
    yes,
)
from personalign.report.drawing.tables import Show, table
from personalign.report.words import Words

__all__ = ["lengths"]

COLUMNS: Mapping[str, Show] = {"arm": str, "shown": str, "cut_shown": str, "n": str}


def lengths(words: Words, found: Findings) -> list[Group]:
    """A group for each task whose replies are in the run."""
    entries = found.analysis.lengths
    tasks = dict.fromkeys(e.task for e in entries)
    return [_group(words, found, t, [e for e in entries if e.task == t]) for t in tasks]


def _group(words: Words, found: Findings, task: str, entries: Sequence[Length]) -> Group:
    title = words.name("task", task)
    rows = [_row(words, found, e) for e in entries]
    order = ["", *found.personas]
    rows.sort(key=lambda r: order.index(r["persona"]))
    caption = words("table.lengths", title=title)
    drawn = levels(
        words, words("axis.tokens"), rows, "arm", words("figure.levels"), words("alt.lengths")
    )
    return Group(title, some(drawn), some(table(words, "lengths", rows, COLUMNS, caption)))


def _row(words: Words, found: Findings, e: Length) -> dict[str, Any]:
    persona, condition = e.arm.persona, e.arm.condition
    tokens, cut = ((x.value, x.low, x.high) for x in (e.tokens, e.cut))
    return {
        "task": e.task,
        "arm": arm_name(words, persona, condition),
        "persona": persona,
        "condition": condition,
        "verified": yes(not found.unverified(persona, condition)) if persona else "",
        "value": tokens[0],
        "low": tokens[1],
        "high": tokens[2],
        "unit": "value",
        "cut": cut[0],
        "cut_low": cut[1],
        "cut_high": cut[2],
        "n": e.tokens.n,
        "shown": interval(*tokens, formatter("value")),
        "cut_shown": interval(*cut, formatter("proportion")),
    }
