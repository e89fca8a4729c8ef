"""How far a judge can be trusted, and what its errors do to a rate."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from statsmodels.stats.inter_rater import cohens_kappa

from personalign.analysis.estimates import is_binary, proportion
from personalign.analysis.results import Estimate
from personalign.errors import InputError
from personalign.records import Record

__all__ = ["Agreement", "agreement", "corrected_prevalence", "kappa"]


class Agreement(Record):
    """A judge against a gold standard: shares of the flagged and of the unflagged that it finds."""

    sensitivity: Estimate
    specificity: Estimate
    kappa: Estimate


def agreement(judge: ArrayLike, gold: ArrayLike, *, confidence: float = 0.95) -> Agreement:
    """Sensitivity and specificity (Wilson) and Cohen's kappa of 0/1 verdicts; NaN is missing.

    Raises:
        InputError: if the lengths differ, or a verdict is neither 0, 1 nor NaN.
    """
    said, truth = _verdicts(judge, gold)
    return Agreement(
        sensitivity=proportion(said[truth == 1], confidence=confidence),
        specificity=proportion(1 - said[truth == 0], confidence=confidence),
        kappa=kappa(said, truth, confidence=confidence),
    )


def kappa(a: ArrayLike, b: ArrayLike, *, confidence: float = 0.95) -> Estimate:
    """Cohen's kappa of two raters' 0/1 verdicts, −1 to 1, with its asymptotic interval.

    Source: Cohen (1960), Educ. Psychol. Meas. 20:37–46; error, Fleiss, Cohen & Everitt (1969),
    Psychol. Bull. 72:323–327; through statsmodels.

    Raises:
        InputError: as `agreement`.
    """
    x, y = _verdicts(a, b)
    kept = ~(np.isnan(x) | np.isnan(y))
    n, lacking = int(kept.sum()), int((~kept).sum())
    cells = np.histogram2d(x[kept], y[kept], bins=2, range=((-0.5, 1.5), (-0.5, 1.5)))[0]
    value = low = high = None
    reason: str | None = "no chance agreement to correct for: one verdict only, or none"
    if cells.sum(axis=0).min() + cells.sum(axis=1).min() > 0:
        found = cohens_kappa(cells)
        half = float(stats.norm.ppf((1 + confidence) / 2) * found.std_kappa)
        value, reason = float(found.kappa), None
        low, high = max(-1.0, value - half), min(1.0, value + half)
    return Estimate(
        value=value,
        low=low,
        high=high,
        confidence=confidence,
        n=n,
        missing={"missing": lacking} if lacking else {},
        unit="kappa",
        method="Cohen's kappa, asymptotic",
        reason=reason,
    )


def corrected_prevalence(
    flagged: tuple[int, int],
    sensitivity: tuple[int, int],
    specificity: tuple[int, int],
    *,
    confidence: float = 0.95,
) -> Estimate:
    """Share that is truly flagged, given an imperfect judge; each argument is (count, of how many).

    `flagged` are the judge's flags in the study, `sensitivity` its flags among known positives,
    `specificity` its non-flags among known negatives. The interval carries the uncertainty of all
    three. Where it lies wholly outside 0 to 1 no true share explains the flags: the judge errs
    otherwise here than where it was calibrated, and the share is not identifiable.

    Source: Rogan & Gladen (1978), Am. J. Epidemiol. 107:71–76; interval, Lang & Reiczigel (2014),
    Prev. Vet. Med. 113:13–22.

    Raises:
        InputError: if a count does not fit its total.
    """
    for count, total in (flagged, sensitivity, specificity):
        if not 0 <= count <= total or total < 1:
            raise InputError(f"{count} of {total}", "a count from 0 to its total")
    found = _rogan_gladen(*(k / n for k, n in (flagged, sensitivity, specificity)))
    limits = _limits(flagged, sensitivity, specificity, confidence)
    value = low = high = None
    reason: str | None = "the judge does no better than chance"
    if found is not None and limits is None:
        value, reason = float(np.clip(found, 0, 1)), None
    elif found is not None and limits is not None:
        reason = "not identifiable: so calibrated, the judge would flag more or less of any replies"
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


def _verdicts(
    a: ArrayLike, b: ArrayLike
) -> tuple[np.ndarray[tuple[int], np.dtype[np.float64]], ...]:
    x, y = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if x.shape != y.shape or x.ndim != 1:
        raise InputError(f"{x.shape} verdicts against {y.shape}", "one verdict each a reply")
    if not (is_binary(x) and is_binary(y)):
        raise InputError("a verdict that is neither 0 nor 1", "flagged is 1, unflagged is 0")
    return x, y
