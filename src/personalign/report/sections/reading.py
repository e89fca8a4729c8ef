"""What people heard who did not know who was speaking, and how far raters hear the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from personalign.analysis.results import Estimate
from personalign.findings import Findings
from personalign.psychometrics.reading import agreement, raters, told
from personalign.report.drawing.layout import Group, arm_name, interval, some
from personalign.report.drawing.tables import Show, table
from personalign.report.words import Words, number, percent

__all__ = ["reading"]

TOLD: Mapping[str, Show] = {
    "reader": str, "arm": str, "against": str, "share_shown": str, "n": str,
}  # fmt: skip
ALIKE: Mapping[str, Show] = {
    "reader": str, "other": str, "same_shown": str, "kappa_shown": str, "n": str,
}  # fmt: skip


def reading(words: Words, found: Findings) -> list[Group]:
    """Shares told by people and by raters on the same trials, and who takes the same replies."""
    if not found.readings:
        return []
    machines = raters(found.readings, found.scores, found.sides)
    shares = [
        {
            "reader": t.reader or words("reading.all"),
            "persona": t.persona,
            "condition": t.condition,
            "arm": arm_name(words, t.persona, t.condition),
            "against": words(f"reading.{t.against}"),
            **_columns("share", t.share),
        }
        for t in (*told(found.readings), *(t for t in told(machines) if t.reader))
    ]
    alike = [
        {"reader": a.a, "other": a.b, **_columns("same", a.same), **_columns("kappa", a.kappa)}
        for a in agreement([*found.readings, *machines])
    ]
    tables = some(table(words, "reading", shares, TOLD), table(words, "readers", alike, ALIKE))
    return [Group(words("table.reading"), (), tables, tuple(_sentences(words, found)))]


def _sentences(words: Words, found: Findings) -> Iterator[str]:
    """What all people together told."""
    for t in told(found.readings):
        if not t.reader:
            arm = arm_name(words, t.persona, t.condition)
            share = interval(t.share.value, t.share.low, t.share.high, percent)
            against = words(f"reading.{t.against}")
            yield words("reading.told", arm=arm, against=against, n=t.share.n, share=share)


def _columns(name: str, e: Estimate) -> dict[str, Any]:
    show = number if e.unit == "kappa" else percent
    shown = interval(e.value, e.low, e.high, show)
    ends = {name: e.value, f"{name}_low": e.low, f"{name}_high": e.high}
    return {**ends, f"{name}_shown": shown, "n": e.n}
