"""How training went: loss, accuracy and margin over the steps."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from personalign.findings import Findings
from personalign.report.drawing import figures
from personalign.report.drawing.layout import Drawing, Group, some
from personalign.report.drawing.tables import Show, Table, table
from personalign.report.words import Words, number

__all__ = ["training"]


def training(words: Words, found: Findings) -> list[Group]:
    """Loss, accuracy and margin of rewards over the steps of training."""
    parts = []
    for persona in found.personas:
        history = found.histories.get(persona, [])
        panels = []
        for key in ("loss", "rewards/accuracies", "rewards/margins"):
            points = [(h["step"], h[key]) for h in history if key in h and "step" in h]
            if points:
                panels.append((words(f"curve.{key}"), points))
        if panels:
            ends = "; ".join(f"{t}: {number(p[0][1])} → {number(p[-1][1])}" for t, p in panels)
            alt = f"{words('alt.training', persona=persona)} {ends}"
            draw = partial(figures.curves, panels, words("axis.step"))
            rows = [{"persona": persona} | h for h in history]
            drawing = Drawing("", alt, draw)
            parts.append(Group(persona, (drawing,), some(_history(words, persona, rows))))
    return parts


def _history(words: Words, persona: str, rows: list[dict[str, Any]]) -> Table | None:
    keys = dict.fromkeys(k for row in rows for k in row)
    even = [{k: row.get(k) for k in keys} for row in rows]
    show: Mapping[str, Show] = {"step": str, "loss": lambda v: number(v, 3)}
    return table(words, "training", even, show, words("table.training", persona=persona))
