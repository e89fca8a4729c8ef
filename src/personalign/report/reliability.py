"""Can the measures be trusted? Reliability, biases and losses, and labels that pass by accident."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Any

from personalign.psychometrics.validity import ArmFigure, FalseLabels
from personalign.report.findings import Findings
from personalign.report.layout import Group, interval, some
from personalign.report.tables import Show, table
from personalign.report.words import Words, number

__all__ = ["reliability"]

FIGURES: Mapping[str, Show] = {
    "figure": str, "scale": str, "arm": str, "shown": str, "n": str, "over": str, "reason": str,
}  # fmt: skip
LABELS: Mapping[str, Show] = {"arm": str, "own": str, "confirmed": str, "labels": str}


def reliability(words: Words, found: Findings) -> list[Group]:
    """A table of figures for each measure, and one of labels that nobody meant."""
    known = found.validity
    groups = [
        _measure(words, measure, list(figures))
        for measure, figures in groupby(
            sorted(known.reliability, key=lambda f: f.measure), key=lambda f: f.measure
        )
    ]
    labels = [_label(entry) for entry in known.false_labels]
    shown = table(words, "false_labels", labels, LABELS)
    return [*groups, *([Group(words("table.false_labels"), (), (shown,))] if shown else [])]


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


def _label(entry: FalseLabels) -> dict[str, Any]:
    return {
        "arm": entry.arm,
        "own": entry.own or "–",
        "confirmed": ", ".join(entry.confirmed) or "–",
        "labels": entry.labels,
        "rate": entry.rate,
    }
