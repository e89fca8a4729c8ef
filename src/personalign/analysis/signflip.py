"""The sign-flip test of a mean of paired differences, and the interval that it leaves.

If differences are as likely to be of either sign, flipping the signs of whole clusters gives means
as likely as the one that was seen. A value is rejected where the mean is far out among the flips
about it; what is not rejected is the interval. Both come of the same draws: flipping the signs of
a set of clusters about d moves the mean below its own just where the mean over that set is above
d, so that the interval's limits are quantiles of means over random sets of clusters.

Source: Fisher (1935), The Design of Experiments, §21; inverted, Hartigan (1969), JASA 64:1303–1317.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from personalign.analysis.estimates import chunks, mean

__all__ = ["interval", "p_value", "set_means"]

Floats = NDArray[np.float64]


def set_means(gaps: Floats, clusters: ArrayLike, rng: np.random.Generator, draws: int) -> Floats:
    """Means of (n, c) differences over random sets of clusters, each in with chance ½: (d, c).

    NaN where a set holds no difference.
    """
    codes = np.unique(np.asarray(clusters), return_inverse=True)[1]
    k = int(codes.max()) + 1
    parts = [
        mean(gaps, rng.integers(0, 2, (rows, k))[:, codes].astype(float))
        for rows in chunks(draws, len(codes))
    ]
    return np.concatenate(parts)


def interval(means: Floats, confidence: float) -> tuple[float, float]:
    """The values that `p_value` does not reject at 1 − confidence, of (d,) `set_means`."""
    ordered = np.sort(means[~np.isnan(means)])
    edge = max(0, int((1 - confidence) / 2 * (len(ordered) + 1)) - 1)
    return float(ordered[edge]), float(ordered[-1 - edge])


def p_value(means: Floats) -> float:
    """Two-sided p of a mean of zero, of (d,) `set_means`; the seen one counts among the flips."""
    known = means[~np.isnan(means)]
    beyond = min(int((known <= 0).sum()), int((known >= 0).sum()))
    return min(1.0, 2 * (beyond + 1) / (len(known) + 1))
