"""Where each persona stands on each scale, relative to base."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from personalign.findings import Findings
from personalign.personas import DICHOTOMIES
from personalign.psychometrics.verify import ScaleVerdict, Verification
from personalign.report.drawing import figures
from personalign.report.drawing.figures import Bar, Pole
from personalign.report.drawing.layout import Drawing, Group, some, yes
from personalign.report.drawing.tables import Show, table
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
            s.measure for v in seen for scale in _judged(v) for s in scale.shifts
        )
        charts = [c for m in measures if (c := _type_chart(words, seen, persona, m))]
        rows = [row for v in seen for row in _scale_rows(words, v)]
        shown = table(words, "scales", rows, SHOWN, words("table.scales", persona=persona))
        if charts:
            parts.append(Group(persona, tuple(charts), some(shown)))
    return parts


def _judged(v: Verification) -> tuple[ScaleVerdict, ...]:
    """Its scales by log-probs and self-report, and by free text."""
    return (*v.scales, *v.spoken)


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
    own = [s for v in seen for scale in _judged(v) for s in scale.shifts if s.measure == measure]
    rated = {s.measure for v in seen for scale in v.spoken for s in scale.shifts}
    bounded = measure in rated or any(s.standing for s in own)
    axis = words("axis.shift_answers" if bounded else "axis.shift")
    draw = partial(figures.type_chart, poles, axis)
    return Drawing(title, f"{alt} {told}", draw)


def _pole(words: Words, seen: list[Verification], scale: str, target: str, measure: str) -> Pole:
    bars = [
        Bar(v.condition, shift.shift, shift.low, shift.high, hollow=not v.confirmed)
        for v in seen
        for s in _judged(v)
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
    for scale in _judged(v):
        for s in scale.shifts:
            yield {
                "persona": v.persona,
                "condition": v.condition,
                "arm": words.name("condition", v.condition),
                "verified": yes(v.confirmed),
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
