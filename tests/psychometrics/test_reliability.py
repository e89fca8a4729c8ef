"""Coefficients agree with reference implementations, and say why where there is none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pingouin
import pytest
from scipy import stats
from scripted import Scripted
from statsmodels.multivariate.factor import Factor

from personalign.psychometrics.inventory import (
    StatementInventory,
    interview_inventory,
    statement_inventory,
)
from personalign.psychometrics.reliability import (
    acquiescence_figure,
    alpha,
    desirability,
    item_matrix,
    omega,
    order,
    rates,
    retest,
    split_half,
)
from personalign.psychometrics.scoring import COLUMNS


@pytest.fixture(scope="module")
def inventory() -> StatementInventory:
    return statement_inventory()


def one_trait(n: int, loadings: list[float], seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x = np.array(loadings)
    trait = rng.standard_normal((n, 1))
    values = trait * x + np.sqrt(1 - x**2) * rng.standard_normal((n, len(x)))
    return pd.DataFrame(values * np.linspace(0.5, 2, len(x)))


MATRICES = [
    one_trait(300, [0.8, 0.7, 0.6, 0.5, 0.4], 1),
    one_trait(300, [0.3, 0.5, 0.7, -0.3, 0.6, 0.4, 0.5, 0.6], 2),
    one_trait(400, [0.8, 0.7, 0.6], 3),
]


@pytest.mark.parametrize("matrix", MATRICES)
def test_alpha_is_pingouins(matrix: pd.DataFrame) -> None:
    expected, _ = pingouin.cronbach_alpha(data=matrix)
    assert alpha(matrix, "arm", 0).value == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("matrix", MATRICES)
def test_omega_is_that_of_statsmodels_factor_analysis(matrix: pd.DataFrame) -> None:
    fitted = Factor(corr=matrix.corr().to_numpy(), n_factor=1, method="ml").fit(
        opt={"gtol": 1e-9, "maxiter": 2000}
    )
    scale = matrix.std(ddof=0).to_numpy()
    common = float((fitted.loadings[:, 0] * scale).sum() ** 2)
    expected = common / (common + float((fitted.uniqueness * scale**2).sum()))
    assert omega(matrix, "arm", 0).value == pytest.approx(expected, abs=1e-6)


def test_omega_of_three_items_is_exact() -> None:
    """With three items the loadings are √(r₁₂ r₁₃ / r₂₃), and so on."""
    r = MATRICES[2].corr().to_numpy()
    a, b, c = r[0, 1], r[0, 2], r[1, 2]
    loading = np.sqrt([a * b / c, a * c / b, b * c / a])
    scale = MATRICES[2].std(ddof=0).to_numpy()
    common = (loading * scale).sum() ** 2
    expected = common / (common + ((1 - loading**2) * scale**2).sum())
    assert omega(MATRICES[2], "arm", 0).value == pytest.approx(expected, abs=1e-7)


def test_an_improper_solution_is_missing() -> None:
    found = omega(one_trait(200, [0.9, 0.9, 0.2], 3), "arm", 0)
    assert found.value is None
    assert found.reason == "no variation, or an improper (Heywood) factor"


def test_omega_of_planted_loadings() -> None:
    loadings = [0.8, 0.7, 0.6, 0.5, 0.4]
    x, scale = np.array(loadings), np.linspace(0.5, 2, 5)
    common = (x * scale).sum() ** 2
    truth = common / (common + ((1 - x**2) * scale**2).sum())
    found = omega(one_trait(4000, loadings), "arm", 0)
    assert found.low is not None
    assert found.high is not None
    assert found.low < truth < found.high
    assert found.high - found.low < 0.05


SHROUT_FLEISS = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
)
"""Shrout & Fleiss (1979), table 2: four judges rate six targets; ICC(3,1) is .71 in table 4."""


def test_icc_is_that_of_shrout_and_fleiss() -> None:
    from personalign.psychometrics.coefficients import icc31

    found = float(icc31(SHROUT_FLEISS.astype(float), np.ones((1, 6)))[0, 0])
    long = pd.DataFrame(SHROUT_FLEISS).melt(ignore_index=False).reset_index()
    theirs = pingouin.intraclass_corr(long, "index", "variable", "value")
    assert found == pytest.approx(0.7148, abs=1e-4)
    assert np.isclose(theirs["ICC"].astype(float), found, atol=1e-9).any()


def test_split_half_is_spearman_brown() -> None:
    matrix = one_trait(50, [0.7] * 6)
    r = stats.pearsonr(matrix[[0, 2, 4]].sum(axis=1), matrix[[1, 3, 5]].sum(axis=1)).statistic
    assert split_half(matrix, "arm", 0).value == pytest.approx(2 * r / (1 + r))


def test_bootstrap_draws_are_weighted_matrices() -> None:
    """Counting a respondent twice is the same as having it twice."""
    from personalign.psychometrics import coefficients

    values = one_trait(30, [0.7, 0.6, 0.5, 0.8]).to_numpy()
    weights = np.ones((1, 30))
    weights[0, :5] = 2
    twice = np.concatenate([values, values[:5]])
    for name in ("alpha", "omega", "split_half", "icc31"):
        statistic = getattr(coefficients, name)
        expected = statistic(twice, np.ones((1, 35)))
        assert statistic(values, weights) == pytest.approx(expected, abs=1e-7)


def test_intervals_hold_the_planted_alpha() -> None:
    """Parallel items with loading √.5: alpha is 6 · .5 / (1 + 5 · .5) = .857."""
    hits = []
    for seed in range(40):
        found = alpha(one_trait(40, [0.5**0.5] * 6, seed) / np.linspace(0.5, 2, 6), "arm", seed)
        assert found.low is not None
        assert found.high is not None
        hits.append(found.low < 6 * 0.5 / 3.5 < found.high)
    assert np.mean(hits) > 0.87


@pytest.mark.parametrize(
    ("matrix", "reason"),
    [
        (one_trait(2, [0.5] * 3), "2 complete units, it needs 3"),
        (one_trait(20, [0.5]), "1 columns, it needs"),
        (one_trait(20, [0.5] * 3) * 0, "no variation"),
    ],
)
def test_what_cannot_be_computed_is_missing_with_its_reason(
    matrix: pd.DataFrame, reason: str
) -> None:
    for figure in (alpha, omega, split_half):
        found = figure(matrix, "arm", 0)
        assert found.value is None
        assert found.reason is not None
        assert reason in found.reason or "complete respondents for" in found.reason


def test_omega_needs_more_respondents_than_items() -> None:
    found = omega(one_trait(8, [0.5] * 8), "arm", 0)
    assert (found.value, found.reason) == (None, "8 complete respondents for 8 items")


def test_few_respondents_have_no_interval() -> None:
    found = alpha(one_trait(6, [0.9] * 4), "arm", 0)
    assert found.value is not None
    assert (found.low, found.reason) == (None, "no interval: 6 units are too few to resample")


def test_a_coefficient_that_most_draws_lack_has_no_interval(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from personalign.psychometrics import coefficients

    def only_once(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return np.where((weights == 1).all(axis=1), 0.5, np.nan)[:, None]

    monkeypatch.setattr(coefficients, "alpha", only_once)
    found = alpha(one_trait(20, [0.9] * 4), "arm", 0)
    assert (found.value, found.low, found.high) == (0.5, None, None)
    assert found.reason == "no interval: undefined in 1000 of 1000 draws"


def test_incomplete_respondents_are_counted() -> None:
    matrix = one_trait(20, [0.7] * 4)
    matrix.iloc[3, 2] = np.nan
    found = alpha(matrix, "arm", 0)
    assert (found.n, found.missing) == (19, {"incomplete": 1})
    assert found.value == pytest.approx(pingouin.cronbach_alpha(data=matrix.dropna())[0])


def test_models_that_differ_in_a_trait_give_high_alpha(inventory: StatementInventory) -> None:
    rng = np.random.default_rng(0)
    parts = [
        Scripted({"EI": rng.uniform(-0.5, 0.5)}, acquiescence=rng.uniform(-0.3, 0.3))
        .answers(inventory, seed)
        .assign(arm=f"m{seed}")
        for seed in range(10)
    ]
    matrices = item_matrix(pd.concat(parts), inventory, ["arm"])
    trait, none = (alpha(matrices[s], "arm", 0).value for s in ("EI", "SN"))
    assert trait is not None
    assert none is not None
    assert trait > 0.9
    assert none < 0.8
    halves = matrices["EI"].columns
    signs = {i.id: i.key for i in inventory.items}
    assert sum(signs[c] for c in halves[::2]) == 0  # both halves are keyed both ways


def test_retest_falls_with_noise(inventory: StatementInventory) -> None:
    found = []
    for noise in (0.05, 1.0):
        answers = Scripted(items=0.3, noise=noise).answers(inventory, 0, whole=False)
        found.append(retest(answers, inventory, 0)[0])
    assert found[0].name == "ICC(3,1) across paraphrases"
    assert found[0].value is not None
    assert found[1].value is not None
    assert found[0].value > 0.9 > 0.6 > found[1].value
    assert (found[0].n, found[0].over) == (16, "item")


def test_one_paraphrase_has_no_retest(inventory: StatementInventory) -> None:
    answers = Scripted().answers(inventory, 0)
    found = retest(answers[answers["paraphrase"] == "x"], inventory, 0)[0]
    assert (found.value, found.reason) == (None, "1 columns, it needs 2")


def test_order_bias_has_its_sign(inventory: StatementInventory) -> None:
    last = Scripted(order_bias=0.2, noise=0.05).answers(inventory, 0)
    first = Scripted(order_bias=-0.2, noise=0.05).answers(inventory, 0)
    for answers, planted in ((last, 0.2), (first, -0.2)):
        consistency, bias = order(answers, inventory, 0)
        assert bias.value == pytest.approx(planted, abs=0.03)
        assert consistency.value == pytest.approx(0.8, abs=0.03)
    forward = order(last[last["order"] == "forward"], inventory, 0)
    assert forward[0].value is None
    assert forward[0].reason == "0 items have what it needs"


def test_acquiescence_has_its_sign_and_leaves_the_trait_out(inventory: StatementInventory) -> None:
    at = dict.fromkeys(inventory.scales, 0.4)
    for planted in (0.3, -0.3):
        model = Scripted(at, acquiescence=planted, items=0, noise=0)
        found = acquiescence_figure(model.answers(inventory, 0, whole=False), inventory, 0)
        assert found.value == pytest.approx(planted)
        assert found.high is not None
        assert found.low is not None
        assert found.high - found.low < 1e-6


def test_one_sided_scales_show_no_acquiescence() -> None:
    interview = interview_inventory()
    row = {"template": "", "paraphrase": "", "order": "forward", "value": 0.7, "state": "ok"}
    answers = pd.DataFrame([{"item": i.id, **row} for i in interview.items])[list(COLUMNS)]
    found = acquiescence_figure(answers, interview, 0)
    assert found.value is None
    assert found.reason is not None
    assert "keyed both ways" in found.reason


def test_a_good_impression_is_a_shift(inventory: StatementInventory) -> None:
    honest = Scripted({"JP": -0.1}, noise=0.05).answers(inventory, 0)
    good = Scripted({"JP": 0.3}, noise=0.05).answers(inventory, 0)
    found = {f.scale: f for f in desirability(honest, good, inventory, 0)}
    assert found["JP"].value == pytest.approx(0.4, abs=0.03)
    assert found["JP"].low is not None
    assert found["JP"].low > 0.3
    assert found["EI"].low is not None
    assert found["EI"].low < 0.03


def test_no_refusal_is_no_certainty(inventory: StatementInventory) -> None:
    found = {f.name: f for f in rates(Scripted().answers(inventory, 0), 0)}
    assert found["refusal rate"].value == 0
    assert found["refusal rate"].low == 0
    assert found["refusal rate"].high == pytest.approx(3.84 / (512 + 3.84), rel=0.01)
    assert rates(Scripted().answers(inventory, 0)[:0], 0)[0].reason == "no item was asked"
