"""Which trait drives an outcome: the 2⁴ factorial over the sixteen types."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import optimize, stats

from personalign.analysis.contrasts import adjust
from personalign.analysis.estimates import (
    DRAWS,
    FEW_CLUSTERS,
    expanded_levels,
    independent,
    mean,
    mean_error,
    resample,
)
from personalign.analysis.power import detectable_mean
from personalign.analysis.table import Wide, wide
from personalign.errors import InputError
from personalign.records import Condition, Record

__all__ = ["EFFECTS", "POLES", "Effect", "Factorial", "coding", "trait_effects"]

Floats = NDArray[np.float64]

POLES = {"EI": "EI", "SN": "NS", "TF": "TF", "JP": "JP"}
"""Scale → its high (+1) and its low (−1) letter: E, N, T, J are high."""

EFFECTS = tuple("×".join(c) for order in range(1, 5) for c in combinations(POLES, order))
"""The fifteen effects: four main effects, six, four and one interactions."""


class Effect(Record):
    """One main effect or interaction.

    `value` is the mean at the high level minus the mean at the low level (for an interaction:
    where the product of the levels is + minus where it is −), in the metric's units. `low`, `high`
    and `p` come from the mixed model, `p_adjusted` is Holm's over the fifteen; `check`, `check_low`
    and `check_high` are the clustered bootstrap's, which uses incomplete items too. `detectable` is
    the smallest true effect that these items show with 80 % power at the 5 % level, uncorrected.
    """

    name: str
    order: int
    value: float
    low: float | None
    high: float | None
    p: float | None
    p_adjusted: float | None = None
    check: float | None
    check_low: float | None
    check_high: float | None
    detectable: float | None = None
    reason: str | None = None


class Factorial(Record):
    """All effects on one metric of one task under one condition, and how many items bear them."""

    task: str
    metric: str
    condition: Condition
    effects: tuple[Effect, ...]
    items: int
    incomplete: int
    categories: int
    confidence: float
    method: str


def coding(types: list[str]) -> Floats:
    """Effect-coded ±1 columns of the fifteen effects for a list of types; (types, 15).

    Raises:
        InputError: for what is not four letters of the four scales.
    """
    main = {
        scale: np.array([_level(name, i, scale) for name in types]) for i, scale in enumerate(POLES)
    }
    return np.column_stack([np.prod([main[s] for s in e.split("×")], axis=0) for e in EFFECTS])


def trait_effects(
    frame: pd.DataFrame,
    task: str,
    metric: str,
    condition: Condition,
    rng: np.random.Generator,
    *,
    types: Mapping[str, str] | None = None,
    confidence: float = 0.95,
    draws: int = DRAWS,
) -> Factorial:
    """Main effects and interactions of the four scales, over items that all sixteen types answered.

    Every item is a complete block of the factorial, so that its own fifteen effects (contrast/8)
    can be computed, and its difficulty cancels in them: with items random and every effect free to
    vary by item, the mixed model of the rows reduces to effect = β + category + residual, fitted by
    REML with the category random. β is judged by t with categories − 1
    degrees of freedom, exact for categories of equal size. Without categories it is the t test over
    items, F = t² of the repeated-measures analysis of variance.

    `types` maps persona names to four letters; by default a persona is named by its type.

    Source: effects, Montgomery (2017), Design and Analysis of Experiments, 9th ed., §6.4; maximal
    random effects, Barr et al. (2013), J. Memory and Language 68:255–278.

    Raises:
        InputError: if not each of the sixteen types has exactly one persona, or as `wide`.
    """
    chosen = wide(frame[frame["condition"] == condition], task, metric)
    columns, names = _sixteen(chosen, types)
    values, weights = chosen.values[:, columns], coding(names) / 8
    complete = ~np.isnan(values).any(axis=1)
    if not complete.any():
        raise InputError("no item was answered by all sixteen types", "look at what is missing")
    by_item, clusters = values[complete] @ weights, chosen.clusters[complete]
    checks = _check(values, weights, chosen.clusters, rng, confidence, draws)
    found = [
        _effect(
            name, by_item[:, i], clusters, confidence, checks[i], 1.0 if chosen.binary else np.inf
        )
        for i, name in enumerate(EFFECTS)
    ]
    adjusted = adjust([e.p for e in found])
    return Factorial(
        task=task,
        metric=metric,
        condition=condition,
        effects=tuple(
            e.model_copy(update={"p_adjusted": p}) for e, p in zip(found, adjusted, strict=True)
        ),
        items=int(complete.sum()),
        incomplete=int((~complete).sum()),
        categories=len(np.unique(clusters)),
        confidence=confidence,
        method="t over items"
        if not _grouped(clusters)
        else "mixed model, random item and category",
    )


def _level(name: str, position: int, scale: str) -> float:
    if len(name) != 4 or name[position] not in POLES[scale]:
        raise InputError(f"{name!r} is no type", "four letters such as INFP")
    return 1.0 if name[position] == POLES[scale][0] else -1.0


def _sixteen(chosen: Wide, types: Mapping[str, str] | None) -> tuple[list[int], list[str]]:
    """Columns and letters of the personas that are a type, one for each of the sixteen."""
    known = types or {a.persona: a.persona for a in chosen.arms if _is_type(a.persona)}
    pairs = [(i, known[a.persona]) for i, a in enumerate(chosen.arms) if a.persona in known]
    names = [name for _, name in pairs]
    if len(names) != 16 or len(np.unique(coding(names)[:, :4], axis=0)) != 16:
        raise InputError(
            f"a 2⁴ factorial over the personas {sorted(names)}",
            "score one persona for each of the sixteen types under this condition",
        )
    return [i for i, _ in pairs], names


def _is_type(name: str) -> bool:
    return len(name) == 4 and all(x in p for x, p in zip(name, POLES.values(), strict=True))


def _grouped(clusters: NDArray[np.intp]) -> bool:
    return len(np.unique(clusters)) > 1 and not independent(clusters)


def _effect(
    name: str,
    values: Floats,
    clusters: NDArray[np.intp],
    confidence: float,
    check: tuple[float | None, float | None, float | None],
    most: float = np.inf,
) -> Effect:
    """One effect; what is beyond ±`most` is not possible, so that its interval ends there."""
    centre, error, df = _fit(values, clusters)
    known = df > 0 and error > 0
    half = float(stats.t.ppf((1 + confidence) / 2, df) * error) if known else None
    return Effect(
        name=name,
        order=name.count("×") + 1,
        value=centre,
        low=None if half is None else max(centre - half, -most),
        high=None if half is None else min(centre + half, most),
        p=float(2 * stats.t.sf(abs(centre) / error, df)) if known else None,
        check=check[0],
        check_low=check[1],
        check_high=check[2],
        detectable=detectable_mean(error, df, most=most),
        reason=None if known else "the effect does not vary between items",
    )


def _fit(values: Floats, clusters: NDArray[np.intp]) -> tuple[float, float, int]:
    """β, its standard error by generalised least squares, and degrees of freedom.

    Of the restricted likelihood all parameters but one have closed forms: what is left, the share
    of the variance that lies between categories, is searched from 0 to 1. statsmodels' MixedLM
    finds the same away from 0, but not at it, where its default optimisers end at a wrong β.

    Source: Patterson & Thompson (1971), Biometrika 58:545–554.
    """
    if not _grouped(clusters) or not np.ptp(values) > 0:
        return mean_error(values, np.arange(len(values)))
    _, codes, sizes = np.unique(clusters, return_inverse=True, return_counts=True)
    means = np.bincount(codes, weights=values) / sizes
    inside = float(((values - means[codes]) ** 2).sum())
    if not inside > 0:  # all variance lies between categories: their means are all there is
        return mean_error(means, np.arange(len(means)))

    def fitted(share: float) -> tuple[float, float, Floats]:
        """β, the variance within, and what each category's mean weighs."""
        weights = sizes * (1 - share) / (1 - share + sizes * share)
        centre = float(weights @ means / weights.sum())
        within = (inside + float(weights @ (means - centre) ** 2)) / (len(values) - 1)
        return centre, within, weights

    def deviance(share: float) -> float:
        _, within, weights = fitted(share)
        spread = np.log(sizes / weights).sum() + np.log(weights.sum())
        return float((len(values) - 1) * np.log(within) + spread)

    found = optimize.minimize_scalar(
        deviance, bounds=(0, 1), method="bounded", options={"xatol": 1e-10}
    )
    share = 0.0 if deviance(0.0) <= found.fun else float(found.x)
    centre, within, weights = fitted(share)
    return centre, float(np.sqrt(within / weights.sum())), len(sizes) - 1


def _check(
    values: Floats,
    weights: Floats,
    clusters: NDArray[np.intp],
    rng: np.random.Generator,
    confidence: float,
    draws: int,
) -> list[tuple[float | None, float | None, float | None]]:
    """Effects of the type means with bootstrap limits over categories (over items if too few)."""
    few = len(np.unique(clusters)) < FEW_CLUSTERS
    units = np.arange(len(values)) if few else clusters

    def effects(x: Floats, counted: Floats) -> Floats:
        return np.asarray(mean(x, counted) @ weights)

    centre = effects(values, np.ones((1, len(values))))[0]
    drawn = resample(values, units, rng, statistic=effects, draws=draws)
    k = len(np.unique(units))
    if k < 2:
        return [(float(c), None, None) for c in centre]
    low, high = np.nanquantile(drawn, expanded_levels(k, (1 - confidence) / 2), axis=0)
    return [(float(c), float(a), float(b)) for c, a, b in zip(centre, low, high, strict=True)]
