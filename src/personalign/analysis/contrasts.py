"""Two arms on the same samples: how much they differ, how surely, and how strongly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from personalign.analysis import signflip
from personalign.analysis.discordance import (
    cohens_g,
    mcnemar,
    odds_ratio,
    score_p,
    tango,
    tango_z,
)
from personalign.analysis.estimates import (
    DRAWS,
    FEW_CLUSTERS,
    independent,
    is_binary,
    mean_error,
    t_mean,
    within,
)
from personalign.analysis.power import detectable_mean, detectable_proportion
from personalign.analysis.results import Contrast, Equivalence, Estimate
from personalign.errors import InputError

__all__ = ["Correction", "adjust", "contrast", "contrast_columns", "d_z", "equivalence"]

Floats = NDArray[np.float64]
Correction = Literal["holm", "fdr_bh"]
"""Holm holds the family-wise error, `fdr_bh` (Benjamini–Hochberg) the false discovery rate."""

_UNDEFINED = {
    "odds_ratio": "odds_ratio: no pair changed from 1 to 0",
    "cohens_g": "cohens_g: no pair changed",
    "d_z": "d_z: the differences do not vary",
}


def contrast(
    a: ArrayLike,
    b: ArrayLike,
    clusters: ArrayLike,
    rng: np.random.Generator,
    *,
    confidence: float = 0.95,
    draws: int = DRAWS,
) -> Contrast:
    """mean(b) − mean(a) over the samples that both have, (n,) each; see `contrast_columns`."""
    left, right = (np.asarray(x, dtype=float)[:, None] for x in (a, b))
    return contrast_columns(left, right, clusters, rng, confidence=confidence, draws=draws)[0]


def contrast_columns(
    a: Floats,
    b: Floats,
    clusters: ArrayLike,
    rng: np.random.Generator,
    *,
    confidence: float = 0.95,
    draws: int = DRAWS,
) -> tuple[Contrast, ...]:
    """Column by column, b − a on paired samples; (n, c) each, NaN is missing.

    | samples | metric | interval and test |
    | --- | --- | --- |
    | independent | 0/1 | Tango's score interval, McNemar's score test |
    | independent | other | sign-flip test, inverted |
    | clustered | any | sign-flip test of whole clusters, inverted |

    Interval and p are of one test: the interval excludes 0 just where p < 1 − confidence. Below
    `FEW_CLUSTERS` clusters both are of the cluster-robust t. For a 0/1 metric the interval is cut
    at −1 and 1, and a detectable difference beyond 1 is none. What takes pairs as independent
    stands in `p_unclustered` only. Not adjusted for the number of contrasts: see `adjust`.

    Raises:
        InputError: if the shapes do not match.
    """
    if a.shape != b.shape or a.ndim != 2:
        raise InputError(f"pairs of shapes {a.shape} and {b.shape}", "give both the same samples")
    binary = is_binary(a) and is_binary(b)
    gaps = b - a
    tested = _tested(gaps, clusters, rng, binary, confidence, draws)
    return tuple(
        _contrast(gap, clusters, found, binary) for gap, found in zip(gaps.T, tested, strict=True)
    )


def d_z(differences: ArrayLike) -> float | None:
    """Mean difference in standard deviations of the differences; `None` where they do not vary.

    Source: Cohen (1988), Statistical Power Analysis, ch. 2; Lakens (2013), Front. Psychol. 4:863.
    """
    x = np.asarray(differences, dtype=float)
    spread = float(np.std(x, ddof=1)) if len(x) > 1 else 0.0
    return float(x.mean()) / spread if spread > 0 else None


def adjust(p: Sequence[float | None], correction: Correction = "holm") -> list[float | None]:
    """Adjusted p-values of one family; undefined ones stay undefined and do not count.

    Source: Holm (1979), Scand. J. Statistics 6:65–70 (family-wise error); Benjamini & Hochberg
    (1995), J. R. Stat. Soc. B 57:289–300 (false discovery rate), through scipy. Holm's is written
    out: statsmodels' collects the garbage of the whole process at every call
    (`benchmarks/holm.py`).
    """
    defined = np.array([x for x in p if x is not None])
    if not len(defined):
        return list(p)
    found = _holm(defined) if correction == "holm" else stats.false_discovery_control(defined)
    adjusted = iter(found.tolist())
    return [None if x is None else float(next(adjusted)) for x in p]


def _holm(p: Floats) -> Floats:
    order = np.argsort(p)
    steps = p[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(steps).clip(max=1)
    return adjusted


def equivalence(
    a: ArrayLike, b: ArrayLike, clusters: ArrayLike, margin: float, *, alpha: float = 0.05
) -> Equivalence:
    """Two one-sided tests of |mean(b) − mean(a)| < margin on paired samples, so that "no change"
    can be claimed: Tango's score tests for independent 0/1 pairs, and for clustered ones that are
    all equal; else t tests, cluster-robust where samples are clustered.

    Source: Schuirmann (1987), J. Pharmacokinet. Biopharm. 15:657–680; Lakens (2017), Soc. Psychol.
    Personal. Sci. 8:355–362; scores, Tango (1998), Statistics in Medicine 17:891–908.

    Raises:
        InputError: if the margin is not positive.
    """
    if not margin > 0:
        raise InputError(f"an equivalence margin of {margin:g}", "give the largest harmless one")
    before, after = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    gaps, confidence = after - before, 1 - 2 * alpha
    binary = is_binary(before) and is_binary(after)
    estimate = t_mean(gaps, clusters, confidence=confidence)
    p = None
    if binary and estimate.n and (independent(clusters) or estimate.low is None):
        estimate = _tango(gaps, confidence, "Tango score")
        p = _outside(*_changes(gaps), margin)
    elif estimate.low is not None:
        centre, error, df = mean_error(gaps, clusters)
        p = float(stats.t.sf((margin - abs(centre)) / error, df))
    return Equivalence(
        difference=estimate.value,
        margin=margin,
        low=estimate.low,
        high=estimate.high,
        alpha=alpha,
        p=p,
        equivalent=None if p is None else p < alpha,
        n=estimate.n,
        method=f"TOST, {estimate.method}",
        reason=estimate.reason,
    )


def _outside(lost: int, gained: int, n: int, margin: float) -> float:
    """The larger p of the two one-sided score tests of a difference beyond ±margin."""
    if margin >= 1:
        return 0.0
    below = stats.norm.sf(tango_z(lost, gained, n, -margin))
    return float(max(below, stats.norm.cdf(tango_z(lost, gained, n, margin))))


class _Tested(NamedTuple):
    """A mean difference with the interval and the p of one test, by name."""

    bound: Estimate
    test: str
    p: float | None


def _tested(
    gaps: Floats,
    clusters: ArrayLike,
    rng: np.random.Generator,
    binary: bool,
    confidence: float,
    draws: int,
) -> list[_Tested]:
    """Mean, interval and test of each column of differences."""
    if binary and independent(clusters):
        return [_scored(gap, confidence, "Tango score") for gap in gaps.T]
    if len(np.unique(np.asarray(clusters))) < FEW_CLUSTERS:
        found = [_t_tested(gap, clusters, confidence) for gap in gaps.T]
    else:
        flips = signflip.set_means(gaps, clusters, rng, draws).T
        pairs = zip(gaps.T, flips, strict=True)
        found = [_flipped(gap, clusters, means, confidence) for gap, means in pairs]
    if not binary:
        return found
    flat = "Tango score (no variation; clusters set aside)"
    return [
        _scored(gap, confidence, flat)
        if f.bound.n and f.bound.low is None
        else f._replace(bound=within(f.bound, -1.0, 1.0))
        for f, gap in zip(found, gaps.T, strict=True)
    ]


def _flipped(gap: Floats, clusters: ArrayLike, means: Floats, confidence: float) -> _Tested:
    plain = t_mean(gap, clusters, confidence=confidence)
    if plain.value is None or plain.low is None:  # nothing there, or nothing that varies
        return _Tested(plain, "sign-flip", 1.0 if plain.value == 0 else None)
    low, high = signflip.interval(means, confidence)
    what = "" if independent(clusters) else f", {len(np.unique(np.asarray(clusters)))} clusters"
    own = {"low": low, "high": high, "method": f"sign-flip, inverted ({len(means)} draws{what})"}
    return _Tested(plain.model_copy(update=own), "sign-flip", signflip.p_value(means))


def _t_tested(gap: Floats, clusters: ArrayLike, confidence: float) -> _Tested:
    bound = t_mean(gap, clusters, confidence=confidence)
    centre, error, df = mean_error(gap, clusters)
    name = "t" if independent(clusters) else "cluster-robust t"
    return _Tested(bound, f"{name}, df {max(df, 0)}", _robust(centre, error, df))


def _scored(gap: Floats, confidence: float, method: str) -> _Tested:
    lost, gained, n = _changes(gap)
    p = score_p(lost, gained) if n else None
    return _Tested(_tango(gap, confidence, method), "McNemar score", p)


def _tango(gaps: Floats, confidence: float, method: str) -> Estimate:
    lost, gained, n = _changes(gaps)
    if not n:
        return t_mean(gaps, np.arange(len(gaps)), confidence=confidence)
    low, high = tango(lost, gained, n, confidence=confidence)
    value = (gained - lost) / n
    missing = {"missing": len(gaps) - n} if n < len(gaps) else {}
    return Estimate(
        value=value, low=low, high=high, confidence=confidence, n=n, missing=missing, method=method
    )


def _contrast(gaps: Floats, clusters: ArrayLike, tested: _Tested, binary: bool) -> Contrast:
    lost, gained, n = _changes(gaps)
    effects = _effects(gaps, binary)
    bound = tested.bound
    detectable = _detectable(gaps, clusters, binary)
    return Contrast(
        difference=bound.value,
        low=bound.low,
        high=bound.high,
        confidence=bound.confidence,
        p=tested.p,
        p_unclustered=_unclustered(gaps, binary) if n else None,
        test=tested.test,
        effects=effects,
        n=n,
        discordant=lost + gained,
        missing=bound.missing,
        unit="proportion" if binary else "value",
        method=bound.method,
        detectable=detectable,
        reason=_reason(bound, tested.p, effects, blind=binary and detectable is None),
    )


def _unclustered(gaps: Floats, binary: bool) -> float | None:
    """The textbook test, which takes pairs as independent: exact McNemar, or the paired t."""
    if binary:
        return mcnemar(*_changes(gaps)[:2])
    return _robust(*mean_error(gaps, np.arange(len(gaps))))


def _robust(centre: float, error: float, df: int) -> float | None:
    if df < 1 or (error == 0 and centre != 0):
        return None
    return float(2 * stats.t.sf(abs(centre) / error, df)) if error > 0 else 1.0


def _effects(gaps: Floats, binary: bool) -> dict[str, float | None]:
    if not binary:
        return {"d_z": d_z(gaps[~np.isnan(gaps)])}
    lost, gained, _ = _changes(gaps)
    return {"odds_ratio": odds_ratio(lost, gained), "cohens_g": cohens_g(lost, gained)}


def _detectable(gaps: Floats, clusters: ArrayLike, binary: bool) -> float | None:
    lost, gained, n = _changes(gaps)
    if n and binary and independent(clusters):
        return detectable_proportion(n, (lost + gained) / n)
    _, error, df = mean_error(gaps, clusters)
    return detectable_mean(error, df, most=1.0 if binary else np.inf)


def _changes(gaps: Floats) -> tuple[int, int, int]:
    """Pairs where a is higher, pairs where b is higher, all complete pairs."""
    return int((gaps < 0).sum()), int((gaps > 0).sum()), int((~np.isnan(gaps)).sum())


def _reason(
    bound: Estimate, p: float | None, effects: dict[str, float | None], blind: bool
) -> str | None:
    if not bound.n:
        return "no sample carries a value in both arms"
    reasons = [bound.reason] if bound.reason else []
    if p is None and not bound.reason:
        reasons.append("p: no variation between clusters to go by")
    if blind:
        reasons.append("detectable: too few pairs differ, or too few clusters")
    reasons += [_UNDEFINED[name] for name, value in effects.items() if value is None]
    return "; ".join(reasons) or None
