"""Means and proportions with intervals that respect what is not independent.

Shapes: n samples, c columns (arms), d draws, k clusters. NaN is a missing value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from personalign.analysis.results import Estimate
from personalign.errors import InputError

__all__ = [
    "DRAWS",
    "FEW_CLUSTERS",
    "Interval",
    "Statistic",
    "bootstrap",
    "bootstrap_columns",
    "chunks",
    "clustered_proportion",
    "expanded_levels",
    "expanded_tail",
    "mean_columns",
    "independent",
    "is_binary",
    "mean",
    "mean_error",
    "proportion",
    "resample",
    "t_mean",
    "within",
]

Floats = NDArray[np.float64]
Statistic = Callable[[Floats, Floats], Floats]
"""(n, c) values, (d, n) weights → (d, c): the statistic, sample i counted weights[., i] times."""

Interval = Literal["expanded", "percentile", "bca"]
"""How a bootstrap interval is read off its draws; see `bootstrap_columns`."""

DRAWS = 10_000
"""Bootstrap draws. A 95 % limit then wobbles by about 2 % of the half-width from seed to seed."""

FEW_CLUSTERS = 8
"""Below this many clusters there are too few distinct resamples; the t interval takes over."""

_CHUNK = 4_000_000


def mean(values: Floats, weights: Floats) -> Floats:
    """Weighted mean of each column over its non-missing values; (n, c), (d, n) → (d, c)."""
    present = ~np.isnan(values)
    total = weights @ np.where(present, values, 0.0)
    with np.errstate(invalid="ignore"):
        return np.asarray(total / (weights @ present.astype(float)))


def is_binary(values: ArrayLike) -> bool:
    """Whether every value that is there is 0 or 1."""
    x = np.asarray(values, dtype=float)
    return bool(np.isin(x[~np.isnan(x)], (0.0, 1.0)).all())


def independent(clusters: ArrayLike) -> bool:
    """Whether every sample is a cluster of its own."""
    codes = np.asarray(clusters)
    return len(np.unique(codes)) == len(codes)


def proportion(values: ArrayLike, *, confidence: float = 0.95) -> Estimate:
    """Share of ones among independent 0/1 values, with Wilson's score interval.

    Source: Wilson (1927), JASA 22:209–212, through `scipy.stats.binomtest`.

    Raises:
        InputError: for a value that is neither 0, 1 nor NaN.
    """
    x = np.asarray(values, dtype=float)
    if not is_binary(x):
        raise InputError("a proportion needs values of 0 and 1", "use t_mean for other values")
    n, missing = _counts(x)
    if not n:
        return _empty("Wilson", confidence, missing, "proportion")
    ones = int(np.nansum(x))
    limits = stats.binomtest(ones, n).proportion_ci(confidence, method="wilson")
    return Estimate(
        value=ones / n,
        low=float(limits.low),
        high=float(limits.high),
        confidence=confidence,
        n=n,
        missing=missing,
        unit="proportion",
        method="Wilson",
    )


def clustered_proportion(
    values: ArrayLike, clusters: ArrayLike, *, confidence: float = 0.95
) -> Estimate:
    """Share of ones among clustered 0/1 values: Wilson's interval at the effective sample size.

    The samples count as so many independent ones as have their cluster-robust error (Korn &
    Graubard 1998, Survey Methodology 24:193–201), with the t quantile of clusters − 1. Where ones
    (or zeros) are few, whether they fall into one cluster is chance, and the design effect of none
    is unknown; so it is taken with t²/2 more in the cluster that has most and as many of the other
    kind spread evenly: what Wilson's centre adds to a count, laid where it clusters worst. By
    simulation it covers at rates from 0.5 to 40 % with 14 clusters (tests/analysis).

    Raises:
        InputError: for a value that is neither 0, 1 nor NaN.
    """
    whole = np.asarray(values, dtype=float)
    plain = proportion(whole, confidence=confidence)
    x, codes = _present(whole, clusters)
    k = int(codes.max()) + 1 if len(codes) else 0
    if k < 2 or plain.value is None:
        lost = {"low": None, "high": None, "reason": plain.reason or _no_interval(k, 1.0)}
        return plain.model_copy(update={**lost, "method": "cluster-adjusted Wilson"})
    t2 = float(stats.t.ppf((1 + confidence) / 2, k - 1)) ** 2
    effect = _design_effect(x if plain.value <= 0.5 else 1 - x, codes, t2 / 2)
    n, p = len(x) / effect, plain.value
    centre = (p + t2 / (2 * n)) / (1 + t2 / n)
    half = np.sqrt(t2 * (p * (1 - p) / n + t2 / (4 * n**2))) / (1 + t2 / n)
    method = f"cluster-adjusted Wilson ({k} clusters, design effect {effect:.1f})"
    own = {"low": max(0.0, centre - half), "high": min(1.0, centre + half), "method": method}
    return plain.model_copy(update=own)


def _design_effect(x: Floats, codes: NDArray[np.intp], more: float) -> float:
    """Cluster-robust over simple variance of the share of the rarer kind, `more` added; ≥ 1."""
    ones, sizes = np.bincount(codes, weights=x), np.bincount(codes).astype(float)
    k = len(sizes)
    ones[np.argmax(ones)] += more
    sizes[np.argmax(ones)] += more
    sizes += more / k
    share = ones.sum() / sizes.sum()
    robust = k / (k - 1) * ((ones - share * sizes) ** 2).sum() / sizes.sum() ** 2
    return max(1.0, float(robust * sizes.sum() / (share * (1 - share))))


def mean_error(values: ArrayLike, clusters: ArrayLike) -> tuple[float, float, int]:
    """Mean, its cluster-robust standard error, and the degrees of freedom (clusters − 1).

    With clusters of one this is the ordinary s/√n. The error is NaN below two clusters.

    Source: linearised ratio estimator, Cochran (1977), Sampling Techniques, ch. 6, with the
    G/(G−1) correction of Cameron & Miller (2015), J. Human Resources 50:317–372.
    """
    x, codes = _present(np.asarray(values, dtype=float), clusters)
    if not len(x):
        return np.nan, np.nan, -1
    centre = float(x.mean())
    k = int(codes.max()) + 1
    residuals = np.bincount(codes, weights=x - centre, minlength=k)
    if k < 2:
        return centre, np.nan, 0
    return centre, float(np.sqrt(k / (k - 1) * (residuals**2).sum()) / len(x)), k - 1


def t_mean(values: ArrayLike, clusters: ArrayLike, *, confidence: float = 0.95) -> Estimate:
    """Mean with a t interval, cluster-robust where samples share clusters; see `mean_error`."""
    x = np.asarray(values, dtype=float)
    n, missing = _counts(x)
    method = "t" if independent(clusters) else "cluster-robust t"
    if not n:
        return _empty(method, confidence, missing)
    centre, error, df = mean_error(x, clusters)
    reason = _no_interval(df + 1, error)
    half = stats.t.ppf((1 + confidence) / 2, df) * error if reason is None else None
    return Estimate(
        value=centre,
        low=None if half is None else float(centre - half),
        high=None if half is None else float(centre + half),
        confidence=confidence,
        n=n,
        missing=missing,
        method=f"{method}, df {df}",
        reason=reason,
    )


def expanded_levels(k: int, tail: float) -> tuple[float, float]:
    """Quantile levels that make a percentile interval over k clusters as wide as a t interval.

    Source: the expanded percentile interval of Hesterberg (2015), The American Statistician
    69:371–386.
    """
    edge = float(stats.norm.cdf(np.sqrt(k / (k - 1)) * stats.t.ppf(tail, k - 1)))
    return edge, 1 - edge


def expanded_tail(k: int, share: float) -> float:
    """The tail whose `expanded_levels` is this share of the draws: the p-value to that interval.

    A share of draws is the tail of a normal, and the tail of a mean over k clusters is a t's.
    """
    return float(stats.t.cdf(stats.norm.ppf(share) / np.sqrt(k / (k - 1)), k - 1))


def resample(
    values: Floats,
    clusters: ArrayLike,
    rng: np.random.Generator,
    *,
    statistic: Statistic = mean,
    draws: int = DRAWS,
) -> Floats:
    """A statistic over bootstrap draws of whole clusters; (n, c) → (d, c).

    Every draw takes as many clusters as there are, with replacement, the same for all columns, so
    that differences between columns of one draw are paired. Given the rng, draws are those of
    `scipy.stats.bootstrap` over the clusters.

    Source: Efron & Tibshirani (1993), An Introduction to the Bootstrap, ch. 6; whole clusters:
    Davison & Hinkley (1997), Bootstrap Methods and their Application, §3.8.
    """
    codes = np.unique(np.asarray(clusters), return_inverse=True)[1]
    parts = [statistic(values, w[:, codes]) for w in _weights(int(codes.max()) + 1, draws, rng)]
    return np.concatenate(parts)


def bootstrap(
    values: ArrayLike,
    clusters: ArrayLike,
    rng: np.random.Generator,
    statistic: Statistic = mean,
    *,
    confidence: float = 0.95,
    draws: int = DRAWS,
    interval: Interval = "expanded",
) -> Estimate:
    """A statistic of (n,) values with its cluster-bootstrap interval; see `bootstrap_columns`."""
    column = np.asarray(values, dtype=float)[:, None]
    return bootstrap_columns(
        column, clusters, rng, statistic, confidence=confidence, draws=draws, interval=interval
    )[0]


def bootstrap_columns(
    values: Floats,
    clusters: ArrayLike,
    rng: np.random.Generator,
    statistic: Statistic = mean,
    *,
    confidence: float = 0.95,
    draws: int = DRAWS,
    interval: Interval = "expanded",
) -> tuple[Estimate, ...]:
    """A statistic of every column of an (n, c) matrix with its cluster-bootstrap interval.

    `interval` is one of
    - `percentile`: quantiles (1 ∓ confidence)/2 of the draws;
    - `expanded`: the same at `expanded_levels`, since that is too narrow with few clusters;
    - `bca`: bias-corrected and accelerated, by a jackknife over clusters (Efron 1987, JASA
      82:171–185).

    Raises:
        InputError: if values and clusters do not match in length, or draws is below 100.
    """
    codes = np.asarray(clusters)
    if values.ndim != 2 or len(values) != len(codes):
        raise InputError(f"{values.shape} values for {len(codes)} clusters", "one cluster a sample")
    if draws < 100:
        raise InputError(f"{draws} bootstrap draws", "take at least 100, better thousands")
    if not len(values):
        return tuple(_empty("cluster bootstrap", confidence, {}) for _ in range(values.shape[1]))
    centre = statistic(values, np.ones((1, len(values))))[0]
    drawn = resample(values, codes, rng, statistic=statistic, draws=draws)
    knife = _jackknife(values, codes, statistic) if interval == "bca" else None
    return tuple(
        _read_off(
            values[:, j],
            codes,
            float(centre[j]),
            drawn[:, j],
            None if knife is None else knife[:, j],
            confidence,
            interval,
        )
        for j in range(values.shape[1])
    )


def mean_columns(
    values: Floats,
    clusters: ArrayLike,
    rng: np.random.Generator,
    *,
    confidence: float = 0.95,
    draws: int = DRAWS,
) -> tuple[Estimate, ...]:
    """Mean of every column of an (n, c) matrix with the interval that fits the data.

    | samples | 0/1 | other |
    | --- | --- | --- |
    | independent | Wilson | t |
    | clustered | `clustered_proportion` | cluster bootstrap |

    Below `FEW_CLUSTERS` clusters the bootstrap gives way to the cluster-robust t interval.
    """
    binary = is_binary(values)
    columns = values.T
    if binary and independent(clusters):
        found = [proportion(x, confidence=confidence) for x in columns]
    elif binary:
        found = [clustered_proportion(x, clusters, confidence=confidence) for x in columns]
    elif independent(clusters) or len(np.unique(np.asarray(clusters))) < FEW_CLUSTERS:
        found = [t_mean(x, clusters, confidence=confidence) for x in columns]
    else:
        found = list(bootstrap_columns(values, clusters, rng, confidence=confidence, draws=draws))
    return tuple(found)


def within(estimate: Estimate, least: float, most: float) -> Estimate:
    """The same with its interval cut at what is possible; a reason where that leaves all of it."""
    if estimate.low is None or estimate.high is None:
        return estimate
    low, high = max(estimate.low, least), min(estimate.high, most)
    reason = "the interval holds every possible value" if (low, high) == (least, most) else None
    return estimate.model_copy(
        update={"low": low, "high": high, "reason": estimate.reason or reason}
    )


def chunks(draws: int, width: int) -> Iterator[int]:
    """Draws in parts that fit into memory, of rows so wide."""
    size = max(1, _CHUNK // width)
    yield from (min(size, draws - start) for start in range(0, draws, size))


def _weights(k: int, draws: int, rng: np.random.Generator) -> Iterator[Floats]:
    """How often each of k clusters is in each draw: chunks of (≤ d, k)."""
    for rows in chunks(draws, k):
        picks = rng.integers(0, k, (rows, k)) + np.arange(rows)[:, None] * k
        yield np.bincount(picks.ravel(), minlength=rows * k).reshape(rows, k).astype(float)


def _jackknife(values: Floats, clusters: NDArray[np.generic], statistic: Statistic) -> Floats:
    """The statistic without each cluster in turn; (k, c)."""
    names = np.unique(clusters)
    size = max(1, _CHUNK // len(values))
    chunks = (names[i : i + size] for i in range(0, len(names), size))
    return np.concatenate(
        [statistic(values, (clusters[None, :] != c[:, None]).astype(float)) for c in chunks]
    )


def _read_off(
    values: Floats,
    clusters: NDArray[np.generic],
    centre: float,
    draws: Floats,
    knife: Floats | None,
    confidence: float,
    interval: Interval,
) -> Estimate:
    n, missing = _counts(values)
    if not n or np.isnan(centre):
        return _empty("cluster bootstrap", confidence, missing)
    draws = draws[~np.isnan(draws)]
    k = len(np.unique(clusters[~np.isnan(values)]))
    reason = _no_interval(k, float(np.ptp(draws)))
    low = high = None
    if reason is None:
        tail = (1 - confidence) / 2
        if knife is not None:
            levels = _bca(centre, draws, knife, tail)
        else:
            levels = expanded_levels(k, tail) if interval == "expanded" else (tail, 1 - tail)
        low, high = (float(q) for q in np.quantile(draws, levels))
    return Estimate(
        value=centre,
        low=low,
        high=high,
        confidence=confidence,
        n=n,
        missing=missing,
        method=f"cluster bootstrap ({interval}, {len(draws)} draws, {k} clusters)",
        reason=reason,
    )


def _bca(centre: float, draws: Floats, knife: Floats, tail: float) -> tuple[float, float]:
    bias = stats.norm.ppf((np.mean(draws < centre) + np.mean(draws <= centre)) / 2)
    pull = np.nanmean(knife) - knife
    bend = np.nansum(pull**3) / (6 * np.nansum(pull**2) ** 1.5)
    z = bias + stats.norm.ppf([tail, 1 - tail])
    low, high = stats.norm.cdf(bias + z / (1 - bend * z))
    return float(low), float(high)


def _no_interval(clusters: int, spread: float) -> str | None:
    if clusters < 2:
        return "one cluster alone shows no variation between clusters"
    if not spread > 0:
        return "all values are equal: their spread says nothing about uncertainty"
    return None


def _counts(values: Floats) -> tuple[int, dict[str, int]]:
    lacking = int(np.isnan(values).sum())
    return len(values) - lacking, {"missing": lacking} if lacking else {}


def _present(values: Floats, clusters: ArrayLike) -> tuple[Floats, NDArray[np.intp]]:
    kept = ~np.isnan(values)
    return values[kept], np.unique(np.asarray(clusters)[kept], return_inverse=True)[1]


def _empty(
    method: str, confidence: float, missing: dict[str, int], unit: str = "value"
) -> Estimate:
    return Estimate(
        value=None,
        confidence=confidence,
        n=0,
        missing=missing,
        unit=unit,
        method=method,
        reason="no sample carries a value",
    )
