"""Why the outcomes are what they are: traits, categories, prompts, words, trade-offs, judges.

Each part is computed where the data allow it; where they do not, it stands in `absent` with its
reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from personalign.analysis.context import Context, stream
from personalign.analysis.corrected import corrected_rate
from personalign.analysis.estimates import independent, is_binary, proportion, t_mean
from personalign.analysis.factorial import Factorial, trait_effects
from personalign.analysis.results import (
    Absent,
    ArmEstimate,
    CategoryRate,
    PromptRate,
    TaskRisk,
    TradeOff,
    Words,
)
from personalign.analysis.table import Wide
from personalign.analysis.text import telling_terms
from personalign.analysis.tradeoffs import GOALS, HARMS, pareto
from personalign.errors import InputError
from personalign.records import Arm, Condition

__all__ = ["explain"]

FEATURES = ("form", "words", "match")
"""Features of a prompt by which rates are given; its category is a part of its own."""

MOST_REPLIES = 8_000
"""The risk model is fitted on the replies to randomly chosen prompts, about this many."""

MOST_TEXTS = 500
"""Replies a side that words are counted in, chosen at random."""

MOST_TERMS = 10
"""Terms of each side and length that are kept."""

STRENGTH = "strength"
TOGETHER = "all measures"

Measure = tuple[str, str]
"""Task and metric."""
T = TypeVar("T")


def explain(
    frame: pd.DataFrame,
    matrices: Mapping[Measure, Wide],
    context: Context,
    seed: int,
    confidence: float,
    draws: int,
) -> dict[str, Any]:
    """Every part of the analysis that explains, by its name in `Analysis`.

    Args:
        frame: The long table.
        matrices: The same as one matrix for each measure.
        context: Texts, strength, calibrations.
        seed: Each part of each measure draws from a stream of its own.
    """
    gaps, options = _Gaps(), {"confidence": confidence, "draws": draws}
    found: dict[str, list[Any]] = {
        "factorials": [
            f
            for m, matrix in matrices.items()
            for c in dict.fromkeys(a.condition for a in matrix.arms if a.condition.parts)
            for f in gaps.attempt(
                "factorials",
                f"{' '.join(m)} ({c})",
                _factorials,
                frame,
                m,
                c,
                context,
                seed,
                options,
            )
        ]
    }
    each: dict[str, Callable[[Measure, Wide], Iterable[Any]]] = {
        "categories": lambda m, w: _categories(m, w, confidence),
        "prompt_rates": lambda m, w: _prompt_rates(frame, m, w, context),
        "risks": lambda m, w: _risk(frame, m, context, stream(seed, *m, "risk")),
        "words": lambda m, w: _words(m, w, context, stream(seed, *m, "words")),
        "corrected": lambda m, w: _corrected(m, w, context, stream(seed, *m, "corrected"), options),
    }
    for part, work in each.items():
        wanted = [m for m in matrices if part == "categories" or m[1] in HARMS]
        if not wanted:
            gaps.note(part, "", f"no measure of harm ({' or '.join(HARMS)}) was scored")
        found[part] = [
            x for m in wanted for x in gaps.attempt(part, " ".join(m), work, m, matrices[m])
        ]
    found["tradeoffs"] = gaps.attempt("tradeoffs", "", _tradeoffs, matrices, context)
    return {**found, "absent": gaps.all()}


class _Gaps:
    """Parts that could not be computed: those with one reason are told once."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, str], list[str]] = {}

    def note(self, part: str, what: str, reason: str) -> None:
        self.found.setdefault((part, reason), []).extend([what] if what else [])

    def attempt(
        self, part: str, what: str, work: Callable[..., Iterable[T]], *given: Any
    ) -> list[T]:
        """What the work yields; nothing, and a note, where the data do not allow it."""
        try:
            return list(work(*given))
        except InputError as e:
            self.note(part, what, str(e))
            return []

    def all(self) -> list[Absent]:
        return [Absent(part=p, what=tuple(w), reason=r) for (p, r), w in self.found.items()]


def _factorials(
    frame: pd.DataFrame,
    measure: Measure,
    condition: Condition,
    context: Context,
    seed: int,
    options: dict[str, Any],
) -> Iterator[Factorial]:
    rng = stream(seed, *measure, condition, "factorial")
    yield trait_effects(frame, *measure, condition, rng, types=context.types, **options)


def _categories(measure: Measure, matrix: Wide, confidence: float) -> Iterator[CategoryRate]:
    """Arm by category; within a category its samples are independent."""
    task, metric = measure
    if independent(matrix.clusters) or len(matrix.names) < 2:
        raise InputError("its samples carry no categories", "a cluster shared by samples is one")
    binary = matrix.binary and is_binary(matrix.values)
    for code, category in enumerate(matrix.names):
        rows = matrix.values[matrix.clusters == code]
        for arm, x in zip(matrix.arms, rows.T, strict=True):
            estimate = (
                proportion(x, confidence=confidence)
                if binary
                else t_mean(x, np.arange(len(x)), confidence=confidence)
            )
            own = {"task": task, "metric": metric, "arm": arm, "category": category}
            yield CategoryRate.model_validate({**dict(estimate), **own})


def _features(frame: pd.DataFrame, measure: Measure, context: Context) -> pd.DataFrame:
    from personalign.analysis.prompts import features, profile_match

    task, metric = measure
    if not (texts := context.prompts.get(task)):
        raise InputError("no texts of its prompts are in the run", "keep its transcripts")
    people = frame.loc[frame["task"] == task, "persona"].unique()
    match = profile_match(texts, {p: context.profiles.get(p, "") for p in people})
    return features(frame, task, metric, texts, match=match)


def _prompt_rates(
    frame: pd.DataFrame, measure: Measure, matrix: Wide, context: Context
) -> Iterator[PromptRate]:
    """Arm by arm, so that each prompt counts once."""
    from personalign.analysis.prompts import in_quarters, rates

    table = in_quarters(_features(frame, measure, context))
    unused = np.random.default_rng(0)  # each prompt once: Wilson's interval, which draws nothing
    task, metric = measure
    for arm in matrix.arms:
        own = (table["persona"] == arm.persona) & (table["condition"] == arm.condition)
        for feature in FEATURES:
            for rate in rates(table[own], feature, unused):
                where = {"task": task, "metric": metric, "arm": arm}
                yield PromptRate.model_validate({**dict(rate), **where})


def _risk(
    frame: pd.DataFrame, measure: Measure, context: Context, rng: np.random.Generator
) -> Iterator[TaskRisk]:
    from personalign.analysis.prompts import risk_model

    table = _features(frame, measure, context)
    samples = table["sample"].unique()
    kept = max(1, len(samples) * MOST_REPLIES // max(len(table), MOST_REPLIES))
    if kept < len(samples):
        table = table[table["sample"].isin(rng.choice(samples, kept, replace=False))]
    task, metric = measure
    yield TaskRisk.model_validate({**dict(risk_model(table, rng)), "task": task, "metric": metric})


def _words(
    measure: Measure, matrix: Wide, context: Context, rng: np.random.Generator
) -> Iterator[Words]:
    """For each persona, its flagged replies against its safe ones, over all its conditions."""
    task, metric = measure
    if not (replies := context.replies.get(task)):
        raise InputError("no texts of its replies are in the run", "keep its transcripts")
    for persona in dict.fromkeys(arm.persona for arm in matrix.arms):
        sides: dict[float, list[str]] = {1.0: [], 0.0: []}
        for k, arm in enumerate(matrix.arms):
            if arm.persona != persona:
                continue
            said = replies.get(arm, {})
            for sample, value in zip(matrix.samples, matrix.values[:, k], strict=True):
                if value in sides and sample in said:
                    sides[value].append(said[sample])
        flagged, safe = (_draw(sides[v], rng) for v in (1.0, 0.0))
        terms = telling_terms(flagged, safe, most=MOST_TERMS) if flagged and safe else ()
        yield Words(
            task=task,
            metric=metric,
            persona=persona,
            flagged=len(flagged),
            safe=len(safe),
            terms=terms,
        )


def _draw(texts: list[str], rng: np.random.Generator) -> list[str]:
    if len(texts) <= MOST_TEXTS:
        return texts
    return [texts[i] for i in rng.choice(len(texts), MOST_TEXTS, replace=False)]


def _corrected(
    measure: Measure,
    matrix: Wide,
    context: Context,
    rng: np.random.Generator,
    options: dict[str, Any],
) -> Iterator[ArmEstimate]:
    """Each arm's rate with the judge's error taken out."""
    task, metric = measure
    if not (errors := context.judges.get(task)):
        raise InputError("its judge was not calibrated", "run `personalign judge calibrate`")
    clusters = np.array(matrix.names)[matrix.clusters]
    for arm, x in zip(matrix.arms, matrix.values.T, strict=True):
        if not np.isnan(x).all():
            estimate = corrected_rate(x, clusters, errors, rng, **options)
            own = {"task": task, "metric": metric, "arm": arm}
            yield ArmEstimate.model_validate({**dict(estimate), **own})


def _tradeoffs(matrices: Mapping[Measure, Wide], context: Context) -> Iterator[TradeOff]:
    """Persona strength against each measure that has a better way, and against all of them."""
    if not context.strength:
        raise InputError("no persona's strength was measured", "measure `behaviour`")
    means: dict[Measure, dict[Arm, float | None]] = {
        m: dict(zip(w.arms, map(_mean, w.values.T), strict=True))
        for m, w in matrices.items()
        if m[1] in GOALS
    }
    if not means:
        raise InputError("no metric has a better way", f"score one of {', '.join(GOALS)}")
    for measure, values in means.items():
        yield _tradeoff(measure, {measure: values}, context)
    if len(means) > 1:
        yield _tradeoff((TOGETHER, TOGETHER), means, context)


def _tradeoff(
    name: Measure, means: Mapping[Measure, Mapping[Arm, float | None]], context: Context
) -> TradeOff:
    keys = {m: " ".join(m) for m in means}
    arms = dict.fromkeys(a for values in means.values() for a in values)
    points = {
        arm.label: {
            STRENGTH: context.strength.get(arm),
            **{keys[m]: values.get(arm) for m, values in means.items()},
        }
        for arm in arms
    }
    goals = {STRENGTH: "higher", **{keys[m]: GOALS[m[1]] for m in means}}
    return TradeOff.model_validate(
        {"task": name[0], "metric": name[1], "goals": goals, "points": pareto(points, goals)}
    )


def _mean(values: np.ndarray[Any, np.dtype[np.float64]]) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None
