"""Paired contrasts against scipy and statsmodels, their coverage, and the family error of Holm."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_paired

from personalign.analysis import contrasts as c
from personalign.analysis.discordance import mcnemar, tango
from personalign.analysis.estimates import mean_columns, mean_error
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
    assert found.test == "exact McNemar"
    assert found.p == pytest.approx(stats.binomtest(gained, lost + gained).pvalue, abs=1e-12)
    assert found.p_unclustered == found.p
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
    assert found.test == "Wilcoxon signed-rank"
    assert found.p == pytest.approx(stats.wilcoxon(b, a).pvalue, abs=1e-12)
    assert found.effect == pytest.approx(t.statistic / np.sqrt(80), abs=1e-9)
    interval = t.confidence_interval()
    width = interval.high - interval.low
    assert found.low == pytest.approx(interval.low, abs=0.06 * width)
    assert found.high == pytest.approx(interval.high, abs=0.06 * width)


def test_wilcoxon_published_example() -> None:
    """R's ?wilcox.test, depression scores (Hollander & Wolfe 1973, p. 29): V = 40, p = .03906."""
    before = np.array([1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30])
    after = np.array([0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29])
    assert c.wilcoxon(before - after) == pytest.approx(0.0390625, abs=1e-9)


@pytest.mark.parametrize("make", [scores, answers])
def test_clusters_go_into_interval_and_p(make) -> None:
    a, b = make()
    clusters = ALONE // 8
    fit = sm.OLS(b - a, np.ones(80)).fit(
        cov_type="cluster", cov_kwds={"groups": clusters}, use_t=True
    )
    found = c.contrast(a, b, clusters, RNG(0))
    assert found.test == "cluster-robust t, df 9"
    assert found.p == pytest.approx(fit.pvalues[0], abs=1e-9)
    assert found.p_unclustered == c.contrast(a, b, ALONE, RNG(0)).p
    assert found.method == "cluster bootstrap (expanded, 10000 draws, 10 clusters)"


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


def test_equivalence_cannot_be_claimed_from_no_variation() -> None:
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
        (found,) = c._intervals(gaps, groups, RNG([seed, 12]), binary, 0.95, 600)
        assert found.low is not None
        hits += found.low <= truth <= found.high
    assert 0.93 <= hits / 1000 <= 0.97


def _p(gap: np.ndarray, groups: np.ndarray, kind: str) -> float | None:
    if kind == "clustered":
        return c._robust(*mean_error(gap, groups))
    if kind == "continuous":
        return c.wilcoxon(gap)
    return mcnemar(int((gap < 0).sum()), int((gap > 0).sum()))


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
    assert (share.low, share.high) == (0.0, 1.0)
    assert "every possible value" in share.reason
