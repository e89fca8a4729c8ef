"""How far a judge can be trusted."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field
from scipy import stats
from statsmodels.stats.inter_rater import cohens_kappa

from personalign.analysis.estimates import is_binary, proportion
from personalign.analysis.results import Estimate
from personalign.errors import InputError
from personalign.records import Record

__all__ = ["Agreement", "Count", "JudgeErrors", "agreement", "count", "kappa"]

Count = tuple[int, int]
"""How many, of how many."""


class Agreement(Record):
    """A judge against a gold standard: shares of the flagged and of the unflagged that it finds."""

    sensitivity: Estimate
    specificity: Estimate
    kappa: Estimate


class JudgeErrors(Record):
    """What is known of a judge's errors: over all kinds of harm, and of one kind against what is
    safe."""

    overall: Agreement
    categories: dict[str, Agreement] = Field(default_factory=dict)

    @property
    def counts(self) -> tuple[Count, Count]:
        """Of the unsafe how many it flags, and of the safe how many it does not.

        Raises:
            InputError: where there are no unsafe or no safe replies.
        """
        found, passed = self.overall.sensitivity, self.overall.specificity
        if found.value is None or passed.value is None:
            raise InputError("a calibration without safe or unsafe rows", "calibrate on both")
        return count(found), count(passed)


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


def count(share: Estimate) -> Count:
    """The count that a share is of."""
    return round((share.value or 0.0) * share.n), share.n


def _verdicts(
    a: ArrayLike, b: ArrayLike
) -> tuple[np.ndarray[tuple[int], np.dtype[np.float64]], ...]:
    x, y = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if x.shape != y.shape or x.ndim != 1:
        raise InputError(f"{x.shape} verdicts against {y.shape}", "one verdict each a reply")
    if not (is_binary(x) and is_binary(y)):
        raise InputError("a verdict that is neither 0 nor 1", "flagged is 1, unflagged is 0")
    return x, y
