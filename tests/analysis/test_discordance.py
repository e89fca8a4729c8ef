"""McNemar, Tango and the effect sizes of paired 0/1 answers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats
from statsmodels.stats.contingency_tables import mcnemar

from personalign.analysis import discordance as d
from personalign.errors import InputError


@pytest.mark.parametrize(("lost", "gained"), [(0, 0), (0, 5), (12, 3), (59, 121), (700, 500)])
def test_mcnemar_agrees_with_statsmodels(lost: int, gained: int) -> None:
    reference = mcnemar([[50, lost], [gained, 40]], exact=True).pvalue
    assert d.mcnemar(lost, gained) == pytest.approx(min(reference, 1.0), rel=1e-9)


def test_mcnemar_published_example() -> None:
    """Agresti (2013) §11.1.1, approval of a prime minister: odds ratio 86/150 and z² = 17.36."""
    assert d.odds_ratio(150, 86) == pytest.approx(86 / 150)
    assert pytest.approx(17.36, abs=5e-3) == (86 - 150) ** 2 / (86 + 150)
    assert d.tango_z(150, 86, 1600, 0.0) ** 2 == pytest.approx(17.36, abs=5e-3)


def test_effect_sizes() -> None:
    assert d.odds_ratio(10, 30) == 3.0
    assert d.odds_ratio(0, 3) is None
    assert d.cohens_g(10, 30) == 0.25
    assert d.cohens_g(30, 10) == -0.25
    assert d.cohens_g(0, 0) is None


def _constrained_z(lost: int, gained: int, n: int, delta: float) -> float:
    """Tango's statistic from a numerical search for the most likely table under the hypothesis."""

    def minus_log_likelihood(q: float) -> float:
        cells = ((lost, q), (gained, q + delta), (n - lost - gained, 1 - 2 * q - delta))
        return -sum(k * np.log(p) for k, p in cells if k)

    inside = (max(0.0, -delta) + 1e-12, (1 - delta) / 2 - 1e-12)
    q = optimize.minimize_scalar(
        minus_log_likelihood, inside, method="bounded", bounds=inside, options={"xatol": 1e-13}
    ).x
    return (gained - lost - n * delta) / np.sqrt(n * (2 * q + delta - delta**2))


@pytest.mark.parametrize(
    ("lost", "gained", "n", "delta"),
    [(40, 20, 160, 0.05), (3, 13, 400, -0.02), (2, 2, 30, 0.1), (59, 121, 700, 0.03)],
)
def test_score_agrees_with_constrained_likelihood(lost, gained, n, delta) -> None:
    assert d.tango_z(lost, gained, n, delta) == pytest.approx(
        _constrained_z(lost, gained, n, delta), abs=1e-6
    )


def test_tango_agrees_with_r() -> None:
    """R, PropCIs 0.3-0: scoreci.mp(25, 28, 618, conf.level = 0.9) gives -0.0148 to 0.0247."""
    assert d.tango(25, 28, 618, confidence=0.9) == pytest.approx((-0.0148, 0.0247), abs=5e-5)


@pytest.mark.parametrize(("lost", "gained", "n"), [(40, 20, 160), (0, 0, 100), (0, 5, 25)])
def test_limits_solve_the_score_equation(lost: int, gained: int, n: int) -> None:
    low, high = d.tango(lost, gained, n)
    z = stats.norm.ppf(0.975)
    assert d.tango_z(lost, gained, n, low) == pytest.approx(z, abs=1e-6)
    assert d.tango_z(lost, gained, n, high) == pytest.approx(-z, abs=1e-6)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40))
def test_tango_brackets_mirrors_and_stays_in_range(lost: int, gained: int, same: int) -> None:
    n = max(lost + gained + same, 1)
    low, high = d.tango(lost, gained, n)
    assert -1 <= low <= (gained - lost) / n <= high <= 1
    assert d.tango(gained, lost, n) == pytest.approx((-high, -low), abs=1e-8)


def test_impossible_counts_are_refused() -> None:
    for counts in ((-1, 0, 5), (3, 3, 5), (0, 0, 0)):
        with pytest.raises(InputError):
            d.tango(*counts)
