"""Pairs of 0/1 answers: what counts is how many change, and which way.

Throughout, `lost` is the number of pairs that are 1 in a and 0 in b, `gained` the number that are 0
in a and 1 in b, `n` all pairs. The difference is (gained − lost)/n.
"""

from __future__ import annotations

import numpy as np
from scipy import optimize, stats

from personalign.errors import InputError

__all__ = ["cohens_g", "mcnemar", "odds_ratio", "score_p", "tango", "tango_z"]


def mcnemar(lost: int, gained: int) -> float:
    """Two-sided p of McNemar's exact test; 1.0 where no pair changed, as the binomial has it.

    Source: McNemar (1947), Psychometrika 12:153–157; exact: binomial(lost + gained, ½).
    """
    changed = lost + gained
    return float(stats.binomtest(gained, changed).pvalue) if changed else 1.0


def score_p(lost: int, gained: int) -> float:
    """Two-sided p of McNemar's score test, which `tango` inverts: it is below 1 − confidence just
    where that interval excludes 0. 1.0 where no pair changed.

    Source: McNemar (1947), Psychometrika 12:153–157; that it holds its level with few changes too,
    Fagerland, Lydersen & Laake (2013), BMC Med. Res. Methodol. 13:91.
    """
    changed = lost + gained
    z = abs(gained - lost) / np.sqrt(changed) if changed else 0.0
    return float(2 * stats.norm.sf(z))


def odds_ratio(lost: int, gained: int) -> float | None:
    """Conditional odds ratio gained/lost; `None` where nothing was lost.

    Source: Agresti (2013), Categorical Data Analysis, 3rd ed., ch. 11.
    """
    return gained / lost if lost else None


def cohens_g(lost: int, gained: int) -> float | None:
    """Share of changes that are gains, minus ½: −0.5 to 0.5; `None` where nothing changed.

    .05, .15, .25 are small, medium, large. Source: Cohen (1988), Statistical Power Analysis, ch. 5.
    """
    changed = lost + gained
    return gained / changed - 0.5 if changed else None


def tango_z(lost: int, gained: int, n: int, delta: float) -> float:
    """Score statistic of H₀: difference = `delta` (−1 < delta < 1); falls as delta rises.

    Source: Tango (1998), Statistics in Medicine 17:891–908.
    """
    slope = -gained - lost + (2 * n - gained + lost) * delta
    constant = -lost * delta * (1 - delta)
    q = (np.sqrt(max(slope**2 - 8 * n * constant, 0.0)) - slope) / (4 * n)
    variance = n * (2 * q + delta * (1 - delta))
    distance = gained - lost - n * delta
    if variance <= 0:
        return float(np.copysign(np.inf, distance)) if distance else 0.0
    return float(distance / np.sqrt(variance))


def tango(lost: int, gained: int, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Score interval of the difference of two paired proportions, within [−1, 1].

    What Wilson's is to one proportion: it holds where few pairs change, even none. Where every pair
    changes the same way, the limit on that side is the boundary.

    Source: Tango (1998), Statistics in Medicine 17:891–908.

    Raises:
        InputError: if the counts are negative, or more than n, or n is 0.
    """
    if n < 1 or min(lost, gained) < 0 or lost + gained > n:
        raise InputError(f"{lost} lost and {gained} gained of {n} pairs", "counts must fit in n")
    z = float(stats.norm.ppf((1 + confidence) / 2))
    centre, edge = (gained - lost) / n, 1 - 1e-12
    low = -1.0 if lost == n else _crossing(lost, gained, n, z, -edge, centre)
    high = 1.0 if gained == n else _crossing(lost, gained, n, -z, centre, edge)
    return low, high


def _crossing(lost: int, gained: int, n: int, z: float, left: float, right: float) -> float:
    return float(
        optimize.brentq(lambda d: tango_z(lost, gained, n, d) - z, left, right, xtol=1e-12)
    )
