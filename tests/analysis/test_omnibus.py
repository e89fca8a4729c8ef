"""LAPD's chi-square, and the paired tests that belong in its place."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from personalign.analysis.omnibus import chi_square, omnibus_test
from personalign.errors import InputError


def test_lapd_table_comes_out() -> None:
    found = chi_square([157, 219, 168, 257, 205], [700] * 5)
    assert found.statistic == pytest.approx(45.343, abs=5e-4)
    assert (found.df, found.n, found.arms) == (4, 3500, 5)
    assert found.p == pytest.approx(3.3738e-09, rel=1e-4)


def test_chi_square_agrees_with_the_formula() -> None:
    yes, total = np.array([5, 9, 14]), np.array([20, 22, 30])
    expected = total * yes.sum() / total.sum()
    rest = total - yes
    statistic = ((yes - expected) ** 2 / expected).sum()
    statistic += ((rest - (total - expected)) ** 2 / (total - expected)).sum()
    assert chi_square([5, 9, 14], [20, 22, 30]).statistic == pytest.approx(statistic, abs=1e-9)


def test_cochrans_q_is_the_textbook_formula() -> None:
    x = (np.random.default_rng(0).random((50, 4)) < [0.2, 0.3, 0.5, 0.5]).astype(float)
    rows, columns, k = x.sum(axis=1), x.sum(axis=0), 4
    q = (k - 1) * (k * (columns**2).sum() - x.sum() ** 2) / (k * x.sum() - (rows**2).sum())
    found = omnibus_test(x)
    assert found.test == "Cochran's Q"
    assert found.statistic == pytest.approx(q, abs=1e-9)
    assert found.p == pytest.approx(stats.chi2.sf(q, 3), abs=1e-12)


def test_friedman_published_example() -> None:
    """R's ?friedman.test, rounding first base (Hollander & Wolfe 1973): 11.143, p .003805."""
    times = [
        5.40, 5.50, 5.55, 5.85, 5.70, 5.75, 5.20, 5.60, 5.50, 5.55, 5.50, 5.40, 5.90, 5.85, 5.70,
        5.45, 5.55, 5.60, 5.40, 5.40, 5.35, 5.45, 5.50, 5.35, 5.25, 5.15, 5.00, 5.85, 5.80, 5.70,
        5.25, 5.20, 5.10, 5.65, 5.55, 5.45, 5.60, 5.35, 5.45, 5.05, 5.00, 4.95, 5.50, 5.50, 5.40,
        5.45, 5.55, 5.50, 5.55, 5.55, 5.35, 5.45, 5.50, 5.55, 5.50, 5.45, 5.25, 5.65, 5.60, 5.40,
        5.70, 5.65, 5.55, 6.30, 6.30, 6.25,
    ]  # fmt: skip
    found = omnibus_test(np.array(times).reshape(22, 3))
    assert found.test == "Friedman"
    assert found.statistic == pytest.approx(11.1429, abs=5e-5)
    assert found.p == pytest.approx(0.003805, abs=5e-7)


def test_incomplete_samples_are_dropped_and_counted() -> None:
    x = np.random.default_rng(1).normal(size=(30, 3))
    x[:4, 1] = np.nan
    found = omnibus_test(x)
    assert (found.n, found.dropped) == (26, 4)
    assert found.statistic == pytest.approx(omnibus_test(x[4:]).statistic)


@pytest.mark.parametrize(
    ("x", "reason"),
    [
        (np.ones((5, 3)), "one value in all arms"),
        (np.full((5, 3), np.nan), "no sample is complete"),
    ],
)
def test_undefined_is_none_with_a_reason(x: np.ndarray, reason: str) -> None:
    found = omnibus_test(x)
    assert (found.statistic, found.p) == (None, None)
    assert found.reason is not None
    assert reason in found.reason


def test_undefined_chi_square_is_none_with_a_reason() -> None:
    found = chi_square([0, 0], [10, 10])
    assert (found.statistic, found.p) == (None, None)
    assert found.reason


def test_bad_shapes_are_refused() -> None:
    with pytest.raises(InputError):
        omnibus_test(np.ones((5, 2)))
    with pytest.raises(InputError):
        chi_square([11, 2], [10, 10])
