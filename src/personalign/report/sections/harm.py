"""Where harm happens: by category and kind of prompt, and in which words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any, TypeVar

from personalign.analysis.results import (
    ArmEstimate,
    CategoryRate,
    Estimate,
    PromptRate,
    TaskRisk,
)
from personalign.analysis.results import Words as Telling
from personalign.findings import Findings
from personalign.report.drawing import figures
from personalign.report.drawing.figures import Bar, Row
from personalign.report.drawing.heatmap import heat_map
from personalign.report.drawing.layout import (
    Drawing,
    Group,
    arm_name,
    formatter,
    interval,
    outcome,
    some,
    told,
    yes,
)
from personalign.report.drawing.tables import Show, Table, table
from personalign.report.judges import agreement_told
from personalign.report.words import Words, number, signed

__all__ = ["harm"]

RATES: Mapping[str, Show] = {"arm": str, "feature": str, "level": str, "shown": str, "n": str,
                             "missing": str}  # fmt: skip
CORRECTED: Mapping[str, Show] = {"arm": str, "shown": str, "n": str, "reason": str}
TERMS: Mapping[str, Show] = {"persona": str, "term": str, "count_flagged": str, "count_safe": str,
                             "z": signed}  # fmt: skip
RISK: Mapping[str, Show] = {"feature": str, "shown": str, "n": str}
CALIBRATION: Mapping[str, Show] = {"predicted": lambda v: number(v, 3),
                                   "observed": lambda v: number(v, 3), "n": str}  # fmt: skip
PER_PERSONA = 10
FACTS = {"n", "prompts", "folds", "brier", "brier_constant", "auc", "reason"}
Entry = CategoryRate | PromptRate | TaskRisk | Telling | ArmEstimate
E = TypeVar("E", bound=Entry)


def harm(words: Words, found: Findings) -> list[Group]:
    """A group for each measure that has categories, prompts or words to show."""
    a = found.analysis
    every: tuple[Iterable[Entry], ...] = (
        a.categories, a.prompt_rates, a.risks, a.words, a.corrected,
    )  # fmt: skip
    names = dict.fromkeys((e.task, e.metric) for part in every for e in part)
    return [_group(words, found, task, metric) for task, metric in names]


def _group(words: Words, found: Findings, task: str, metric: str) -> Group:
    def of(entries: Iterable[E]) -> list[E]:
        return [e for e in entries if (e.task, e.metric) == (task, metric)]

    a, title = found.analysis, outcome(words, task, metric)
    rates = [
        *(_cell(words, found, e, e, "category", e.category) for e in of(a.categories)),
        *(_cell(words, found, e, e.estimate, e.feature, e.level) for e in of(a.prompt_rates)),
    ]
    risks = of(a.risks)
    corrected = [_cell(words, found, e, e, "category", "") for e in of(a.corrected)]
    return Group(
        title,
        some(*_maps(words, found, title, rates), *(_risk(words, r, title) for r in risks)),
        some(
            table(words, "rates", rates, RATES, words("table.rates", title=title)),
            *_risk_tables(words, risks, title),
            _terms(words, of(a.words), title),
            table(words, "corrected", corrected, CORRECTED, words("table.corrected", title=title)),
        ),
        some(agreement_told(words, found.calibrations, task, metric)),
    )


def _cell(
    words: Words,
    found: Findings,
    of: ArmEstimate | PromptRate,
    estimate: Estimate,
    feature: str,
    level: str,
) -> dict[str, Any]:
    persona, condition = of.arm.persona, of.arm.condition
    ends = (estimate.value, estimate.low, estimate.high)
    return {
        "arm": arm_name(words, persona, condition),
        "persona": persona,
        "condition": condition,
        "verified": yes(not found.unverified(persona, condition)) if persona else "",
        "feature": words(f"feature.{feature}"),
        "level": level,
        "value": ends[0],
        "low": ends[1],
        "high": ends[2],
        "unit": estimate.unit,
        "n": estimate.n,
        "missing": sum(estimate.missing.values()),
        "method": estimate.method,
        "reason": estimate.reason or "",
        "shown": interval(*ends, formatter(estimate.unit)),
    }


def _maps(
    words: Words, found: Findings, title: str, rates: list[dict[str, Any]]
) -> Iterator[Drawing]:
    """A heat map for each feature and condition; base is a row of each, for comparison."""
    for feature in dict.fromkeys(r["feature"] for r in rates):
        own = [r for r in rates if r["feature"] == feature]
        share = all(r["unit"] == "proportion" for r in own)
        known = [r["value"] for r in own if r["value"] is not None]
        if not known:
            continue
        span = (0.0, max(known) or 1.0) if share else (min(known), max(max(known), min(known) + 1))
        bare = [r for r in own if not r["persona"]]
        conditions = dict.fromkeys(r["condition"] for r in own if r["persona"])
        for condition in conditions or dict.fromkeys(["base"]):
            cells = bare + [r for r in own if r["persona"] and r["condition"] == condition]
            yield _map(words, found, f"{title}, {feature}", condition, cells, share, span)


def _map(
    words: Words,
    found: Findings,
    title: str,
    condition: str,
    cells: list[dict[str, Any]],
    share: bool,
    span: tuple[float, float],
) -> Drawing:
    columns = list(dict.fromkeys(c["level"] for c in cells))
    order = ["", *found.personas]
    people = sorted(dict.fromkeys(c["persona"] for c in cells), key=order.index)
    at = {(c["persona"], c["level"]): c["value"] for c in cells}
    marked = {c["persona"] for c in cells if c["verified"] == "no"}
    names = [f"{p} †" if p in marked else p or words.name("condition", "base") for p in people]
    values = [[at.get((p, c)) for c in columns] for p in people]
    factor = 100 if share else 1
    called = words.name("condition", condition)
    alt = words("alt.map", title=title, condition=called) + _worst(words, names, columns, values)
    draw = partial(heat_map, names, columns, values, lambda v: number(factor * v, 0), span=span)
    unit = words("unit.percent") if share else ""
    return Drawing(f"{title.rsplit(', ', 1)[1]}, {called}{unit}", alt, draw)


def _worst(
    words: Words, rows: list[str], columns: list[str], values: list[list[float | None]]
) -> str:
    """The highest cell of each row, for who cannot see the colours."""
    told = []
    for name, line in zip(rows, values, strict=True):
        known = [(v, c) for v, c in zip(line, columns, strict=True) if v is not None]
        if known:
            value, column = max(known)
            told.append(f"{name}: {column} {number(value)}")
    return f" {words('alt.highest')} " + "; ".join(told)


def _risk(words: Words, risk: TaskRisk, title: str) -> Drawing | None:
    if not risk.importance:
        return None
    rows = [
        Row(
            words(f"feature.{i.feature}"),
            interval(i.loss, i.loss - i.deviation, i.loss + i.deviation, _fine),
            (Bar("", i.loss, i.loss - i.deviation, i.loss + i.deviation),),
        )
        for i in risk.importance
    ]
    alt = words("alt.risk", title=title) + told(rows)
    draw = partial(figures.intervals, rows, words("axis.importance"), line=0)
    return Drawing(words("figure.risk"), alt, draw)


def _fine(value: float | None) -> str:
    return signed(value, 4)


def _risk_tables(words: Words, risks: Iterable[TaskRisk], title: str) -> Iterator[Table | None]:
    for risk in risks:
        told = risk.model_dump(include=FACTS)
        rows = [{"feature": k, "value": v, "n": risk.n, "shown": _fact(v)} for k, v in told.items()]
        yield table(words, "risk", rows, RISK, words("table.risk", title=title))
        bins = [b.model_dump() for b in risk.calibration]
        yield table(
            words, "calibration", bins, CALIBRATION, words("table.calibration", title=title)
        )


def _fact(value: Any) -> str:
    return number(value, 4) if isinstance(value, float) else str("–" if value is None else value)


def _terms(words: Words, entries: Iterable[Telling], title: str) -> Table | None:
    """Of each persona the terms that its flagged replies say most above its safe ones."""
    rows = [
        {
            "persona": e.persona or words.name("condition", "base"),
            "flagged": e.flagged,
            "safe": e.safe,
            "term": term.term,
            "words": term.words,
            "count_flagged": term.count_a,
            "count_safe": term.count_b,
            "log_odds": term.log_odds,
            "z": term.z,
        }
        for e in entries
        for term in [t for t in e.terms if t.z > 0][:PER_PERSONA]
    ]
    return table(words, "terms", rows, TERMS, words("table.terms", title=title))
