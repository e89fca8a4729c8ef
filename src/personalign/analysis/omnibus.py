"""One test over many arms, before any pair is looked at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from statsmodels.stats.contingency_tables import cochrans_q

from personalign.analysis.estimates import is_binary
from personalign.analysis.results import Omnibus
from personalign.errors import InputError

__all__ = ["chi_square", "omnibus_test"]

Floats = NDArray[np.float64]


def omnibus_test(values: ArrayLike, *, binary: bool | None = None) -> Omnibus:
    """Cochran's Q (0/1) or Friedman's test (other) over the columns of an (n, arms) matrix.

    Uses the samples that every arm has; `dropped` counts the others.

    Source: Cochran (1950), Biometrika 37:256–266, through statsmodels; Friedman (1937), JASA
    32:675–701, tie-corrected, through scipy.

    Raises:
        InputError: for fewer than three columns; two are a `contrast`.
    """
    x = np.asarray(values, dtype=float)
    if x.ndim != 2 or x.shape[1] < 3:
        raise InputError(f"an omnibus test on shape {x.shape}", "give samples × three or more arms")
    zero_one = is_binary(x) if binary is None else binary
    full = x[~np.isnan(x).any(axis=1)]
    n, arms = len(full), x.shape[1]
    test, statistic, p = _test(full, zero_one)
    reason = None
    if p is None:
        reason = "every sample has one value in all arms" if n else "no sample is complete"
    return Omnibus(
        test=test,
        statistic=statistic,
        df=arms - 1,
        p=p,
        n=n,
        arms=arms,
        dropped=len(x) - n,
        reason=reason,
    )


def chi_square(ones: Sequence[int], totals: Sequence[int]) -> Omnibus:
    """Pearson's chi-square of counts over arms, as if every arm had other prompts.

    It is here to reproduce tables such as LAPD's, whose arms answer the same prompts: there
    `omnibus_test` is the right test.

    Raises:
        InputError: if the counts do not fit the totals.
    """
    yes, total = np.asarray(ones), np.asarray(totals)
    if yes.shape != total.shape or len(yes) < 2 or (yes < 0).any() or (yes > total).any():
        raise InputError(f"counts {list(ones)} of {list(totals)}", "one count and one total an arm")
    statistic = p = None
    reason: str | None = "all answers are the same, or an arm has none"
    if 0 < yes.sum() < total.sum() and (total > 0).all():
        found = stats.chi2_contingency(np.array([yes, total - yes]), correction=False)
        statistic, p, reason = float(found.statistic), float(found.pvalue), None
    return Omnibus(
        test="chi-square",
        statistic=statistic,
        df=len(yes) - 1,
        p=p,
        n=int(total.sum()),
        arms=len(yes),
        reason=reason,
    )


def _test(full: Floats, zero_one: bool) -> tuple[str, float | None, float | None]:
    """Name, statistic and p of the test on complete samples; undefined where no value varies."""
    name = "Cochran's Q" if zero_one else "Friedman"
    if (full == full[:, :1]).all():
        return name, None, None
    found = cochrans_q(full) if zero_one else stats.friedmanchisquare(*full.T)
    return name, float(found.statistic), float(found.pvalue)
