"""Several runs side by side: other models, objectives or seeds on the same samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from personalign import findings
from personalign.analysis import contrast
from personalign.analysis.context import stream
from personalign.errors import InputError
from personalign.findings import Findings
from personalign.report.drawing.layout import (
    Group,
    arm_name,
    formatter,
    interval,
    levels,
    outcome,
    p_value,
    some,
    yes,
)
from personalign.report.drawing.tables import Show, table
from personalign.report.judges import agreement_told
from personalign.report.words import Words

__all__ = ["comparison", "read_runs"]

ABOUT: Mapping[str, Show] = {"run": str, "base": str, "objective": str, "seed": str,
                             "personas": str, "rows": str}  # fmt: skip
VERDICTS: Mapping[str, Show] = {"arm": str, "run": str, "verdict": str}
LEVELS: Mapping[str, Show] = {"arm": str, "run": str, "shown": str, "n": str}
BETWEEN: Mapping[str, Show] = {"arm": str, "run": str, "shown": str, "p": p_value, "n": str,
                               "detectable_shown": str}  # fmt: skip
Arm = tuple[str, str]


def read_runs(folders: Sequence[Path]) -> dict[str, Findings]:
    """Runs by the name of their folder, numbered where two are the same.

    Raises:
        InputError: for fewer than two runs.
        RunError: where one is no folder.
    """
    if len(folders) < 2:
        raise InputError(f"{len(folders)} run to compare", "name two run folders or more")
    found: dict[str, Findings] = {}
    for folder in folders:
        name = folder.resolve().name
        found[name if name not in found else f"{name} ({len(found) + 1})"] = findings.read(folder)
    return found


def comparison(words: Words, runs: Mapping[str, Findings]) -> dict[str, list[Group]]:
    """What the runs are, and every outcome arm by arm."""
    about = table(words, "runs", [_about(n, f) for n, f in runs.items()], ABOUT)
    verdicts = table(words, "verdicts", list(_verdicts(words, runs)), VERDICTS)
    names = dict.fromkeys((e.task, e.metric) for f in runs.values() for e in f.estimates)
    return {
        "runs": [Group(words("heading.runs"), (), some(about, verdicts))],
        "outcomes": [_outcome(words, runs, task, metric) for task, metric in names],
    }


def _about(name: str, found: Findings) -> dict[str, Any]:
    training = found.study.get("training") or {}
    return {
        "run": name,
        "base": str(found.manifest.get("base_model") or found.base),
        "objective": str(training.get("objective") or "–"),
        "seed": str(found.study.get("seed", "–")),
        "personas": ", ".join(found.personas),
        "rows": len(found.scores),
    }


def _verdicts(words: Words, runs: Mapping[str, Findings]) -> Iterator[dict[str, Any]]:
    arms = dict.fromkeys((v.persona, v.condition) for f in runs.values() for v in f.verifications)
    for persona, condition in arms:
        for name, found in runs.items():
            seen = found.verification(persona, condition)
            yield {
                "arm": arm_name(words, persona, condition),
                "run": name,
                "verdict": words(f"verdict.{seen.word if seen else 'unjudged'}"),
            }


def _outcome(words: Words, runs: Mapping[str, Findings], task: str, metric: str) -> Group:
    title = outcome(words, task, metric)
    measured = [r for n, f in runs.items() for r in _levels(words, n, f, task, metric)]
    between = list(_between(words, runs, task, metric))
    against = words("table.between_runs", title=title)
    drawn = [
        levels(
            words, title, [r for r in measured if r["arm"] == arm], "run",
            words("figure.by_run", arm=arm), words("alt.by_run", title=title, arm=arm),
        )
        for arm in dict.fromkeys(r["arm"] for r in measured)
    ]  # fmt: skip
    told = {n: agreement_told(words, f.calibrations, task, metric) for n, f in runs.items()}
    return Group(
        title,
        some(*drawn),
        some(
            table(words, "by_run", measured, LEVELS, words("table.by_run", title=title)),
            table(words, "between_runs", between, BETWEEN, against),
        ),
        tuple(f"{name}: {said}" for name, said in told.items() if said),
    )


def _levels(
    words: Words, name: str, found: Findings, task: str, metric: str
) -> Iterator[dict[str, Any]]:
    for e in found.estimates:
        if (e.task, e.metric) == (task, metric):
            persona, condition = e.arm.persona, e.arm.condition
            ends = (e.value, e.low, e.high)
            yield {
                "arm": arm_name(words, persona, condition),
                "run": name,
                "persona": persona,
                "condition": condition,
                "verified": yes(not found.unverified(persona, condition)) if persona else "",
                **dict(zip(("value", "low", "high"), ends, strict=True)),
                "unit": e.unit,
                "n": e.n,
                "shown": interval(*ends, formatter(e.unit)),
            }


def _between(
    words: Words, runs: Mapping[str, Findings], task: str, metric: str
) -> Iterator[dict[str, Any]]:
    """Each run against the first, paired on the samples that both measured."""
    (first, start), *rest = runs.items()
    before = _values(start, task, metric)
    for name, found in rest:
        after = _values(found, task, metric)
        for arm in (a for a in before if a in after):
            both = pd.concat([before[arm], after[arm]], axis=1, keys=["a", "b"]).dropna()
            if both.empty:
                continue
            found_gap = contrast(
                both["a"].to_numpy(), both["b"].to_numpy(),
                both.index.get_level_values("cluster"), stream(0, first, name, task, metric, *arm),
            )  # fmt: skip
            show = formatter(found_gap.unit, difference=True)
            yield {
                "arm": arm_name(words, *arm),
                "run": name,
                "persona": arm[0],
                "condition": arm[1],
                "verified": yes(not found.unverified(*arm)) if arm[0] else "",
                "difference": found_gap.difference,
                "low": found_gap.low,
                "high": found_gap.high,
                "p": found_gap.p,
                "test": found_gap.test,
                "n": found_gap.n,
                "detectable": found_gap.detectable,
                "detectable_shown": formatter(found_gap.unit)(found_gap.detectable),
                "reason": found_gap.reason or "",
                "shown": interval(found_gap.difference, found_gap.low, found_gap.high, show),
            }


def _values(found: Findings, task: str, metric: str) -> dict[Arm, pd.Series[float]]:
    """Arm → values by sample and cluster, epochs averaged."""
    rows = found.scores[(found.scores["task"] == task) & (found.scores["metric"] == metric)]
    means = rows.groupby(["persona", "condition", "sample", "cluster"])["value"].mean()
    arms: Any = means.groupby(level=["persona", "condition"])
    return {(str(p), str(c)): part.droplevel(["persona", "condition"]) for (p, c), part in arms}
