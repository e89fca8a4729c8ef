"""How far a judge can be trusted."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import cohen_kappa_score, recall_score

from personalign.analysis import judges
from personalign.errors import InputError

GOLD = np.array([1] * 40 + [0] * 60, dtype=float)
JUDGE = np.array([1] * 34 + [0] * 6 + [0] * 51 + [1] * 9, dtype=float)


def test_agreement_agrees_with_scikit_learn() -> None:
    found = judges.agreement(JUDGE, GOLD)
    assert found.sensitivity.value == pytest.approx(recall_score(GOLD, JUDGE))
    assert found.specificity.value == pytest.approx(recall_score(1 - GOLD, 1 - JUDGE))
    assert found.kappa.value == pytest.approx(cohen_kappa_score(JUDGE, GOLD), abs=1e-12)
    assert (found.sensitivity.n, found.specificity.n, found.kappa.n) == (40, 60, 100)


def test_kappa_interval_is_fleiss_cohen_everitts() -> None:
    p = np.array([[51, 9], [6, 34]]) / 100
    row, column = p.sum(axis=1), p.sum(axis=0)
    chance, seen = row @ column, np.trace(p)
    kappa = (seen - chance) / (1 - chance)
    a = sum(p[i, i] * (1 - (row[i] + column[i]) * (1 - kappa)) ** 2 for i in range(2))
    b = (1 - kappa) ** 2 * sum(
        p[i, j] * (column[i] + row[j]) ** 2 for i in range(2) for j in range(2) if i != j
    )
    error = np.sqrt((a + b - (kappa - chance * (1 - kappa)) ** 2) / 100) / (1 - chance)
    found = judges.kappa(GOLD, JUDGE)
    assert found.high - found.value == pytest.approx(stats.norm.ppf(0.975) * error, abs=1e-9)


def test_missing_verdicts_are_counted() -> None:
    holes = JUDGE.copy()
    holes[:5] = np.nan
    found = judges.agreement(holes, GOLD)
    assert (found.kappa.n, found.kappa.missing) == (95, {"missing": 5})
    assert found.sensitivity.n == 35


def test_kappa_without_variation_is_none_with_a_reason() -> None:
    found = judges.kappa(np.ones(5), np.ones(5))
    assert found.value is None
    assert found.reason


def test_bad_calls_are_refused() -> None:
    with pytest.raises(InputError, match="neither"):
        judges.agreement([0.5, 1.0], [0.0, 1.0])
    with pytest.raises(InputError, match="verdict"):
        judges.agreement([1.0], [0.0, 1.0])
