"""Paired contrasts against scipy and statsmodels, their coverage, and the family error of Holm."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_paired

from personalign.analysis import contrasts as c
from personalign.analysis.discordance import tango
from personalign.analysis.estimates import mean_columns
from personalign.errors import InputError

RNG = np.random.default_rng
ALONE = np.arange(80)


def scores(seed: int = 0, n: int = 80, effect: float = 0.4) -> tuple[np.ndarray, np.ndarray]:
    rng = RNG(seed)
    common = rng.normal(size=n)
    return common + rng.normal(size=n), common + rng.normal(size=n) + effect


def answers(seed: int = 0, n: int = 80, effect: float = 0.4) -> tuple[np.ndarray, np.ndarray]:
    a, b = scores(seed, n, effect)
    return (a > 0.5).astype(float), (b > 0.5).astype(float)


def test_zero_one_pairs() -> None:
    a, b = answers()
    lost, gained = int(((a == 1) & (b == 0)).sum()), int(((a == 0) & (b == 1)).sum())
    found = c.contrast(a, b, ALONE, RNG(0))
    assert found.test == "McNemar score"
    assert found.p == pytest.approx(stats.chi2.sf((gained - lost) ** 2 / (gained + lost), 1))
    exact = stats.binomtest(gained, lost + gained).pvalue
    assert found.p_unclustered == pytest.approx(exact, abs=1e-12)
    assert found.difference == pytest.approx(b.mean() - a.mean())
    assert (found.low, found.high) == tango(lost, gained, 80)
    assert (found.n, found.discordant, found.unit) == (80, lost + gained, "proportion")
    assert (found.effect_name, found.effect) == ("odds_ratio", gained / lost)
    assert found.effects["cohens_g"] == pytest.approx(gained / (lost + gained) - 0.5)
    assert found.detectable is not None


def test_other_pairs() -> None:
    a, b = scores()
    found = c.contrast(a, b, ALONE, RNG(0), draws=4000)
    t = stats.ttest_rel(b, a)
    assert found.test == "sign-flip"
    theirs = stats.permutation_test(
        (b, a), lambda x, y: np.mean(x - y), permutation_type="samples", n_resamples=4000,
        random_state=1,
    )  # fmt: skip
    assert found.p == pytest.approx(theirs.pvalue, abs=0.01)
    assert found.effect == pytest.approx(t.statistic / np.sqrt(80), abs=1e-9)
    interval = t.confidence_interval()
    width = interval.high - interval.low
    assert found.low == pytest.approx(interval.low, abs=0.06 * width)
    assert found.high == pytest.approx(interval.high, abs=0.06 * width)


@pytest.mark.parametrize("make", [scores, answers])
def test_clusters_go_into_interval_and_p(make) -> None:
    a, b = make()
    clusters = ALONE // 8
    fit = sm.OLS(b - a, np.ones(80)).fit(
        cov_type="cluster", cov_kwds={"groups": clusters}, use_t=True
    )
    found = c.contrast(a, b, clusters, RNG(0))
    assert found.test == "sign-flip"
    assert found.p == pytest.approx(fit.pvalues[0], abs=0.02)
    assert found.p_unclustered == c.contrast(a, b, ALONE, RNG(0)).p_unclustered
    assert found.method == "sign-flip, inverted (10000 draws, 10 clusters)"
    few = c.contrast(a, b, ALONE % 5, RNG(0))
    assert few.test == "cluster-robust t, df 4"


@pytest.mark.parametrize("make", [scores, answers])
@pytest.mark.parametrize("groups", [ALONE, ALONE // 8, ALONE // 20])
def test_interval_and_p_are_of_one_test(make, groups: np.ndarray) -> None:
    """The interval excludes zero just where p < .05: Wilcoxon beside a mean did not agree."""
    shown = set()
    for seed in range(60):
        a, b = make(seed, effect=0.3)
        if make is scores:
            b = b + RNG(seed).standard_gamma(0.5, len(b)) - 0.5  # skewed
        found = c.contrast(a, b, groups, RNG(seed), draws=999)
        assert found.low is not None
        assert found.high is not None
        assert found.p is not None
        excludes = not found.low <= 0 <= found.high
        assert excludes == (found.p < 0.05) or found.p == pytest.approx(0.05, abs=1e-3)
        shown.add(excludes)
    assert shown == {True, False}


def test_sign_flips_invert_to_the_t_interval_of_normal_differences() -> None:
    """Its coverage in general is simulated below; here against scipy on one sample."""
    gap = RNG(5).normal(0.3, size=60)
    found = c.contrast(np.zeros(60), gap, ALONE[:60], RNG(0))
    t = stats.ttest_1samp(gap, 0).confidence_interval()
    assert found.low == pytest.approx(t.low, abs=0.02)
    assert found.high == pytest.approx(t.high, abs=0.02)


def test_swapping_the_arms_mirrors_the_contrast() -> None:
    a, b = answers()
    one, other = (c.contrast(x, y, ALONE // 8, RNG(1)) for x, y in ((a, b), (b, a)))
    assert one.difference == -other.difference
    assert one.p == pytest.approx(other.p)
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low), abs=1e-9)


def test_only_complete_pairs_count() -> None:
    a, b = scores()
    a[:5], b[3:10] = np.nan, np.nan
    found = c.contrast(a, b, ALONE, RNG(0))
    assert (found.n, found.missing) == (70, {"missing": 10})
    assert found.difference == pytest.approx((b - a)[10:].mean())


def test_identical_answers() -> None:
    a, _ = answers()
    found = c.contrast(a, a, ALONE, RNG(0))
    assert (found.difference, found.p, found.discordant) == (0.0, 1.0, 0)
    assert found.low is not None
    assert found.low < 0 < found.high
    assert found.effects == {"odds_ratio": None, "cohens_g": None}
    assert found.detectable is None
    assert found.reason
    clustered = c.contrast(a, a, ALONE // 8, RNG(0))
    assert clustered.p == 1.0
    assert clustered.method == "Tango score (no variation; clusters set aside)"


def test_identical_scores_have_no_interval() -> None:
    a, _ = scores()
    found = c.contrast(a, a, ALONE, RNG(0))
    assert (found.difference, found.low, found.effect, found.p) == (0.0, None, None, 1.0)
    assert found.reason is not None
    assert "all values are equal" in found.reason


@pytest.mark.parametrize("clusters", [ALONE, ALONE // 8])
def test_no_pairs_is_none_with_a_reason(clusters: np.ndarray) -> None:
    nothing = np.full(80, np.nan)
    for values in (answers()[0], scores()[0]):
        found = c.contrast(values, nothing, clusters, RNG(0))
        assert (found.difference, found.low, found.p, found.p_unclustered) == (None,) * 4
        assert found.reason == "no sample carries a value in both arms"


def test_unpaired_shapes_are_refused() -> None:
    with pytest.raises(InputError, match="same samples"):
        c.contrast([1.0, 2.0], [1.0], [0, 1], RNG(0))


@pytest.mark.parametrize("correction", ["holm", "fdr_bh"])
def test_adjusting_leaves_undefined_out(correction: c.Correction) -> None:
    p = [0.01, None, 0.04, 0.03]
    reference = multipletests([0.01, 0.04, 0.03], method=correction)[1]
    assert c.adjust(p, correction) == pytest.approx(
        [reference[0], None, reference[1], reference[2]]
    )
    assert c.adjust([None]) == [None]


def test_holm_by_hand() -> None:
    """Holm (1979): sorted p times 4, 3, 2, 1, made monotone."""
    assert c.adjust([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_equivalence_agrees_with_statsmodels() -> None:
    a, b = scores(effect=0.05)
    reference, *_ = ttost_paired(b, a, -0.5, 0.5)
    found = c.equivalence(a, b, ALONE, 0.5)
    assert found.p == pytest.approx(reference, abs=1e-9)
    assert found.low is not None
    assert found.equivalent == (found.low > -0.5 and found.high < 0.5)


@pytest.mark.parametrize("groups", [np.arange(700), np.arange(700) % 14])
def test_seven_hundred_equal_pairs_are_equivalent(groups: np.ndarray) -> None:
    """Tango's 90 % interval of no change in n pairs is ±z²/(n + z²): 0.0039 for 700."""
    x = (np.arange(700) % 3 == 0).astype(float)
    found = c.equivalence(x, x, groups, 0.02)
    z2 = stats.norm.ppf(0.95) ** 2
    assert found.high == pytest.approx(z2 / (700 + z2), abs=1e-6)
    assert found.low == pytest.approx(-z2 / (700 + z2), abs=1e-6)
    assert found.equivalent
    assert found.p is not None
    assert not c.equivalence(x, x, groups, 0.003).equivalent


@pytest.mark.parametrize("margin", [0.05, 0.1, 0.2])
def test_equivalence_of_zero_one_pairs_goes_by_its_interval(margin: float) -> None:
    for seed in range(40):
        a, b = answers(seed, effect=0.1)
        found = c.equivalence(a, b, ALONE, margin)
        assert found.low is not None
        assert found.high is not None
        assert found.equivalent == (-margin < found.low and found.high < margin)


def test_equivalence_of_scores_cannot_be_claimed_from_no_variation() -> None:
    a, _ = scores()
    found = c.equivalence(a, a, ALONE, 0.1)
    assert (found.p, found.equivalent) == (None, None)
    assert found.reason
    with pytest.raises(InputError, match="margin"):
        c.equivalence(a, a, ALONE, 0.0)


@pytest.mark.parametrize(
    ("make", "truth", "clusters"),
    [("zero-one", 0.1, False), ("continuous", 0.4, False), ("continuous", 0.4, True)],
)
def test_coverage(make: str, truth: float, clusters: bool) -> None:
    """1,000 seeds: 95 % intervals hold the planted difference in 93 to 97 % of them."""
    n, hits = 120, 0
    groups = np.arange(n) // (8 if clusters else 1)
    for seed in range(1000):
        rng = RNG([seed, 11])
        if make == "zero-one":
            moves = rng.choice([1.0, -1.0, 0.0], size=n, p=[0.2, 0.1, 0.7])
            a = np.where(moves == 0, rng.integers(0, 2, n), moves < 0).astype(float)
            b = a + moves
        else:
            a = rng.normal(size=n)
            b = a + truth + rng.standard_gamma(2, size=n) - 2 + 0.7 * rng.normal(size=n)[groups]
        gaps, binary = (b - a)[:, None], make == "zero-one"
        (found,) = c._tested(gaps, groups, RNG([seed, 12]), binary, 0.95, 600)
        assert found.bound.low is not None
        hits += found.bound.low <= truth <= found.bound.high
    assert 0.93 <= hits / 1000 <= 0.97


def _p(gap: np.ndarray, groups: np.ndarray, kind: str) -> float | None:
    (found,) = c._tested(gap[:, None], groups, RNG(len(gap)), kind == "zero-one", 0.95, 999)
    return found.p


@pytest.mark.parametrize("kind", ["zero-one", "continuous", "clustered"])
def test_family_error_of_holm(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """1,000 seeds of five null contrasts with one base: at most 5 % of families claim anything."""
    monkeypatch.setattr("gc.collect", lambda *_: 0)  # statsmodels collects garbage at every call
    n, arms, claims = 100, 5, 0
    groups = np.arange(n) // (5 if kind == "clustered" else 1)
    for seed in range(1000):
        rng = RNG([seed, 21])
        x = rng.normal(size=(n, 1)) + rng.normal(size=(n, arms + 1))
        if kind == "zero-one":
            x = (x > 0).astype(float)
        if kind == "clustered":
            x = x + rng.normal(size=(n, arms + 1))[groups]
        gaps = [x[:, j] - x[:, 0] for j in range(1, arms + 1)]
        p = [_p(gap, groups, kind) for gap in gaps]
        adjusted = c.adjust(p)
        claims += min(q for q in adjusted if q is not None) < 0.05
    assert 0 < claims <= 50


def test_planted_effects_are_found() -> None:
    """The family test above can fail: with a planted effect nearly all families claim one."""
    claims = 0
    for seed in range(50):
        a, b = scores(seed, 100, 1.0)
        claims += (c.contrast(a, b, np.arange(100), RNG(seed), draws=100).p or 1) < 0.05
    assert claims >= 48


def test_few_clusters_say_nothing_that_is_not_possible() -> None:
    """Three clusters of which one changes: a t interval would reach beyond all differences."""
    a, clusters = np.zeros(30), np.arange(30) % 3
    b = (clusters == 0).astype(float)
    found = c.contrast(a, b, clusters, RNG(0))
    assert found.difference == pytest.approx(1 / 3)
    assert (found.low, found.high) == (-1.0, 1.0)
    assert found.detectable is None
    assert "every possible value" in found.reason
    assert "detectable" in found.reason
    (share,) = mean_columns(b[:, None], clusters, RNG(0))
    assert 0 < share.low < 1 / 3 < share.high < 1
