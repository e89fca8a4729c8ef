"""Intervals against scipy and statsmodels, and against their own promise of coverage."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from personalign.analysis import estimates as e
from personalign.errors import InputError

RNG = np.random.default_rng
ALONE = np.arange(40)


def normal(n: int = 40, seed: int = 3) -> np.ndarray:
    return RNG(seed).normal(size=n) + 1


@pytest.mark.parametrize(("ones", "n"), [(0, 20), (157, 700), (257, 700), (1, 1), (19, 20)])
def test_wilson_agrees_with_statsmodels(ones: int, n: int) -> None:
    found = e.proportion([1.0] * ones + [0.0] * (n - ones))
    low, high = proportion_confint(ones, n, method="wilson")
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)
    assert found.value == ones / n
    assert found.n == n


def test_wilson_published_example() -> None:
    """Newcombe (1998), Statistics in Medicine 17:857, table I: 81 of 263 gives .2553 to .3662."""
    found = e.proportion([1] * 81 + [0] * 182)
    assert (found.low, found.high) == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_a_proportion_needs_zeros_and_ones() -> None:
    with pytest.raises(InputError, match="0 and 1"):
        e.proportion([0.0, 0.5])


def test_t_interval_agrees_with_scipy() -> None:
    x = normal()
    reference = stats.ttest_1samp(x, 0).confidence_interval(0.9)
    found = e.t_mean(x, ALONE, confidence=0.9)
    assert (found.low, found.high) == pytest.approx(tuple(reference), abs=1e-9)


def test_cluster_robust_error_agrees_with_statsmodels() -> None:
    x, clusters = normal(), ALONE % 7
    fit = sm.OLS(x, np.ones(40)).fit(cov_type="cluster", cov_kwds={"groups": clusters}, use_t=True)
    _, error, df = e.mean_error(x, clusters)
    assert error == pytest.approx(fit.bse[0], abs=1e-9)
    assert df == 6
    found = e.t_mean(x, clusters)
    assert (found.low, found.high) == pytest.approx(tuple(fit.conf_int()[0]), abs=1e-9)


@pytest.mark.parametrize(("interval", "method"), [("percentile", "percentile"), ("bca", "BCa")])
def test_bootstrap_agrees_with_scipy_draw_for_draw(interval, method: str) -> None:
    x = stats.expon.rvs(size=40, random_state=RNG(5))
    reference = stats.bootstrap(
        (x,), np.mean, n_resamples=2000, method=method, rng=RNG(9)
    ).confidence_interval
    found = e.bootstrap(x, ALONE, RNG(9), draws=2000, interval=interval)
    assert (found.low, found.high) == pytest.approx(tuple(reference), abs=1e-9)


def test_resampling_takes_whole_clusters() -> None:
    """The draws are those of the cluster totals, as scipy resamples them in pairs."""
    x, clusters = normal(), ALONE % 9
    totals = np.array([(x[clusters == k].sum(), (clusters == k).sum()) for k in range(9)])
    drawn = e.resample(x[:, None], clusters, RNG(4), draws=500)[:, 0]
    picks = RNG(4).integers(0, 9, (500, 9))
    expected = totals[picks, 0].sum(axis=1) / totals[picks, 1].sum(axis=1)
    np.testing.assert_allclose(drawn, expected, atol=1e-12)


def test_expanded_levels_are_hesterbergs() -> None:
    """The expanded interval of normal draws is as wide as a t interval of s/sqrt(k)."""
    x = normal(10)
    drawn = e.resample(x[:, None], np.arange(10), RNG(1), draws=10_000)[:, 0]
    found = e.bootstrap(x, np.arange(10), RNG(1), draws=10_000)
    edge = stats.norm.cdf(-np.sqrt(10 / 9) * stats.t.ppf(0.975, 9))
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(drawn, [edge, 1 - edge])))


def test_any_weighted_statistic_can_be_resampled() -> None:
    def spread(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return e.mean(values**2, weights) - e.mean(values, weights) ** 2

    x = normal(60)
    found = e.bootstrap(x, np.arange(60), RNG(2), spread)
    assert found.value == pytest.approx(np.var(x))
    assert found.low is not None
    assert found.low < np.var(x) < found.high


def test_columns_share_draws_and_equal_single_runs() -> None:
    x = RNG(0).normal(size=(40, 3))
    together = e.bootstrap_columns(x, ALONE % 10, RNG(8), draws=300)
    alone = [e.bootstrap(x[:, j], ALONE % 10, RNG(8), draws=300) for j in range(3)]
    for a, b in zip(together, alone, strict=True):
        assert (a.low, a.high) == pytest.approx((b.low, b.high), abs=1e-12)


@given(hnp.arrays(float, st.integers(2, 30), elements=st.floats(-1e6, 1e6)), st.integers(0, 99))
def test_an_interval_lies_within_the_data(x: np.ndarray, seed: int) -> None:
    found = e.bootstrap(x, np.arange(len(x)), RNG(seed), draws=100)
    if found.low is None:
        assert found.reason
    else:
        slack = 1e-9 * (1 + np.abs(x).max())
        assert x.min() - slack <= found.low <= found.high <= x.max() + slack


def test_missing_is_counted_and_left_out() -> None:
    x = normal()
    holes = np.where(ALONE % 4 == 0, np.nan, x)
    found = e.bootstrap(holes, ALONE, RNG(0))
    assert found.value == pytest.approx(np.nanmean(holes))
    assert (found.n, found.missing) == (30, {"missing": 10})


@pytest.mark.parametrize(
    "found",
    [
        e.proportion([np.nan, np.nan]),
        e.t_mean([np.nan], [0]),
        e.bootstrap([np.nan, np.nan], [0, 1], RNG(0)),
        e.bootstrap([], [], RNG(0)),
    ],
)
def test_nothing_measured_is_none_with_a_reason(found) -> None:
    assert (found.value, found.low, found.high, found.n) == (None, None, None, 0)
    assert found.reason == "no sample carries a value"


@pytest.mark.parametrize(
    ("x", "clusters", "reason"),
    [([1.0, 2.0], [0, 0], "one cluster"), ([2.0, 2.0], [0, 1], "all values are equal")],
)
def test_an_interval_without_variation_is_none_with_a_reason(x, clusters, reason: str) -> None:
    for found in (e.t_mean(x, clusters), e.bootstrap(x, clusters, RNG(0))):
        assert found.value is not None
        assert (found.low, found.high) == (None, None)
        assert found.reason is not None
        assert reason in found.reason


def test_bad_calls_are_refused() -> None:
    with pytest.raises(InputError, match="clusters"):
        e.bootstrap([1.0, 2.0], [0], RNG(0))
    with pytest.raises(InputError, match="draws"):
        e.bootstrap([1.0, 2.0], [0, 1], RNG(0), draws=5)


@pytest.mark.parametrize(
    ("values", "clusters", "method"),
    [
        (np.array([0, 1.0] * 20), ALONE, "Wilson"),
        (normal(), ALONE, "t, df 39"),
        (normal(), ALONE % 4, "cluster-robust t, df 3"),
        (normal(), ALONE % 8, "cluster bootstrap (expanded, 200 draws, 8 clusters)"),
        (np.zeros(40), ALONE % 8, "cluster-adjusted Wilson (8 clusters, design effect 2.6)"),
    ],
)
def test_the_interval_fits_the_data(values: np.ndarray, clusters: np.ndarray, method: str) -> None:
    (found,) = e.mean_columns(values[:, None], clusters, RNG(0), draws=200)
    assert found.method == method
    assert found.low is not None


def _clustered(rng: np.random.Generator, k: int, m: int, binary: bool) -> np.ndarray:
    """k clusters of m samples, intra-cluster correlation .5; mean 0, or a proportion of ½."""
    x = rng.normal(size=(k, 1)) + rng.normal(size=(k, m))
    return (x > 0).astype(float).ravel() if binary else x.ravel()


@pytest.mark.parametrize(
    ("k", "m", "binary"), [(4, 25, False), (14, 20, False), (14, 20, True), (40, 3, True)]
)
def test_coverage_under_clustering(k: int, m: int, binary: bool) -> None:
    """1,000 seeds: 95 % intervals hold the truth in 93 to 97 % of them."""
    truth, clusters = (0.5 if binary else 0.0), np.repeat(np.arange(k), m)
    hits = 0
    for seed in range(1000):
        x = _clustered(RNG([seed, k]), k, m, binary)[:, None]
        (found,) = e.mean_columns(x, clusters, RNG([seed, 7]), draws=500)
        assert found.low is not None
        hits += found.low <= truth <= found.high
    assert 0.93 <= hits / 1000 <= 0.97


def test_ignoring_clusters_would_not_cover() -> None:
    """The test above can fail: the same data taken as independent cover far too rarely."""
    hits = 0
    for seed in range(300):
        found = e.t_mean(_clustered(RNG([seed, 14]), 14, 20, False), np.arange(280))
        assert found.low is not None
        hits += found.low <= 0 <= found.high
    assert hits / 300 < 0.7


@pytest.mark.parametrize("rate", [0.005, 0.01, 0.02, 0.04, 0.2])
@pytest.mark.parametrize("within", [0.02, 0.1])
def test_rare_outcomes_in_few_clusters_are_covered(rate: float, within: float) -> None:
    """14 clusters of 50, beta-binomial with this correlation: at least .93 of 600 seeds.

    The expanded bootstrap of clusters covered .65 to .83 of the rare ones.
    """
    clusters, hits = np.arange(700) // 50, 0
    scale = (1 - within) / within
    for seed in range(600):
        rng = RNG([seed, 31])
        own = rng.beta(rate * scale, (1 - rate) * scale, 14)
        x = (rng.random(700) < own[clusters]).astype(float)
        (found,) = e.mean_columns(x[:, None], clusters, rng, draws=400)
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= rate <= found.high
    assert hits / 600 >= 0.93


def test_a_clustered_share_mirrors_and_narrows_to_wilson() -> None:
    x, clusters = (np.arange(700) % 29 == 0).astype(float), np.arange(700) // 50
    one, other = e.clustered_proportion(x, clusters), e.clustered_proportion(1 - x, clusters)
    assert (one.low, one.high) == pytest.approx((1 - other.high, 1 - other.low))
    many = e.clustered_proportion(np.tile(x, 20), np.arange(14000) // 2)
    plain = e.proportion(np.tile(x, 20))
    assert (many.low, many.high) == pytest.approx((plain.low, plain.high), abs=1e-3)
    alone = e.clustered_proportion(x, np.zeros(700))
    assert alone.low is None
    assert alone.reason == "one cluster alone shows no variation between clusters"
