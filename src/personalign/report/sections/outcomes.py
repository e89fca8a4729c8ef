"""Every metric of every task: by condition, and compared on the same samples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, TypeVar

from personalign.analysis.results import ArmContrast, ArmEstimate
from personalign.findings import Findings
from personalign.report.drawing import figures
from personalign.report.drawing.layout import (
    Drawing,
    Group,
    arm_name,
    formatter,
    interval,
    levels,
    outcome,
    p_value,
    row,
    some,
    told,
    yes,
)
from personalign.report.drawing.tables import Show, table
from personalign.report.judges import agreement_told
from personalign.report.words import Words, number

__all__ = ["outcomes"]

Entry = TypeVar("Entry", ArmEstimate, ArmContrast)

ESTIMATES: Mapping[str, Show] = {
    "arm": str, "shown": str, "here_shown": str, "n": str, "missing": str,
}  # fmt: skip
CONTRASTS: Mapping[str, Show] = {
    "b": str, "a": str, "shown": str, "here_shown": str, "p": p_value, "p_adjusted": p_value,
    "effect": str, "n": str,
    "discordant": str, "detectable_shown": str,
}  # fmt: skip


def outcomes(words: Words, found: Findings) -> list[Group]:
    """Every metric of every task in the analysis."""
    names = dict.fromkeys((e.task, e.metric) for e in found.estimates)
    names |= dict.fromkeys((c.task, c.metric) for c in found.contrasts)
    return [_outcome(words, found, task, metric) for task, metric in names]


def _outcome(words: Words, found: Findings, task: str, metric: str) -> Group:
    def of(entries: Iterable[Entry]) -> list[Entry]:
        return [e for e in entries if (e.task, e.metric) == (task, metric)]

    title = outcome(words, task, metric)
    order = ["", *found.personas]  # the study's, not the alphabet's
    measured = [_estimate_row(words, found, e) for e in of(found.estimates)]
    measured.sort(key=lambda r: order.index(r["persona"]))
    compared = [_contrast_row(words, found, c) for c in of(found.contrasts)]
    compared.sort(key=lambda r: order.index(r["persona"]))
    forests = [_forest(words, title, p, [r for r in compared if r["persona"] == p]) for p in order]
    alt = words("alt.levels", title=title)
    drawn = levels(words, title, measured, "arm", words("figure.levels"), alt)
    return Group(
        title,
        some(drawn, *forests),
        some(
            table(words, "estimates", measured, ESTIMATES, words("table.estimates", title=title)),
            table(words, "contrasts", compared, CONTRASTS, words("table.contrasts", title=title)),
        ),
        some(
            agreement_told(words, found.calibrations, task, metric),
            words("outcome.strata") if any(r["here_low"] is not None for r in measured) else None,
            words("outcome.uncorrected") if any(r["uncorrected"] for r in compared) else None,
        ),
    )


def _estimate_row(words: Words, found: Findings, e: ArmEstimate) -> dict[str, Any]:
    persona, condition = e.arm.persona, e.arm.condition
    return {
        "task": e.task,
        "metric": e.metric,
        "persona": persona,
        "condition": condition,
        "arm": arm_name(words, persona, condition),
        "verified": _verified(found, persona, condition),
        "value": e.value,
        "low": e.low,
        "high": e.high,
        "confidence": e.confidence,
        "unit": e.unit,
        "n": e.n,
        "missing": sum(e.missing.values()),
        "states": "; ".join(f"{k} {v}" for k, v in e.missing.items()),
        "method": e.method,
        "reason": e.reason or "",
        **_here(e.on_benchmark, formatter(e.unit)),
        "shown": interval(e.value, e.low, e.high, formatter(e.unit)),
    }


def _contrast_row(words: Words, found: Findings, c: ArmContrast) -> dict[str, Any]:
    a, b = ((x.persona, str(x.condition)) for x in (c.a, c.b))
    marked = found.unverified(*a) or found.unverified(*b)
    show = formatter(c.unit, True)
    return {
        "task": c.task,
        "metric": c.metric,
        "a": arm_name(words, *a),
        "b": arm_name(words, *b),
        "persona": b[0],
        "condition": b[1],
        "compared": words("figure.against", b=arm_name(words, "", b[1]), a=_short(words, a, b)),
        "verified": yes(not marked) if b[0] else "",
        "difference": c.difference,
        "low": c.low,
        "high": c.high,
        "confidence": c.confidence,
        "unit": c.unit,
        "p": c.p,
        "p_adjusted": c.p_adjusted,
        "correction": c.correction,
        "family": c.family,
        "test": c.test,
        "method": c.method,
        "effect": "; ".join(f"{k.replace('_', ' ')} {number(v)}" for k, v in c.effects.items()),
        "n": c.n,
        "discordant": c.discordant,
        "detectable": c.detectable,
        "detectable_shown": formatter(c.unit)(c.detectable),
        "equivalence_margin": c.equivalence and c.equivalence.margin,
        "equivalence_p": c.equivalence and c.equivalence.p,
        "reason": c.reason or "",
        "uncorrected": c.uncorrected or "",
        **_here(c.on_benchmark, show),
        "shown": interval(c.difference, c.low, c.high, show),
    }


def _here(ends: tuple[float, float] | None, show: Show) -> dict[str, Any]:
    """The interval on this benchmark, where the other one is for other clusters."""
    low, high = ends or (None, None)
    shown = "–" if low is None else f"[{show(low)}, {show(high)}]"
    return {"here_low": low, "here_high": high, "here_shown": shown}


def _forest(words: Words, title: str, persona: str, rows: list[dict[str, Any]]) -> Drawing | None:
    drawn = [
        row(r["compared"], r, "difference", "low", "high", r["shown"])
        for r in rows
        if r["difference"] is not None
    ]
    if not drawn:
        return None
    share = all(r["unit"] == "proportion" for r in rows)
    alt = words("alt.forest", title=title, persona=persona) + told(drawn)
    axis = words("axis.points" if share else "axis.difference")
    draw = partial(figures.intervals, drawn, axis, line=0, scale=100 if share else 1)
    return Drawing(words("figure.forest", persona=persona), alt, draw)


def _short(words: Words, a: tuple[str, str], b: tuple[str, str]) -> str:
    """Arm `a` beside `b`: the persona need not be said twice."""
    return arm_name(words, "" if a[0] == b[0] else a[0], a[1])


def _verified(found: Findings, persona: str, condition: str) -> str:
    return yes(not found.unverified(persona, condition)) if persona else ""
