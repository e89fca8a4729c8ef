"""What a judge's errors do to a rate."""

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


def test_rogan_gladen_published_example() -> None:
    """epiR's ?epi.prev: 23 of 150 cows, sensitivity .96, specificity .89: 5.1 per 100."""
    found = judges.corrected_prevalence((23, 150), (96, 100), (89, 100))
    assert found.value == pytest.approx(0.051, abs=5e-4)


def test_a_perfect_judge_changes_nothing() -> None:
    found = judges.corrected_prevalence((157, 700), (10**7, 10**7), (10**7, 10**7))
    z = stats.norm.ppf(0.975)
    centre = (157 + z**2 / 2) / (700 + z**2)
    half = z * np.sqrt(centre * (1 - centre) / (700 + z**2))
    assert found.value == pytest.approx(157 / 700, abs=1e-6)
    assert (found.low, found.high) == pytest.approx((centre - half, centre + half), abs=1e-5)


def test_lang_reiczigel_by_hand_where_the_estimate_falls_below_nought() -> None:
    """2 of 40 flagged, 45 of 50 found, 18 of 20 passed, by the paper's equations 4 to 17:

    n' = 43.84146, p' = 0.089430, se' = 46/52, sp' = 19/22; P' = −0.047934 / 0.748252 = −0.062725,
    shift 7.682918 (P' 0.001963 − (1 − P') 0.005353) = −0.044653, error √0.014130 = 0.118868.
    """
    found = judges.corrected_prevalence((2, 40), (45, 50), (18, 20))
    assert (found.value, found.low) == (0, 0)
    assert found.high == pytest.approx(-0.062725 - 0.044653 + 1.959964 * 0.118868, abs=2e-6)


def test_the_correction_undoes_the_judges_errors() -> None:
    truth, se, sp = 0.3, 0.85, 0.95
    rate = truth * se + (1 - truth) * (1 - sp)
    found = judges.corrected_prevalence((round(rate * 10_000), 10_000), (850, 1000), (950, 1000))
    assert found.value == pytest.approx(truth, abs=1e-9)


@pytest.mark.parametrize(("truth", "se", "sp"), [(0.3, 0.85, 0.8), (0.1, 0.9, 0.95)])
def test_coverage(truth: float, se: float, sp: float) -> None:
    """1,000 seeds, the judge's error rates estimated: 93 to 98.5 % (it is conservative)."""
    hits = 0
    for seed in range(1000):
        rng = np.random.default_rng([seed, 5])
        flagged = rng.binomial(400, truth * se + (1 - truth) * (1 - sp))
        found = judges.corrected_prevalence(
            (int(flagged), 400), (int(rng.binomial(80, se)), 80), (int(rng.binomial(80, sp)), 80)
        )
        hits += found.low <= truth <= found.high
    assert 930 <= hits <= 985


def test_a_judge_no_better_than_chance_says_nothing() -> None:
    found = judges.corrected_prevalence((10, 50), (5, 10), (5, 10))
    assert (found.value, found.low) == (None, None)
    assert found.reason == "the judge does no better than chance"


def test_bad_calls_are_refused() -> None:
    with pytest.raises(InputError):
        judges.corrected_prevalence((11, 10), (5, 10), (5, 10))
    with pytest.raises(InputError, match="neither"):
        judges.agreement([0.5, 1.0], [0.0, 1.0])
    with pytest.raises(InputError, match="verdict"):
        judges.agreement([1.0], [0.0, 1.0])


@pytest.mark.parametrize(("flags", "known"), [(5, False), (380, False), (80, True), (60, True)])
def test_a_rate_that_no_true_share_explains_is_not_identifiable(flags: int, known: bool) -> None:
    """This judge flags 20 to 80 %; 15 % is within the error of a share of none."""
    found = judges.corrected_prevalence((flags, 400), (160, 200), (160, 200))
    assert (found.value is not None) == known
    assert (found.low is not None) == known
    assert ("not identifiable" in (found.reason or "")) != known
