"""The persona's reply against its opposite's: margin, share preferred, share moved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from personalign.findings import Findings
from personalign.psychometrics.verify import Margin
from personalign.report.drawing import figures
from personalign.report.drawing.layout import Drawing, Group, interval, row, some, told, yes
from personalign.report.drawing.tables import Show, table
from personalign.report.words import Words, percent, signed

__all__ = ["behaviour"]

SHOWN: Mapping[str, Show] = {
    "arm": str,
    "scenes": str,
    "mean_shown": str,
    "preferred_shown": str,
    "moved_shown": str,
}


def behaviour(words: Words, found: Findings) -> list[Group]:
    """The persona's reply against its opposite's: the margin, and shares that tell it plainly."""
    parts = []
    for persona in found.personas:
        rows = list(_margin_rows(words, found, persona))
        if rows:
            drawn = (
                _margin_figure(words, persona, rows),
                _share_figure(words, persona, rows, "preferred"),
                _share_figure(words, persona, rows, "moved"),
            )
            shown = table(words, "margins", rows, SHOWN, words("table.margins", persona=persona))
            parts.append(Group(persona, some(*drawn), some(shown)))
    return parts


def _margin_rows(words: Words, found: Findings, persona: str) -> Iterator[dict[str, Any]]:
    own = [v for v in found.verifications if v.persona == persona]
    for before in [v.before for v in own if v.before][:1]:
        yield _margin_row(words, persona, "base", before, "")
    for v in own:
        if v.margin:
            yield _margin_row(words, persona, v.condition, v.margin, yes(v.confirmed))


def _margin_row(
    words: Words, persona: str, condition: str, m: Margin, verified: str
) -> dict[str, Any]:
    moved = m.moved or (None, None, None)
    row = {
        "persona": persona,
        "condition": condition,
        "arm": words.name("condition", condition),
        "verified": verified,
        "scenes": m.scenes,
        "mean": m.mean,
        "low": m.low,
        "high": m.high,
    }
    for name, share in (("preferred", m.preferred), ("moved", moved)):
        row |= dict(zip((name, f"{name}_low", f"{name}_high"), share, strict=True))
        row[f"{name}_shown"] = interval(*share, percent) if share[0] is not None else "–"
    return row | {"mean_shown": interval(m.mean, m.low, m.high, signed)}


def _margin_figure(words: Words, persona: str, rows: list[dict[str, Any]]) -> Drawing:
    drawn = [row(r["arm"], r, "mean", "low", "high", r["mean_shown"]) for r in rows]
    alt = words("alt.margin", persona=persona) + told(drawn)
    draw = partial(figures.intervals, drawn, words("axis.margin"), line=0)
    return Drawing(words("figure.margin"), alt, draw)


def _share_figure(
    words: Words, persona: str, rows: list[dict[str, Any]], name: str
) -> Drawing | None:
    drawn = [
        row(r["arm"], r, name, f"{name}_low", f"{name}_high", r[f"{name}_shown"])
        for r in rows
        if r[name] is not None
    ]
    if not drawn:
        return None
    alt = words(f"alt.{name}", persona=persona) + told(drawn)
    axis, caption = words("axis.scenes"), words(f"figure.{name}", persona=persona)
    draw = partial(figures.intervals, drawn, axis, span=(-3, 103), line=50, scale=100)
    return Drawing(caption, alt, draw)
