"""Where each persona stands on each scale, relative to base."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from personalign.personas import DICHOTOMIES
from personalign.psychometrics.verify import Verification
from personalign.report import figures
from personalign.report.figures import Bar, Pole
from personalign.report.findings import Findings
from personalign.report.layout import Drawing, Group, some, yes
from personalign.report.tables import Show, table
from personalign.report.words import Words, signed

__all__ = ["types"]

SHOWN: Mapping[str, Show] = {
    "arm": str, "scale": str, "measure": str, "shift": signed, "low": signed, "high": signed,
    "units": str, "verdict": str,
}  # fmt: skip


def types(words: Words, found: Findings) -> list[Group]:
    """A type chart a persona and measure: how far each scale moved from base."""
    parts = []
    for persona in found.personas:
        seen = [v for v in found.verifications if v.persona == persona]
        measures = dict.fromkeys(
            s.measure for v in seen for scale in v.scales for s in scale.shifts
        )
        charts = [c for m in measures if (c := _type_chart(words, seen, persona, m))]
        rows = [row for v in seen for row in _scale_rows(words, v)]
        shown = table(words, "scales", rows, SHOWN, words("table.scales", persona=persona))
        if charts:
            parts.append(Group(persona, tuple(charts), some(shown)))
    return parts


def _type_chart(
    words: Words, seen: list[Verification], persona: str, measure: str
) -> Drawing | None:
    scales = {s.scale: s.target for v in seen for s in v.scales}
    poles = [_pole(words, seen, scale, target, measure) for scale, target in scales.items()]
    if not any(p.bars for p in poles):
        return None
    title = words(f"measure.{measure}")
    alt = words("alt.types", persona=persona, measure=title)
    told = "; ".join(
        f"{p.negative}–{p.positive}: {', '.join(signed(b.value) for b in p.bars)}" for p in poles
    )
    answered = any(
        s.standing for v in seen for scale in v.scales for s in scale.shifts if s.measure == measure
    )
    axis = words("axis.shift_answers" if answered else "axis.shift")
    draw = partial(figures.type_chart, poles, axis)
    return Drawing(title, f"{alt} {told}", draw)


def _pole(words: Words, seen: list[Verification], scale: str, target: str, measure: str) -> Pole:
    bars = [
        Bar(v.condition, shift.shift, shift.low, shift.high, hollow=v.verdict != "confirmed")
        for v in seen
        for s in v.scales
        if s.scale == scale
        for shift in s.shifts
        if shift.measure == measure
    ]
    letters = DICHOTOMIES.get(scale)
    positive, negative = (letters[0], letters[1]) if letters else ("high", "low")
    side = 1 if target in (positive, "high") else -1
    names = [words(f"pole.{letter}") if letters else f"{scale} {words(f'pole.{letter}')}"
             for letter in (negative, positive)]  # fmt: skip
    return Pole(names[0], names[1], side, tuple(bars))


def _scale_rows(words: Words, v: Verification) -> Iterator[dict[str, Any]]:
    for scale in v.scales:
        for s in scale.shifts:
            yield {
                "persona": v.persona,
                "condition": v.condition,
                "arm": words.name("condition", v.condition),
                "verified": yes(v.verdict == "confirmed"),
                "scale": f"{scale.scale} → {scale.target}",
                "measure": words(f"measure.{s.measure}"),
                "units": s.units,
                "base": s.base,
                "position": s.position,
                "shift": s.shift,
                "low": s.low,
                "high": s.high,
                "probability": s.probability,
                "verdict": words(f"verdict.{s.verdict}"),
            }
