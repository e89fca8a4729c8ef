"""The whole analysis of one run: every estimate, every contrast, corrected within its family."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from personalign.analysis.context import Context, stream
from personalign.analysis.contrasts import Correction, adjust, contrast_columns, equivalence
from personalign.analysis.corrected import BETWEEN_ARMS
from personalign.analysis.estimates import DRAWS, is_binary, mean_columns
from personalign.analysis.explain import explain
from personalign.analysis.factorial import Factorial
from personalign.analysis.lengths import lengths
from personalign.analysis.omnibus import chi_square, omnibus_test
from personalign.analysis.results import (
    Absent,
    ArmContrast,
    ArmEstimate,
    CategoryRate,
    Length,
    Omnibus,
    PromptRate,
    TaskRisk,
    TradeOff,
    Words,
)
from personalign.analysis.strata import stratified
from personalign.analysis.table import ABSENT, Wide, validate, wide
from personalign.analysis.tradeoffs import HARMS
from personalign.errors import InputError, unknown
from personalign.records import BASE, Arm, Condition, Record

__all__ = ["Analysis", "ArmOmnibus", "analyse", "pairs"]


NO_OUTCOMES = "every task that was scored asks for the persona, none for what it changed"


PRIMARY = "primary"
"""The family of the metrics that a study declares to be about."""


class ArmOmnibus(Omnibus):
    """An omnibus test of one metric over the personas of one condition, and base if it was run."""

    task: str
    metric: str
    condition: Condition


class Analysis(Record):
    """What `analysis.json` holds. The same table and seed give the same analysis, byte for byte."""

    run: str
    base_model: str
    seed: int
    confidence: float
    correction: Correction
    draws: int
    estimates: tuple[ArmEstimate, ...]
    contrasts: tuple[ArmContrast, ...]
    omnibus: tuple[ArmOmnibus, ...]
    factorials: tuple[Factorial, ...] = ()
    categories: tuple[CategoryRate, ...] = ()
    prompt_rates: tuple[PromptRate, ...] = ()
    risks: tuple[TaskRisk, ...] = ()
    words: tuple[Words, ...] = ()
    corrected: tuple[ArmEstimate, ...] = ()
    tradeoffs: tuple[TradeOff, ...] = ()
    lengths: tuple[Length, ...] = ()
    absent: tuple[Absent, ...] = ()


def analyse(
    frame: pd.DataFrame,
    seed: int = 0,
    *,
    context: Context | None = None,
    confidence: float = 0.95,
    correction: Correction = "holm",
    draws: int = DRAWS,
    margins: Mapping[str, float] = {},
    primary: Collection[str] = (),
    aside: Collection[str] = (),
) -> Analysis:
    """Estimates of every arm, the contrasts of `pairs`, and what explains them, for every metric
    of every task; what the data do not allow stands in `absent` with its reason.

    All contrasts of the primary metrics, of whatever task, are one family for the correction; of
    the others, which explore, those of one metric of one task are. Each metric of a task draws from
    a random stream of its own, so that adding a task changes no other's numbers.

    Args:
        margins: Metric → the largest difference that counts as none, in the metric's unit
            (proportions: 0 to 1); its contrasts are also tested for equivalence.
        primary: Metrics that the study is about, declared before it was run.
        aside: Tasks of the table that are no outcomes; where there are no others, the analysis is
            empty and says so.

    Raises:
        InputError: as `table.validate`, or for an empty table, a negative seed or margin, or a
            margin of, or a primary, metric that was not measured.
    """
    if validate(frame).empty:
        raise InputError("the score table is empty", "score something first")
    if seed < 0:
        raise InputError(f"seed {seed}", "take a seed of 0 or more")
    head = {name: frame[name].iloc[0] for name in ("run", "base_model")}
    frame = frame[~frame["task"].isin(aside)]
    for key, named in (("margins", margins), ("primary", primary)):
        if strange := sorted(set(named) - set(frame["metric"])):
            raise unknown("metric", strange[0], frame["metric"].unique().tolist(), key)
    families = frame[["task", "metric"]].drop_duplicates().sort_values(["task", "metric"])
    options: dict[str, Any] = {"confidence": confidence, "draws": draws}
    found: dict[str, list[Any]] = {"estimates": [], "contrasts": [], "omnibus": []}
    matrices = {(t, m): wide(frame, t, m) for t, m in families.itertuples(index=False)}
    for (task, metric), matrix in matrices.items():
        where = {"task": task, "metric": metric}
        found["estimates"] += _estimates(matrix, where, seed, options)
        margin = margins.get(metric)
        family = PRIMARY if metric in primary else f"{task} {metric}"
        found["contrasts"] += _contrasts(matrix, where, seed, family, options, margin)
        found["omnibus"] += _omnibus(matrix, where)
    context = context or Context()
    found["contrasts"] = [
        c.model_copy(update={"uncorrected": BETWEEN_ARMS})
        if c.metric in HARMS and c.task in context.judges
        else c
        for c in _adjusted(found["contrasts"], correction)
    ]
    found |= explain(frame, matrices, context, seed, **options)
    found["lengths"] = list(lengths(context, confidence, seed))
    if frame.empty:
        found["absent"] = [Absent(part="outcomes", what=(), reason=NO_OUTCOMES)]
    return Analysis.model_validate(
        {**head, "seed": seed, "correction": correction, **options, **found}
    )


def pairs(arms: tuple[Arm, ...]) -> list[tuple[int, int]]:
    """Which arms are compared: (reference, other) positions.

    For each persona and seed every condition with base (its own base if it has one, else the common
    one); then each single part with the one before it (adapter with prompted), and each sum with
    what it adds to (prompted+adapter with adapter).
    """
    at = {arm: i for i, arm in enumerate(arms)}
    found = []
    for persona, seed in dict.fromkeys((arm.persona, arm.seed) for arm in arms):
        own = {a.condition: at[a] for a in arms if (a.persona, a.seed) == (persona, seed)}
        base = at.get(Arm(persona=persona), at.get(BASE))
        if base is not None:
            found += [(base, i) for condition, i in own.items() if condition.parts]
        single = [i for condition, i in own.items() if len(condition.parts) == 1]
        found += pairwise(single)
        found += [(own[less], i) for c, i in own.items() if (less := _less(c)) in own]
    return found


def _less(condition: Condition) -> Condition | None:
    """What a sum adds to: it without the prompt, or else without its last part."""
    if len(condition.parts) < 2:
        return None
    return condition.without("prompted" if "prompted" in condition.parts else condition.parts[-1])


def _estimates(
    matrix: Wide, where: dict[str, str], seed: int, options: dict[str, Any]
) -> Iterator[ArmEstimate]:
    rng = stream(seed, *where.values(), "estimates")
    found = mean_columns(matrix.values, matrix.clusters, rng, **options)
    for i, (arm, estimate) in enumerate(zip(matrix.arms, found, strict=True)):
        own = {
            "arm": arm,
            "missing": _tally(matrix.states[:, i]),
            "seed": seed,
            "on_benchmark": stratified(
                matrix.values[:, i],
                matrix.clusters,
                share=is_binary(matrix.values),
                confidence=options["confidence"],
            ),
        }
        yield ArmEstimate.model_validate({**dict(estimate), **where, **own})


def _contrasts(
    matrix: Wide,
    where: dict[str, str],
    seed: int,
    family: str,
    options: dict[str, Any],
    margin: float | None,
) -> Iterator[ArmContrast]:
    if not (compared := pairs(matrix.arms)):
        return
    a, b = (list(side) for side in zip(*compared, strict=True))
    rng = stream(seed, *where.values(), "contrasts")
    found = contrast_columns(
        matrix.values[:, a], matrix.values[:, b], matrix.clusters, rng, **options
    )
    for (i, j), result in zip(compared, found, strict=True):
        own: dict[str, Any] = {
            "a": matrix.arms[i],
            "b": matrix.arms[j],
            "missing": _lost(matrix.states[:, i], matrix.states[:, j]),
            "family": family,
            "seed": seed,
            "on_benchmark": stratified(
                matrix.values[:, j] - matrix.values[:, i],
                matrix.clusters,
                share=False,
                confidence=options["confidence"],
            ),
        }
        if margin is not None:
            values = matrix.values
            own["equivalence"] = equivalence(values[:, i], values[:, j], matrix.clusters, margin)
        yield ArmContrast.model_validate({**dict(result), **where, **own})


def _adjusted(contrasts: Sequence[ArmContrast], correction: Correction) -> list[ArmContrast]:
    """The contrasts with p-values that are corrected within their families."""
    families: dict[str | None, list[int]] = {}
    for k, contrast in enumerate(contrasts):
        families.setdefault(contrast.family, []).append(k)
    adjusted: dict[int, float | None] = {}
    for own in families.values():
        adjusted |= zip(own, adjust([contrasts[k].p for k in own], correction), strict=True)
    return [
        c.model_copy(update={"p_adjusted": adjusted[k], "correction": correction})
        for k, c in enumerate(contrasts)
    ]


def _omnibus(matrix: Wide, where: dict[str, str]) -> Iterator[ArmOmnibus]:
    """Per condition with two personas or more: the paired test, and chi-square for 0/1 metrics."""
    for condition in sorted({arm.condition for arm in matrix.arms}, key=lambda c: c.order):
        own = [i for i, arm in enumerate(matrix.arms) if arm.persona and arm.condition == condition]
        common = [i for i, arm in enumerate(matrix.arms) if not arm.persona]
        if len(own) < 2 or len(common + own) < 3:
            continue
        values = matrix.values[:, common + own]
        tests = [omnibus_test(values, binary=matrix.binary)]
        if matrix.binary:
            tests.append(chi_square(*_counts(values)))
        for test in tests:
            yield ArmOmnibus.model_validate({**dict(test), **where, "condition": condition})


def _counts(values: NDArray[np.float64]) -> tuple[list[int], list[int]]:
    """Ones, and values, by column (an epoch mean counts as one if it is above a half)."""
    ones, totals = (values > 0.5).sum(axis=0), (~np.isnan(values)).sum(axis=0)
    return ones.tolist(), totals.tolist()


def _tally(states: NDArray[np.str_]) -> dict[str, int]:
    return dict(sorted(Counter(states[states != "ok"].tolist()).items()))


def _lost(a: NDArray[np.str_], b: NDArray[np.str_]) -> dict[str, int]:
    """States of the pairs that are not complete: a's, or b's where a's is `ok`."""
    states = np.where(a == "ok", b, a)
    return _tally(states[~((a == ABSENT) & (b == ABSENT))])
