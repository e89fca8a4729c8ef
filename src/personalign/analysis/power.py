"""How many prompts it takes to see a difference, and which difference so many prompts can show."""

from __future__ import annotations

import numpy as np
from scipy import optimize, stats

from personalign.errors import InputError

__all__ = ["detectable_mean", "detectable_proportion", "mcnemar_power", "needed_pairs"]

ALPHA = 0.05
POWER = 0.8

_MOST = 10_000_000


def mcnemar_power(n: int, difference: float, discordance: float, *, alpha: float = ALPHA) -> float:
    """Power of the exact McNemar test on n pairs, 0 to 1.

    `discordance` is the share of pairs that differ, `difference` the difference of the two
    proportions (|difference| ≤ discordance ≤ 1). Sums over the number of pairs that differ
    (binomial) the probability that the conditional test rejects.

    Source: unconditional power of the exact conditional test, Duffy (1984), Biometrics
    40:1005–1015.

    Raises:
        InputError: if the sizes are impossible.
    """
    _possible(difference, discordance)
    if n < 1:
        raise InputError(f"{n} pairs", "power needs at least one")
    low, high = stats.binom.ppf([1e-12, 1 - 1e-12], n, discordance)
    m = np.arange(int(low), int(high) + 1)
    edge = stats.binom.ppf(alpha / 2, m, 0.5)
    edge = np.where(stats.binom.cdf(edge, m, 0.5) <= alpha / 2, edge, edge - 1)
    gain = (1 + difference / discordance) / 2
    rejects = stats.binom.cdf(edge, m, gain) + stats.binom.sf(m - edge - 1, m, gain)
    rejects = np.where(edge < 0, 0.0, rejects)
    return float(stats.binom.pmf(m, n, discordance) @ rejects)


def needed_pairs(
    difference: float, discordance: float, *, power: float = POWER, alpha: float = ALPHA
) -> int:
    """Pairs with which the exact McNemar test shows `difference` with `power`.

    Found by bisection on `mcnemar_power`. The power of an exact test is saw-toothed, so that a
    slightly smaller number may happen to do as well.

    Raises:
        InputError: if the sizes are impossible, the difference is 0, or ten million do not suffice.
    """
    _possible(difference, discordance)
    low, high = 0, 16
    while mcnemar_power(high, difference, discordance, alpha=alpha) < power:
        low, high = high, high * 2
        if difference == 0 or high > _MOST:
            what = f"a difference of {difference:g} at discordance {discordance:g}"
            raise InputError(f"{what} cannot be shown", "plan for a larger difference")
    while high - low > 1:
        middle = (low + high) // 2
        enough = mcnemar_power(middle, difference, discordance, alpha=alpha) >= power
        low, high = (low, middle) if enough else (middle, high)
    return high


def detectable_proportion(
    n: int, discordance: float, *, power: float = POWER, alpha: float = ALPHA
) -> float | None:
    """Smallest difference of proportions that the exact McNemar test on n pairs shows with `power`.

    `None` where not even all pairs that differ going one way would show.
    """
    if n < 1 or not discordance > 0:
        return None
    if mcnemar_power(n, discordance, discordance, alpha=alpha) < power:
        return None

    def excess(difference: float) -> float:
        return mcnemar_power(n, difference, discordance, alpha=alpha) - power

    return float(optimize.brentq(excess, 0.0, discordance, xtol=1e-5 * discordance))


def detectable_mean(
    error: float,
    df: int,
    *,
    power: float = POWER,
    alpha: float = ALPHA,
    most: float = np.inf,
) -> float | None:
    """Smallest difference of means that a t test with this standard error shows with `power`.

    `None` where it is beyond `most`, the largest that is possible (1 for proportions).
    (t₁₋α/₂ + t_power) · error. Source: Bloom (1995), Evaluation Review 19:547–556.
    """
    if df < 1 or not error > 0:
        return None
    found = float((stats.t.ppf(1 - alpha / 2, df) + stats.t.ppf(power, df)) * error)
    return found if found <= most else None


def _possible(difference: float, discordance: float) -> None:
    if not (0 < discordance <= 1 and abs(difference) <= discordance):
        raise InputError(
            f"a difference of {difference:g} at a discordance of {discordance:g}",
            "0 < discordance ≤ 1, and the difference at most as large",
        )
