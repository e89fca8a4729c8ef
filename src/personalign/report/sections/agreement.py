"""Do the measures agree? The multitrait–multimethod matrix, where the verification holds one.

Source: Campbell & Fiske (1959), Psychological Bulletin 56:81–105.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from personalign.findings import Findings
from personalign.psychometrics.agreement import Correlation, Multitrait, Trait
from personalign.report.drawing.heatmap import heat_map
from personalign.report.drawing.layout import Drawing, Group, interval, some
from personalign.report.drawing.tables import Show, table
from personalign.report.words import Words, number, percent

__all__ = ["agreement", "tells_apart"]

SHOWN: Mapping[str, Show] = {
    "first": str, "second": str, "kind": str, "shown": str, "n": str, "reason": str,
}  # fmt: skip


def agreement(words: Words, found: Findings) -> list[Group]:
    """Correlations of measures and scales over arms: as a heat map, and with intervals."""
    matrix = found.validity.agreement
    if not matrix or all(c.value is None for c in matrix.correlations):
        return []
    rows = [_row(words, c) for c in matrix.correlations]
    title = words("table.agreement")
    return [
        Group(
            title,
            (_drawing(words, matrix, tells_apart(found)),),
            some(table(words, "agreement", rows, SHOWN)),
        )
    ]


def tells_apart(found: Findings) -> bool:
    """Can these personas show that two scales differ? Not where all scales part them alike."""
    targets = {v.persona: {s.scale: s.target for s in v.scales} for v in found.verifications}
    scales = dict.fromkeys(s for own in targets.values() for s in own)
    parted = {
        frozenset(
            frozenset(p for p, own in targets.items() if own.get(scale) == side)
            for side in {own.get(scale) for own in targets.values()}
        )
        for scale in scales
    }
    return len(parted) > 1


def _drawing(words: Words, matrix: Multitrait, apart: bool) -> Drawing:
    found = {frozenset([c.a, c.b]): c.value for c in matrix.correlations}
    traits = list(dict.fromkeys(t for c in matrix.correlations for t in (c.a, c.b)))
    values = [[1.0 if a == b else found.get(frozenset([a, b])) for b in traits] for a in traits]
    names = [_name(words, t) for t in traits]
    means = {
        "convergent": number(matrix.convergent),
        "discriminant": number(matrix.discriminant),
        "above": percent(matrix.above),
    }
    draw = partial(
        heat_map, names, names, values, lambda v: number(100 * v, 0), span=(-1.0, 1.0), ramp="PuOr"
    )
    alike = "".join(
        f" {_name(words, c.a)}, {_name(words, c.b)}: {number(c.value)};"
        for c in matrix.correlations
        if c.kind == "convergent"
    )
    key = "figure.agreement" if apart else "figure.agreement_alike"
    arms = max(c.n for c in matrix.correlations)
    return Drawing(words(key, n=arms, **means), words("alt.agreement") + alike, draw)


def _row(words: Words, c: Correlation) -> dict[str, Any]:
    return {
        "first": _name(words, c.a),
        "second": _name(words, c.b),
        "kind": words(f"kind.{c.kind.replace(' ', '_')}"),
        "r": c.value,
        "low": c.low,
        "high": c.high,
        "n": c.n,
        "shown": interval(c.value, c.low, c.high, number),
        "reason": c.reason or "",
    }


def _name(words: Words, trait: Trait) -> str:
    return f"{words.name('measure', trait.measure)} {trait.scale}"
