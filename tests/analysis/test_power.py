"""Power against simulation, against a published formula, and against itself."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.power import TTestPower

from personalign.analysis import power
from personalign.errors import InputError


@pytest.mark.parametrize(("n", "difference", "discordance"), [(40, 0.2, 0.4), (25, -0.3, 0.5)])
def test_power_is_the_sum_over_all_tables(n: int, difference: float, discordance: float) -> None:
    gain, loss = (discordance + difference) / 2, (discordance - difference) / 2
    expected = sum(
        stats.multinomial.pmf([b, c, n - b - c], n, [gain, loss, 1 - discordance])
        for b in range(n + 1)
        for c in range(n + 1 - b)
        if mcnemar([[0, b], [c, 0]], exact=True).pvalue <= 0.05
    )
    assert power.mcnemar_power(n, difference, discordance) == pytest.approx(expected, abs=1e-9)


def test_size_of_the_test_is_at_most_alpha() -> None:
    for n in (10, 100, 1000):
        assert power.mcnemar_power(n, 0.0, 0.3) <= 0.05


@pytest.mark.parametrize(("difference", "discordance"), [(0.05, 0.15), (0.1, 0.3), (0.02, 0.1)])
def test_needed_pairs_is_near_the_published_formula(difference: float, discordance: float) -> None:
    """Connor (1987), Biometrics 43:207-211, eq. 3, plus Casagrande's 2/difference for exactness."""
    a, b = stats.norm.ppf(0.975), stats.norm.ppf(0.8)
    connor = (a * discordance**0.5 + b * (discordance - difference**2) ** 0.5) ** 2 / difference**2
    found = power.needed_pairs(difference, discordance)
    assert connor < found < connor + 3 / difference
    assert power.mcnemar_power(found, difference, discordance) >= 0.8


def test_detectable_inverts_power() -> None:
    found = power.detectable_proportion(700, 0.2)
    assert found is not None
    assert power.mcnemar_power(700, found, 0.2) == pytest.approx(0.8, abs=1e-3)


def test_detectable_shrinks_with_more_pairs() -> None:
    found = [power.detectable_proportion(n, 0.2) for n in (100, 400, 1600)]
    assert found == sorted(found, reverse=True)


def test_what_cannot_be_shown_is_none() -> None:
    assert power.detectable_proportion(20, 0.1) is None
    assert power.detectable_proportion(20, 0.0) is None
    assert power.detectable_mean(0.0, 9) is None
    assert power.detectable_mean(1.0, 0) is None


def test_detectable_mean_agrees_with_statsmodels() -> None:
    """Bloom's multiplier against the noncentral t, which it approximates."""
    n = 200
    reference = TTestPower().solve_power(nobs=n, alpha=0.05, power=0.8)
    assert power.detectable_mean(1 / np.sqrt(n), n - 1) == pytest.approx(reference, rel=2e-3)


@pytest.mark.parametrize(("difference", "discordance"), [(0.3, 0.2), (0.0, 0.0), (0.1, 1.5)])
def test_impossible_sizes_are_refused(difference: float, discordance: float) -> None:
    with pytest.raises(InputError, match="discordance"):
        power.mcnemar_power(100, difference, discordance)


def test_no_difference_needs_no_number() -> None:
    with pytest.raises(InputError, match="cannot be shown"):
        power.needed_pairs(0.0, 0.2)
