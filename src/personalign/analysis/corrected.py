"""What a judge's errors do to a rate.

A flag is the judge's word. The share that is truly harmful follows from how often the judge finds
what is there and passes what is not, as far as it errs on these replies as it did on those that
people labelled.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from personalign.analysis.estimates import DRAWS, FEW_CLUSTERS, expanded_levels, independent
from personalign.analysis.judges import Count, JudgeErrors, count
from personalign.analysis.results import Estimate
from personalign.errors import InputError
from personalign.records import Record

__all__ = ["BETWEEN_ARMS", "ENOUGH", "corrected_prevalence", "corrected_rate"]

Floats = NDArray[np.float64]

ENOUGH = 20
"""Labelled replies of one kind of harm from which its own sensitivity is taken: its standard error
is then at most 0.11. Other kinds have the sensitivity over all."""

BETWEEN_ARMS = (
    "not identifiable: the judge was not calibrated on each arm's replies, and may err more on one "
    "arm than on another"
)
"""Why a difference between arms is not corrected."""

OUTSIDE = "not identifiable: so calibrated, the judge would flag more or less of any replies"
CHANCE = "the judge does no better than chance"


def corrected_rate(
    flags: ArrayLike,
    clusters: ArrayLike,
    errors: JudgeErrors,
    rng: np.random.Generator,
    *,
    confidence: float = 0.95,
    draws: int = DRAWS,
) -> Estimate:
    """Share that is truly flagged among (n,) flags, 0 to 1, that share clusters; NaN is missing.

    Every draw takes clusters with replacement and, with them, the judge's sensitivity and
    specificity from what the counts of its calibration leave open: Beta(k + 1, n − k + 1), whose
    mean is Lang and Reiczigel's adjusted share. A cluster that is a kind of harm with `ENOUGH`
    labelled replies has its own sensitivity. Flags are adjusted as in `clustered_proportion`: t²/2
    more in the fullest cluster, as many of the other kind spread. The limits are expanded
    percentiles; a draw in which the judge does no better than chance bounds nothing. Below
    `FEW_CLUSTERS` there is no interval; for independent flags it is `corrected_prevalence`'s. By
    simulation it covers (tests/analysis/test_corrected.py).

    Raises:
        InputError: where the calibration has no unsafe or no safe rows, or no flag is known.
    """
    whole = np.asarray(flags, dtype=float)
    kept = ~np.isnan(whole)
    x, names = whole[kept], np.asarray(clusters)[kept]
    if not len(x):
        raise InputError("no flag is known", "judge some replies")
    judge = _Judge.of(errors, [str(name) for name in np.unique(names)])
    missing = {"missing": int((~kept).sum())} if not kept.all() else {}
    if independent(names):
        flagged = round(float(x.sum())), len(x)
        found = corrected_prevalence(flagged, judge.pooled, judge.passed, confidence=confidence)
    else:
        found = _clustered(x, names, judge, rng, confidence, draws)
    return found.model_copy(update={"missing": missing})


def corrected_prevalence(
    flagged: tuple[int, int],
    sensitivity: tuple[int, int],
    specificity: tuple[int, int],
    *,
    confidence: float = 0.95,
) -> Estimate:
    """Share that is truly flagged among independent flags; each argument is (count, of how many).

    `flagged` are the judge's flags in the study, `sensitivity` its flags among known positives,
    `specificity` its non-flags among known negatives. The interval carries the uncertainty of all
    three. Where it lies wholly outside 0 to 1 no true share explains the flags: the judge errs
    otherwise here than where it was calibrated, and the share is not identifiable.

    Source: Rogan & Gladen (1978), Am. J. Epidemiol. 107:71–76; interval, Lang & Reiczigel (2014),
    Prev. Vet. Med. 113:13–22.

    Raises:
        InputError: if a count does not fit its total.
    """
    for some, total in (flagged, sensitivity, specificity):
        if not 0 <= some <= total or total < 1:
            raise InputError(f"{some} of {total}", "a count from 0 to its total")
    found = _rogan_gladen(*(k / n for k, n in (flagged, sensitivity, specificity)))
    limits = _limits(flagged, sensitivity, specificity, confidence)
    value = low = high = None
    reason: str | None = CHANCE
    if found is not None and limits is None:
        value, reason = float(np.clip(found, 0, 1)), None
    elif found is not None and limits is not None:
        reason = OUTSIDE
        if limits[0] <= 1 and limits[1] >= 0:
            value, low, high = (float(x) for x in np.clip([found, *limits], 0, 1))
            reason = None
    return Estimate(
        value=value,
        low=low,
        high=high,
        confidence=confidence,
        n=flagged[1],
        unit="proportion",
        method="Rogan-Gladen, Lang-Reiczigel interval",
        reason=reason,
    )


class _Judge(Record):
    """Counts of a calibration, for clusters that may be kinds of harm."""

    kinds: tuple[str, ...]
    found: tuple[Count, ...]
    pooled: Count
    passed: Count

    @classmethod
    def of(cls, errors: JudgeErrors, kinds: Sequence[str]) -> _Judge:
        pooled, passed = errors.counts
        own = {kind: agreement.sensitivity for kind, agreement in errors.categories.items()}
        enough = {kind: count(share) for kind, share in own.items() if share.n >= ENOUGH}
        found = [enough.get(kind, pooled) for kind in kinds]
        return cls(kinds=tuple(kinds), found=tuple(found), pooled=pooled, passed=passed)

    @property
    def youden(self) -> Floats:
        """How much better than chance it is, cluster by cluster: (k,)."""
        return np.array([k / n for k, n in self.found]) + self.passed[0] / self.passed[1] - 1

    def drawn(self, rng: np.random.Generator, draws: int) -> tuple[Floats, Floats]:
        """Sensitivities (d, k), of one count the same draw, and specificities (d, 1)."""
        each = {c: rng.beta(c[0] + 1, c[1] - c[0] + 1, draws) for c in dict.fromkeys(self.found)}
        passed = rng.beta(self.passed[0] + 1, self.passed[1] - self.passed[0] + 1, (draws, 1))
        return np.stack([each[c] for c in self.found], axis=1), passed


def _clustered(
    x: Floats,
    names: NDArray[np.generic],
    judge: _Judge,
    rng: np.random.Generator,
    confidence: float,
    draws: int,
) -> Estimate:
    codes = np.unique(names, return_inverse=True)[1]
    ones = np.bincount(codes, weights=x).astype(float)
    sizes, k = np.bincount(codes).astype(float), len(judge.kinds)
    plain = Estimate(
        value=None,
        confidence=confidence,
        n=len(x),
        unit="proportion",
        method=f"Rogan-Gladen over {draws} draws of {k} clusters and the calibration",
    )
    if blind := [c for c, better in zip(judge.kinds, judge.youden, strict=True) if better <= 0]:
        where = "" if len(blind) == k else f" at {', '.join(blind)}"
        return plain.model_copy(update={"reason": f"not identifiable: {CHANCE}{where}"})
    miss = 1 - judge.passed[0] / judge.passed[1]
    value = float(((ones - miss * sizes) / judge.youden).sum() / sizes.sum())
    if k < FEW_CLUSTERS:
        reason = f"{k} clusters are too few to draw from: an interval needs {FEW_CLUSTERS}"
        return plain.model_copy(update={"value": float(np.clip(value, 0, 1)), "reason": reason})
    low, high = _drawn_limits(*_adjusted(ones, sizes, confidence), judge, rng, confidence, draws)
    if low > 1 or high < 0 or np.isinf([low, high]).any():
        unsure = f"not identifiable: that the judge does better than chance{_of(judge)} is not sure"
        return plain.model_copy(update={"reason": OUTSIDE if low > 1 or high < 0 else unsure})
    value, low, high = (float(v) for v in np.clip([value, low, high], 0, 1))
    return plain.model_copy(update={"value": value, "low": low, "high": high})


def _of(judge: _Judge) -> str:
    """Where a judge is the weakest, if it is not the same everywhere."""
    if len(set(judge.found)) == 1:
        return ""
    return f" at {judge.kinds[int(np.argmin(judge.youden))]}"


def _adjusted(ones: Floats, sizes: Floats, confidence: float) -> tuple[Floats, Floats]:
    """Flags and replies of each cluster with t²/2 of the rarer kind in the fullest of it, and as
    many of the other spread evenly."""
    more = float(stats.t.ppf((1 + confidence) / 2, len(ones) - 1)) ** 2 / 2
    ones, sizes, rare = ones.copy(), sizes + more / len(ones), ones.sum() * 2 <= sizes.sum()
    fullest = int(np.argmax(ones if rare else sizes - ones))
    sizes[fullest] += more
    return ones + (more * (np.arange(len(ones)) == fullest) if rare else more / len(ones)), sizes


def _drawn_limits(
    ones: Floats,
    sizes: Floats,
    judge: _Judge,
    rng: np.random.Generator,
    confidence: float,
    draws: int,
) -> tuple[float, float]:
    """Infinite where too many draws leave the judge no better than chance."""
    k = len(ones)
    taken = rng.multinomial(k, np.full(k, 1 / k), draws).astype(float)
    found, passed = judge.drawn(rng, draws)
    youden = found + passed - 1
    with np.errstate(divide="ignore"):
        shares = (taken * (ones - (1 - passed) * sizes) / youden).sum(axis=1) / (taken @ sizes)
    sure, tails = (youden > 0).all(axis=1), expanded_levels(k, (1 - confidence) / 2)
    low = np.quantile(np.where(sure, shares, -np.inf), tails[0], method="lower")
    high = np.quantile(np.where(sure, shares, np.inf), tails[1], method="higher")
    return float(low), float(high)


def _rogan_gladen(rate: float, sensitivity: float, specificity: float) -> float | None:
    youden = sensitivity + specificity - 1
    return (rate + specificity - 1) / youden if youden > 0 else None


def _limits(
    flagged: tuple[int, int],
    sensitivity: tuple[int, int],
    specificity: tuple[int, int],
    confidence: float,
) -> tuple[float, float] | None:
    """Lang and Reiczigel's limits, about the estimate of the adjusted counts as it falls."""
    z = float(stats.norm.ppf((1 + confidence) / 2))
    p, n = (flagged[0] + z**2 / 2) / (flagged[1] + z**2), flagged[1] + z**2
    (se, n_se), (sp, n_sp) = (((k + 1) / (m + 2), m + 2) for k, m in (sensitivity, specificity))
    centre = _rogan_gladen(p, se, sp)
    if centre is None:
        return None
    from_se, from_sp = se * (1 - se) / n_se, sp * (1 - sp) / n_sp
    variance = p * (1 - p) / n + centre**2 * from_se + (1 - centre) ** 2 * from_sp
    error = np.sqrt(variance) / (se + sp - 1)
    shift = 2 * z**2 * (centre * from_se - (1 - centre) * from_sp)
    return float(centre + shift - z * error), float(centre + shift + z * error)
