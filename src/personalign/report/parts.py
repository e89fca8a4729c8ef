"""What stands where on the page: cards, figures and tables of a run, in the order of reading."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from personalign.personas import DICHOTOMIES
from personalign.psychometrics.verify import Margin, Verification
from personalign.report import figures, plain
from personalign.report.figures import Bar, Pole, Row
from personalign.report.findings import Findings
from personalign.report.margins import base_margin
from personalign.report.tables import Table, table
from personalign.report.words import Words, number, percent, signed

__all__ = ["Card", "Line", "Outcome", "behaviour", "cards", "outcomes", "training", "types"]

MEASURES = ("behaviour", "statements")


@dataclass(frozen=True, slots=True)
class Line:
    """One condition of a persona's card: its verdict, and what changed in plain words."""

    condition: str
    verdict: str
    unverified: bool
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Card:
    """The first thing a reader sees of a persona."""

    persona: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures under one heading, with the table that holds their numbers."""

    title: str
    figures: tuple[Markup, ...]
    table: Table | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """One metric of one task: by condition, and compared."""

    title: str
    levels: Markup | None
    forest: Markup | None
    tables: tuple[Table, ...]


def cards(words: Words, found: Findings) -> list[Card]:
    """A card a persona, in the study's order."""
    return [Card(p, tuple(_lines(words, found, p))) for p in found.personas]


def _lines(words: Words, found: Findings, persona: str) -> Iterator[Line]:
    before = base_margin(found, persona)
    for condition in found.conditions:
        if condition == "base":
            continue
        seen = found.verification(persona, condition)
        said = list(plain.changes(words, found, persona, condition))
        if seen and seen.margin:
            said.insert(0, plain.behaviour(words, persona, seen.margin, before))
        yield Line(
            condition=words.name("condition", condition),
            verdict=seen.verdict if seen else "unjudged",
            unverified=found.unverified(persona, condition),
            sentences=tuple(said or [words("plain.nothing")]),
        )


def types(words: Words, found: Findings) -> list[Figures]:
    """A type chart a persona and measure: how far each scale moved from base."""
    parts = []
    for persona in found.personas:
        seen = [v for v in found.verifications if v.persona == persona]
        charts = [c for m in MEASURES if (c := _type_chart(words, seen, persona, m))]
        rows = [row for v in seen for row in _scale_rows(words, v)]
        shown = table(words, "scales", rows, _SCALES, words("table.scales", persona=persona))
        if charts:
            parts.append(Figures(persona, tuple(charts), shown))
    return parts


def _type_chart(
    words: Words, seen: list[Verification], persona: str, measure: str
) -> Markup | None:
    scales = {s.scale: s.target for v in seen for s in v.scales}
    poles = [_pole(words, seen, scale, target, measure) for scale, target in scales.items()]
    if not any(p.bars for p in poles):
        return None
    title = words(f"measure.{measure}")
    alt = words("alt.types", persona=persona, measure=title)
    told = "; ".join(
        f"{p.negative}–{p.positive}: {', '.join(signed(b.value) for b in p.bars)}" for p in poles
    )
    return figures.type_chart(poles, f"{alt} {told}", f"{title}: {words('axis.shift')}")


def _pole(
    words: Words, seen: list[Verification], scale: str, target: str, measure: str
) -> Pole:
    bars = [
        Bar(v.condition, shift.shift, shift.low, shift.high, hollow=v.verdict != "confirmed")
        for v in seen
        for s in v.scales
        if s.scale == scale
        for shift in s.shifts
        if shift.measure == measure
    ]
    letters = DICHOTOMIES.get(scale)
    positive, negative = letters or ("high", "low")
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
                "verified": _yes(v.verdict == "confirmed"),
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


def behaviour(words: Words, found: Findings) -> list[Figures]:
    """The margin of the persona's reply over its opposite's, and the shares that tell it plainly."""
    parts = []
    for persona in found.personas:
        rows = list(_margin_rows(words, found, persona))
        if rows:
            drawn = (
                _margin_figure(words, persona, rows),
                _share_figure(words, persona, rows, "preferred"),
                _share_figure(words, persona, rows, "moved"),
            )
            shown = table(words, "margins", rows, _MARGINS, words("table.margins", persona=persona))
            parts.append(Figures(persona, tuple(d for d in drawn if d), shown))
    return parts


def _margin_rows(words: Words, found: Findings, persona: str) -> Iterator[dict[str, Any]]:
    if before := base_margin(found, persona):
        yield _margin_row(words, persona, "base", before, "")
    for v in found.verifications:
        if v.persona == persona and v.margin:
            yield _margin_row(words, persona, v.condition, v.margin, _yes(v.verdict == "confirmed"))


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
        row[f"{name}_shown"] = _interval(*share, percent) if share[0] is not None else "–"
    return row | {"mean_shown": _interval(m.mean, m.low, m.high, signed)}


def _margin_figure(words: Words, persona: str, rows: list[dict[str, Any]]) -> Markup:
    drawn = [_row(r["arm"], r, "mean", "low", "high", r["mean_shown"]) for r in rows]
    alt = words("alt.margin", persona=persona) + _told(drawn)
    return figures.intervals(drawn, alt, words("axis.margin"), line=0)


def _share_figure(
    words: Words, persona: str, rows: list[dict[str, Any]], name: str
) -> Markup | None:
    drawn = [
        _row(r["arm"], r, name, f"{name}_low", f"{name}_high", r[f"{name}_shown"])
        for r in rows
        if r[name] is not None
    ]
    if not drawn:
        return None
    alt = words(f"alt.{name}", persona=persona) + _told(drawn)
    axis = words(f"axis.{name}", persona=persona)
    return figures.intervals(drawn, alt, axis, span=(-3, 103), line=50, scale=100)


def outcomes(words: Words, found: Findings) -> list[Outcome]:
    """Every metric of every task in the analysis."""
    names = dict.fromkeys(
        (e["task"], e["metric"]) for e in [*found.estimates, *found.contrasts]
    )
    return [_outcome(words, found, task, metric) for task, metric in names]


def _outcome(words: Words, found: Findings, task: str, metric: str) -> Outcome:
    def of(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [e for e in entries if (e["task"], e["metric"]) == (task, metric)]

    title = f"{words.name('task', task)}: {words.name('metric', metric)}"
    levels = [_estimate_row(words, found, e) for e in of(found.estimates)]
    compared = [_contrast_row(words, found, c) for c in of(found.contrasts)]
    made = (
        table(words, "estimates", levels, _ESTIMATES, words("table.estimates", title=title)),
        table(words, "contrasts", compared, _CONTRASTS, words("table.contrasts", title=title)),
    )
    return Outcome(
        title=title,
        levels=_levels(words, title, levels),
        forest=_forest(words, title, compared),
        tables=tuple(t for t in made if t),
    )


def _estimate_row(words: Words, found: Findings, e: dict[str, Any]) -> dict[str, Any]:
    persona, condition = e["arm"].get("persona", ""), e["arm"].get("condition", "")
    unit = e.get("unit", "value")
    shown = _interval(e.get("value"), e.get("low"), e.get("high"), _format(unit))
    missing = sum((e.get("missing") or {}).values())
    return {
        "task": e["task"],
        "metric": e["metric"],
        "persona": persona,
        "condition": condition,
        "arm": _arm(words, persona, condition),
        "verified": _verified(found, persona, condition),
        "value": e.get("value"),
        "low": e.get("low"),
        "high": e.get("high"),
        "confidence": e.get("confidence"),
        "unit": unit,
        "n": e.get("n"),
        "missing": missing,
        "states": "; ".join(f"{k} {v}" for k, v in (e.get("missing") or {}).items()),
        "method": e.get("method"),
        "reason": e.get("reason") or "",
        "shown": shown,
    }


def _contrast_row(words: Words, found: Findings, c: dict[str, Any]) -> dict[str, Any]:
    a, b = ((x.get("persona", ""), x.get("condition", "")) for x in (c.get("a") or {}, c["b"]))
    unit = c.get("unit", "value")
    marked = found.unverified(*a) or found.unverified(*b)
    effects = c.get("effects") or {}
    return {
        "task": c["task"],
        "metric": c["metric"],
        "a": _arm(words, *a),
        "b": _arm(words, *b),
        "condition": b[1],
        "compared": words("figure.against", b=_arm(words, *b), a=_short(words, a, b)),
        "verified": _yes(not marked) if b[0] else "",
        "difference": c.get("difference"),
        "low": c.get("low"),
        "high": c.get("high"),
        "confidence": c.get("confidence"),
        "unit": unit,
        "p": c.get("p"),
        "p_adjusted": c.get("p_adjusted"),
        "correction": c.get("correction"),
        "test": c.get("test"),
        "method": c.get("method"),
        "effect": "; ".join(f"{k} {number(v)}" for k, v in effects.items()),
        "n": c.get("n"),
        "discordant": c.get("discordant"),
        "detectable": c.get("detectable"),
        "detectable_shown": _format(unit)(c.get("detectable")),
        "reason": c.get("reason") or "",
        "shown": _interval(c.get("difference"), c.get("low"), c.get("high"), _format(unit, True)),
    }


def _levels(words: Words, title: str, rows: list[dict[str, Any]]) -> Markup | None:
    drawn = [
        _row(r["arm"], r, "value", "low", "high", r["shown"])
        for r in rows
        if r["value"] is not None
    ]
    if not drawn:
        return None
    share = all(r["unit"] == "proportion" for r in rows)
    alt = words("alt.levels", title=title) + _told(drawn)
    axis = words("axis.percent" if share else "axis.value", title=title)
    return figures.intervals(drawn, alt, axis, scale=100 if share else 1)


def _forest(words: Words, title: str, rows: list[dict[str, Any]]) -> Markup | None:
    drawn = [
        _row(r["compared"], r, "difference", "low", "high", r["shown"])
        for r in rows
        if r["difference"] is not None
    ]
    if not drawn:
        return None
    share = all(r["unit"] == "proportion" for r in rows)
    alt = words("alt.forest", title=title) + _told(drawn)
    axis = words("axis.points" if share else "axis.difference")
    return figures.intervals(drawn, alt, axis, line=0, scale=100 if share else 1)


def training(words: Words, found: Findings) -> list[Figures]:
    """Loss, accuracy and margin of rewards over the steps of training."""
    parts = []
    for persona, history in found.histories.items():
        panels = []
        for key in ("loss", "rewards/accuracies", "rewards/margins"):
            points = [(h["step"], h[key]) for h in history if key in h and "step" in h]
            if points:
                panels.append((words(f"curve.{key}"), points))
        if panels:
            ends = "; ".join(f"{t}: {number(p[0][1])} → {number(p[-1][1])}" for t, p in panels)
            alt = f"{words('alt.training', persona=persona)} {ends}"
            drawn = figures.curves(panels, alt, words("axis.step"))
            rows = [{"persona": persona} | h for h in history]
            parts.append(Figures(persona, (drawn,), _history(words, persona, rows)))
    return parts


def _history(words: Words, persona: str, rows: list[dict[str, Any]]) -> Table | None:
    keys = dict.fromkeys(k for row in rows for k in row)
    even = [{k: row.get(k) for k in keys} for row in rows]
    show = {"step": str, "loss": lambda v: number(v, 3)}
    return table(words, "training", even, show, words("table.training", persona=persona))


def _row(label: str, r: dict[str, Any], value: str, low: str, high: str, note: str) -> Row:
    marked = r["verified"] == "no"
    bar = Bar(r["condition"], r[value], r[low], r[high], hollow=marked)
    return Row(f"{label} †" if marked else label, note, (bar,))


def _told(rows: list[Row]) -> str:
    return " " + "; ".join(f"{row.label}: {row.note}" for row in rows)


def _interval(value: Any, low: Any, high: Any, show: Any) -> str:
    if value is None:
        return "–"
    return str(show(value)) if low is None or high is None else f"{show(value)} [{show(low)}, {show(high)}]"


def _format(unit: str, difference: bool = False) -> Any:
    if unit == "proportion":
        return (lambda v: signed(None if v is None else 100 * v, 1)) if difference else (lambda v: percent(v, 1))
    return signed if difference else number


def _arm(words: Words, persona: str, condition: str) -> str:
    name = words.name("condition", condition)
    return f"{persona} · {name}" if persona else name


def _short(words: Words, a: tuple[str, str], b: tuple[str, str]) -> str:
    """Arm `a` beside `b`: the persona need not be said twice."""
    return _arm(words, "" if a[0] == b[0] else a[0], a[1])


def _verified(found: Findings, persona: str, condition: str) -> str:
    return _yes(not found.unverified(persona, condition)) if persona else ""


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _p(value: float | None) -> str:
    return "–" if value is None else "< 0.001" if value < 0.001 else number(value, 3)


_SCALES = {
    "arm": str, "scale": str, "measure": str, "shift": signed, "low": signed, "high": signed,
    "units": str, "verdict": str,
}  # fmt: skip
_MARGINS = {"arm": str, "scenes": str, "mean_shown": str, "preferred_shown": str, "moved_shown": str}
_ESTIMATES = {"arm": str, "shown": str, "n": str, "missing": str}
_CONTRASTS = {
    "b": str, "a": str, "shown": str, "p": _p, "p_adjusted": _p, "effect": str, "n": str,
    "discordant": str, "detectable_shown": str,
}  # fmt: skip
