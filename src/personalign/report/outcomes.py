"""Every metric of every task: by condition, and compared on the same samples."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from personalign.report import figures
from personalign.report.findings import Findings
from personalign.report.judges import agreement_told
from personalign.report.layout import (
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
from personalign.report.tables import Show, table
from personalign.report.words import Words, number

__all__ = ["outcomes"]

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
    names = dict.fromkeys((e["task"], e["metric"]) for e in [*found.estimates, *found.contrasts])
    return [_outcome(words, found, task, metric) for task, metric in names]


def _outcome(words: Words, found: Findings, task: str, metric: str) -> Group:
    def of(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [e for e in entries if (e["task"], e["metric"]) == (task, metric)]

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


def _estimate_row(words: Words, found: Findings, e: dict[str, Any]) -> dict[str, Any]:
    persona, condition = e["arm"].get("persona", ""), e["arm"].get("condition", "")
    unit = e.get("unit", "value")
    shown = interval(e.get("value"), e.get("low"), e.get("high"), formatter(unit))
    missing = sum((e.get("missing") or {}).values())
    return {
        "task": e["task"],
        "metric": e["metric"],
        "persona": persona,
        "condition": condition,
        "arm": arm_name(words, persona, condition),
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
        **_here(e, formatter(unit)),
        "shown": shown,
    }


def _contrast_row(words: Words, found: Findings, c: dict[str, Any]) -> dict[str, Any]:
    a, b = ((x.get("persona", ""), x.get("condition", "")) for x in (c.get("a") or {}, c["b"]))
    unit = c.get("unit", "value")
    marked = found.unverified(*a) or found.unverified(*b)
    effects, equivalence = c.get("effects") or {}, c.get("equivalence") or {}
    return {
        "task": c["task"],
        "metric": c["metric"],
        "a": arm_name(words, *a),
        "b": arm_name(words, *b),
        "persona": b[0],
        "condition": b[1],
        "compared": words("figure.against", b=arm_name(words, "", b[1]), a=_short(words, a, b)),
        "verified": yes(not marked) if b[0] else "",
        "difference": c.get("difference"),
        "low": c.get("low"),
        "high": c.get("high"),
        "confidence": c.get("confidence"),
        "unit": unit,
        "p": c.get("p"),
        "p_adjusted": c.get("p_adjusted"),
        "correction": c.get("correction"),
        "family": c.get("family"),
        "test": c.get("test"),
        "method": c.get("method"),
        "effect": "; ".join(f"{k.replace('_', ' ')} {number(v)}" for k, v in effects.items()),
        "n": c.get("n"),
        "discordant": c.get("discordant"),
        "detectable": c.get("detectable"),
        "detectable_shown": formatter(unit)(c.get("detectable")),
        "equivalence_margin": equivalence.get("margin"),
        "equivalence_p": equivalence.get("p"),
        "reason": c.get("reason") or "",
        "uncorrected": c.get("uncorrected") or "",
        **_here(c, formatter(unit, True)),
        "shown": interval(c.get("difference"), c.get("low"), c.get("high"), formatter(unit, True)),
    }


def _here(entry: dict[str, Any], show: Show) -> dict[str, Any]:
    """The interval on this benchmark, where the other one is for other clusters."""
    low, high = entry.get("on_benchmark") or (None, None)
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
