"""Reliability coefficients over many bootstrap draws at once.

Shapes: n units, p columns, d draws. Every coefficient takes (n, p) values without gaps and (d, n)
weights, how often each unit is in each draw, and gives (d, 1); NaN where it is undefined.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["alpha", "icc31", "omega", "one_factor", "split_half"]

Floats = NDArray[np.float64]

CONVERGED, STEPS = 1e-9, 20_000
"""EM stops at such a change of a loading, or after so many steps."""

ROUGHLY, FEW_STEPS = 1e-4, 300
"""The same for bootstrap draws, whose spread is a thousand times larger."""

HEYWOOD = 0.005
"""A unique variance below this share is an improper solution (Heywood 1931), which has no omega."""


def covariances(values: Floats, weights: Floats) -> Floats:
    """Covariance matrix of the columns in each draw: (d, p, p)."""
    n, p = values.shape
    total = weights.sum(axis=1)[:, None, None]
    centred = values - values.mean(axis=0)
    mean = weights @ centred / total[:, 0]
    squares = weights @ (centred[:, :, None] * centred[:, None, :]).reshape(n, p * p)
    second = squares.reshape(-1, p, p) / total
    return np.asarray((second - mean[:, :, None] * mean[:, None, :]) * total / (total - 1))


def alpha(values: Floats, weights: Floats) -> Floats:
    """p/(p − 1) · (1 − Σ variances / variance of the sum); Cronbach (1951)."""
    cov = covariances(values, weights)
    p = cov.shape[1]
    whole = cov.sum(axis=(1, 2))
    parts = np.trace(cov, axis1=1, axis2=2)
    return _where(whole > 1e-12, p / (p - 1) * (1 - parts / np.maximum(whole, 1e-12)))


def omega(values: Floats, weights: Floats) -> Floats:
    """(Σλ)² / ((Σλ)² + Σψ) of one factor; McDonald (1999). NaN for a Heywood case."""
    cov = covariances(values, weights)
    deviations = np.sqrt(np.diagonal(cov, axis1=1, axis2=2))
    varies = (deviations > 1e-9).all(axis=1)
    safe = np.where(deviations > 1e-9, deviations, 1.0)
    loading, unique = one_factor(cov / (safe[:, :, None] * safe[:, None, :]), len(cov) > 1)
    common = (loading * safe).sum(axis=1) ** 2
    proper = np.logical_and(varies, (unique > HEYWOOD).all(axis=1))
    return _where(proper, common / (common + (unique * safe**2).sum(axis=1)))


def one_factor(correlation: Floats, rough: bool = False) -> tuple[Floats, Floats]:
    """Maximum-likelihood loadings and unique variances of one factor: (d, p) each.

    EM over all draws at once (Rubin & Thayer 1982, Psychometrika 47:69–76); `rough` stops early.
    """
    enough, steps = (ROUGHLY, FEW_STEPS) if rough else (CONVERGED, STEPS)
    loading = np.full(correlation.shape[:2], 0.7)
    unique = np.full(correlation.shape[:2], 0.51)
    for _ in range(steps):
        scaled = loading / unique
        weight = scaled / (1 + (loading * scaled).sum(axis=1, keepdims=True))
        cross = (correlation @ weight[:, :, None])[:, :, 0]
        second = 1 + (weight * (cross - loading)).sum(axis=1, keepdims=True)
        before, loading = loading, cross / second
        unique = np.maximum(1 - loading * cross, 1e-6)
        if np.abs(loading - before).max() < enough or (unique <= HEYWOOD).any(axis=1).all():
            break
    return loading, unique


def split_half(values: Floats, weights: Floats) -> Floats:
    """Spearman–Brown of odd and even columns."""
    halves = np.column_stack([values[:, ::2].mean(axis=1), values[:, 1::2].mean(axis=1)])
    cov = covariances(halves, weights)
    product = cov[:, 0, 0] * cov[:, 1, 1]
    r = cov[:, 0, 1] / np.sqrt(np.maximum(product, 1e-24))
    return _where((product > 1e-24) & (r > -1 + 1e-9), 2 * r / np.maximum(1 + r, 1e-9))


def icc31(values: Floats, weights: Floats) -> Floats:
    """ICC(3,1) of n targets × p raters; Shrout & Fleiss (1979)."""
    p = values.shape[1]
    n = weights.sum(axis=1)
    centred = values - values.mean()
    grand = weights @ centred.mean(axis=1) / n
    rows = p * (weights @ centred.mean(axis=1) ** 2 - n * grand**2)
    columns = n * (((weights @ centred) / n[:, None] - grand[:, None]) ** 2).sum(axis=1)
    whole = weights @ (centred**2).sum(axis=1) - n * p * grand**2
    between = rows / (n - 1)
    error = (whole - rows - columns) / ((n - 1) * (p - 1))
    below = between + (p - 1) * error
    return _where(below > 1e-12, (between - error) / np.maximum(below, 1e-12))


def _where(defined: ArrayLike, values: Floats) -> Floats:
    return np.where(defined, values, np.nan)[:, None]
