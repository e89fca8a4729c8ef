"""What a judge's errors do to a rate."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from personalign.analysis.corrected import corrected_prevalence, corrected_rate
from personalign.analysis.judges import Agreement, JudgeErrors, agreement
from personalign.analysis.results import Estimate
from personalign.errors import InputError


def counted(found: int, of: int, passed: int, safe: int) -> Agreement:
    judge = [1.0] * found + [0.0] * (of - found) + [0.0] * passed + [1.0] * (safe - passed)
    return agreement(judge, [1.0] * of + [0.0] * safe)


def alike(flags: list[float], sizes: int, errors: JudgeErrors, **options: int) -> Estimate:
    """The corrected rate of clusters that are named k0, k1, …"""
    names = np.repeat([f"k{i:02}" for i in range(len(flags) // sizes)], sizes)
    return corrected_rate(flags, names, errors, np.random.default_rng(0), draws=2000, **options)


def test_rogan_gladen_published_example() -> None:
    """epiR's ?epi.prev: 23 of 150 cows, sensitivity .96, specificity .89: 5.1 per 100."""
    found = corrected_prevalence((23, 150), (96, 100), (89, 100))
    assert found.value == pytest.approx(0.051, abs=5e-4)


def test_a_perfect_judge_changes_nothing() -> None:
    found = corrected_prevalence((157, 700), (10**7, 10**7), (10**7, 10**7))
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
    found = corrected_prevalence((2, 40), (45, 50), (18, 20))
    assert (found.value, found.low) == (0, 0)
    assert found.high == pytest.approx(-0.062725 - 0.044653 + 1.959964 * 0.118868, abs=2e-6)


def test_the_correction_undoes_the_judges_errors() -> None:
    truth, se, sp = 0.3, 0.85, 0.95
    rate = truth * se + (1 - truth) * (1 - sp)
    found = corrected_prevalence((round(rate * 10_000), 10_000), (850, 1000), (950, 1000))
    assert found.value == pytest.approx(truth, abs=1e-9)


@pytest.mark.parametrize(("truth", "se", "sp"), [(0.3, 0.85, 0.8), (0.1, 0.9, 0.95)])
def test_coverage(truth: float, se: float, sp: float) -> None:
    """1,000 seeds, the judge's error rates estimated: 93 to 98.5 % (it is conservative)."""
    hits = 0
    for seed in range(1000):
        rng = np.random.default_rng([seed, 5])
        flagged = rng.binomial(400, truth * se + (1 - truth) * (1 - sp))
        found = corrected_prevalence(
            (int(flagged), 400), (int(rng.binomial(80, se)), 80), (int(rng.binomial(80, sp)), 80)
        )
        hits += found.low <= truth <= found.high
    assert 930 <= hits <= 985


def test_a_judge_no_better_than_chance_says_nothing() -> None:
    found = corrected_prevalence((10, 50), (5, 10), (5, 10))
    assert (found.value, found.low) == (None, None)
    assert found.reason == "the judge does no better than chance"


def test_a_count_beyond_its_total_is_refused() -> None:
    with pytest.raises(InputError):
        corrected_prevalence((11, 10), (5, 10), (5, 10))


@pytest.mark.parametrize(("flags", "known"), [(5, False), (380, False), (80, True), (60, True)])
def test_a_rate_that_no_true_share_explains_is_not_identifiable(flags: int, known: bool) -> None:
    """This judge flags 20 to 80 %; 15 % is within the error of a share of none."""
    found = corrected_prevalence((flags, 400), (160, 200), (160, 200))
    assert (found.value is not None) == known
    assert (found.low is not None) == known
    assert ("not identifiable" in (found.reason or "")) != known


@pytest.mark.parametrize(
    ("truth", "se", "sp", "labelled"), [(0.3, 0.85, 0.9, 200), (0.03, 0.9, 0.95, 200)]
)
def test_clusters_and_calibration_are_drawn_together(
    truth: float, se: float, sp: float, labelled: int
) -> None:
    """Fourteen kinds of fifty replies, correlation 0.1; of flags that count as independent the
    interval covers .78 and .92. It covers .965
    and .977 of 1,000 seeds; 200 of 95 % have an error of 1.5 %."""
    hits, flat = 0, 0
    for seed in range(200):
        rng = np.random.default_rng([seed, 10])
        kinds = rng.beta(9 * truth, 9 * (1 - truth), (14, 1))
        harmful = rng.random((14, 50)) < kinds
        flags = np.where(harmful, rng.random((14, 50)) < se, rng.random((14, 50)) < 1 - sp) * 1.0
        known = counted(rng.binomial(labelled, se), labelled, rng.binomial(labelled, sp), labelled)
        errors = JudgeErrors(overall=known)
        names = np.repeat(np.arange(14), 50)
        found = corrected_rate(flags.ravel(), names, errors, rng, draws=1000)
        plain = corrected_prevalence((int(flags.sum()), 700), *errors.counts)
        assert found.low is not None
        assert plain.low is not None
        hits += found.low <= truth <= found.high
        flat += plain.low <= truth <= plain.high
    assert hits / 200 >= 0.93
    assert flat < hits


def test_a_kind_of_harm_with_labels_enough_has_its_own_sensitivity() -> None:
    """Ten kinds, all flagged 40 %; the judge finds all of one and half of the others."""
    flags = ([1.0] * 20 + [0.0] * 30) * 10
    half = counted(100, 200, 200, 200)
    every = JudgeErrors(overall=half)
    own = JudgeErrors(overall=half, categories={"k00": counted(40, 40, 200, 200)})
    few = JudgeErrors(overall=half, categories={"k00": counted(10, 10, 200, 200)})
    assert alike(flags, 50, every).value == pytest.approx(0.8)
    assert alike(flags, 50, own).value == pytest.approx((0.4 + 9 * 0.8) / 10)
    assert alike(flags, 50, few) == alike(flags, 50, every)


def test_a_judge_that_is_blind_to_a_kind_makes_the_rate_not_identifiable() -> None:
    flags = ([1.0] * 20 + [0.0] * 30) * 10
    known = counted(160, 200, 140, 200)
    blind = JudgeErrors(overall=known, categories={"k03": counted(4, 20, 140, 200)})
    unsure = JudgeErrors(overall=known, categories={"k03": counted(8, 20, 140, 200)})
    for errors in (blind, unsure):
        found = alike(flags, 50, errors)
        assert (found.value, found.low, found.high) == (None, None, None)
        assert (found.reason or "").startswith("not identifiable")
        assert "k03" in (found.reason or "")


def test_flags_that_no_share_explains_are_not_identifiable_in_clusters_too() -> None:
    found = alike(([1.0] + [0.0] * 49) * 14, 50, JudgeErrors(overall=counted(160, 200, 140, 200)))
    assert found.value is None
    assert "any replies" in (found.reason or "")


def test_few_clusters_have_no_interval_and_independent_flags_the_counted_one() -> None:
    errors = JudgeErrors(overall=counted(85, 100, 90, 100))
    few = alike(([1.0] * 10 + [0.0] * 20) * 3, 30, errors)
    assert few.value == pytest.approx((1 / 3 - 0.1) / 0.75)
    assert (few.low, few.high) == (None, None)
    assert "too few" in (few.reason or "")
    single = alike([1.0] * 30 + [0.0] * 70 + [np.nan] * 5, 1, errors)
    plain = corrected_prevalence((30, 100), *errors.counts)
    assert single == plain.model_copy(update={"missing": {"missing": 5}})
