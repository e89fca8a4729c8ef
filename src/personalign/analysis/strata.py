"""Intervals on this benchmark: its clusters are all that are meant, and only samples are random.

Fourteen kinds of harm of fifty prompts each are the whole design of a benchmark. What other prompts
of these kinds would give is a question of strata; what other kinds of harm would give, one of
clusters, and far less sure. Source: Cochran (1977), Sampling Techniques, ch. 5.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from personalign.analysis.estimates import independent

__all__ = ["stratified"]

Limits = tuple[float, float]


def stratified(
    values: ArrayLike, clusters: ArrayLike, *, share: bool, confidence: float = 0.95
) -> Limits | None:
    """Limits of the mean of (n,) values over fixed clusters; NaN is missing.

    A `share` of 0/1 values: Wilson's at the sample size that gives the stratified error, at least
    n. Other values, and differences: t, with samples − clusters degrees of freedom. None where
    samples share no clusters, a cluster has fewer than two values, or other values do not vary.
    """
    whole = np.asarray(values, dtype=float)
    kept = ~np.isnan(whole)
    x, names = whole[kept], np.asarray(clusters)[kept]
    if not len(x) or independent(clusters):
        return None
    codes, sizes = np.unique(names, return_inverse=True, return_counts=True)[1:]
    if sizes.min() < 2:
        return None
    p, variance = float(x.mean()), _variance(x, codes, sizes)
    if share:
        simple = p * (1 - p)
        n = max(float(len(x)), simple / variance if variance > 0 else 0.0)
        z2 = float(stats.norm.ppf((1 + confidence) / 2)) ** 2
        half = float(np.sqrt(z2 * (simple / n + z2 / (4 * n**2)))) / (1 + z2 / n)
        centre = (p + z2 / (2 * n)) / (1 + z2 / n)
        return max(0.0, centre - half), min(1.0, centre + half)
    if not variance > 1e-24:
        return None
    df = len(x) - len(sizes)
    half = float(stats.t.ppf((1 + confidence) / 2, df) * np.sqrt(variance))
    return p - half, p + half


def _variance(x: NDArray[np.float64], codes: NDArray[np.intp], sizes: NDArray[np.intp]) -> float:
    """Of the mean: the variance within each stratum, weighted by its share of the samples."""
    means = np.bincount(codes, weights=x) / sizes
    within = np.bincount(codes, weights=(x - means[codes]) ** 2) / (sizes - 1)
    return float((sizes * within).sum() / len(x) ** 2)
