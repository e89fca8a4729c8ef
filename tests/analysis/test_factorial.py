"""The 2⁴ factorial against repeated-measures ANOVA and against planted effects."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from statsmodels.regression.mixed_linear_model import MixedLM
from statsmodels.stats.anova import AnovaRM

from personalign.analysis import factorial as f
from personalign.errors import InputError

TYPES = [e + s + t + j for e in "EI" for s in "SN" for t in "TF" for j in "JP"]


def matrix(
    items: int = 40, *, categories: int | None = None, seed: int = 0, missing: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Scores (items, 16) and categories (items,): E/I is worth 0.8, EI×TF −0.6, the rest nil."""
    rng = np.random.default_rng(seed)
    codes = f.coding(TYPES)
    means = 0.4 * codes[:, 0] - 0.3 * codes[:, f.EFFECTS.index("EI×TF")]
    group = np.arange(items) % (categories or items)
    slopes = 0.5 * rng.normal(size=(categories or items, 15))[group] @ codes.T / 2
    x = means + rng.normal(size=(items, 1)) + slopes + rng.normal(size=(items, 16))
    x[rng.random(x.shape) < missing] = np.nan
    return x, group


def simulate(items: int = 40, **options) -> pd.DataFrame:
    """The same as a long table."""
    x, group = matrix(items, **options)
    rows = [
        {"persona": t, "sample": f"s{i:03d}", "cluster": f"c{group[i]}", "value": x[i, k]}
        for k, t in enumerate(TYPES)
        for i in range(items)
    ]
    frame = pd.DataFrame(rows).assign(
        run="r", base_model="m", condition="adapter", seed=0, task="t", epoch=0, metric="y"
    )
    return frame.assign(state=np.where(frame["value"].isna(), "refused", "ok"))


def run(frame: pd.DataFrame, **options) -> f.Factorial:
    return f.trait_effects(
        frame, "t", "y", "adapter", np.random.default_rng(1), draws=500, **options
    )


def test_fifteen_orthogonal_effects() -> None:
    codes = f.coding(TYPES)
    assert f.EFFECTS[:5] == ("EI", "SN", "TF", "JP", "EI×SN")
    np.testing.assert_array_equal(codes.T @ codes, 16 * np.eye(15))
    assert f.coding(["ENTJ"])[0].tolist() == [1.0] * 15
    with pytest.raises(InputError, match="'INFX'"):
        f.coding(["INFX"])


def test_agrees_with_repeated_measures_anova() -> None:
    frame = simulate()
    letters = {s: frame["persona"].str[i] for i, s in enumerate(f.POLES)}
    reference = (
        AnovaRM(frame.assign(**letters), "value", "sample", within=list(f.POLES)).fit().anova_table
    )
    found = run(frame)
    assert found.method == "t over items"
    for effect in found.effects:
        row = reference.loc[effect.name.replace("×", ":")]
        assert effect.p == pytest.approx(row["Pr > F"], abs=1e-9)


def test_mixed_model_with_categories_is_exact_when_balanced() -> None:
    """Equal categories: REML's test is the t test over category means, where it sees variance."""
    found = run(simulate(80, categories=10))
    assert found.method == "mixed model, random item and category"
    frame = simulate(80, categories=10)
    cells = frame.pivot_table(index=["cluster", "persona"], values="value").unstack()
    effects = cells["value"][TYPES].to_numpy() @ f.coding(TYPES) / 8
    for i, effect in enumerate(found.effects):
        assert effect.value == pytest.approx(effects[:, i].mean(), abs=1e-9)
        within = effect.high - effect.value
        error = effects[:, i].std(ddof=1) / np.sqrt(10)
        assert within >= 2.262 * error * (1 - 1e-3)


@pytest.mark.parametrize("seed", range(6))
def test_no_category_variance_is_no_trouble(seed: int) -> None:
    """On the boundary the error is at least that of independent items, and not far from it."""
    rng = np.random.default_rng(seed)
    values = np.round(rng.normal(size=3000)) / 8
    centre, error, df = f._fit(values, np.arange(3000) % 14)
    plain = values.std() / np.sqrt(3000)
    assert centre == pytest.approx(values.mean(), abs=1e-5)
    assert 0.99 * plain < error < 2 * plain
    assert df == 13


def test_error_is_statsmodels_own_away_from_the_boundary() -> None:
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 12, 300)
    values = rng.normal(size=12)[groups] + rng.normal(size=300)
    fit = MixedLM(values, np.ones((300, 1)), groups=groups).fit(reml=True)
    assert f._fit(values, groups)[1] == pytest.approx(fit.bse_fe[0], rel=1e-4)


def test_variances_are_those_of_the_analysis_of_variance() -> None:
    """Balanced REML has a closed form: the error of β is that of the category means."""
    groups = np.arange(300) % 12
    values = (
        np.random.default_rng(1).normal(size=12)[groups] / 9
        + np.random.default_rng(2).normal(size=300) / 9
    )
    means = np.array([values[groups == k].mean() for k in range(12)])
    centre, error, _ = f._fit(values, groups)
    assert centre == pytest.approx(means.mean(), abs=1e-9)
    assert error == pytest.approx(means.std(ddof=1) / np.sqrt(12), rel=1e-6)


def test_equals_the_mixed_model_of_all_rows() -> None:
    """Without effects that vary by item, the model of the rows themselves gives the same values."""
    frame = simulate(30)
    codes = np.column_stack([np.ones(len(frame)), f.coding(frame["persona"].tolist()) / 2])
    fit = MixedLM(frame["value"], codes, groups=frame["sample"]).fit(reml=True)
    values = [effect.value for effect in run(frame).effects]
    assert values == pytest.approx(fit.fe_params.to_numpy()[1:].tolist(), abs=1e-6)


def test_planted_effects_are_found_and_no_other() -> None:
    found = {e.name: e for e in run(simulate(200)).effects}
    sure = {name for name, e in found.items() if e.p_adjusted < 0.05}
    assert sure == {"EI", "EI×TF"}
    for name, truth in (("EI", 0.8), ("EI×TF", -0.6)):
        assert found[name].low < truth < found[name].high
        assert found[name].check_low < truth < found[name].check_high


def test_bootstrap_agrees_with_the_model() -> None:
    for effect in run(simulate(200)).effects:
        assert effect.check == pytest.approx(effect.value)
        assert effect.check_high - effect.check_low == pytest.approx(
            effect.high - effect.low, rel=0.2
        )


def test_incomplete_items_are_counted_and_go_into_the_check() -> None:
    found = run(simulate(100, missing=0.02))
    assert found.items + found.incomplete == 100
    assert found.incomplete > 0
    assert any(e.check != e.value for e in found.effects)


def test_rows_may_be_in_any_order() -> None:
    frame = simulate()
    assert run(frame) == run(frame.sample(frac=1, random_state=0))


def test_names_of_personas_can_be_mapped() -> None:
    frame = simulate()
    named = frame.assign(persona="p-" + frame["persona"])
    assert run(named, types={f"p-{t}": t for t in TYPES}) == run(frame)


def test_fewer_than_sixteen_types_are_refused() -> None:
    frame = simulate()
    with pytest.raises(InputError, match="sixteen"):
        run(frame[frame["persona"] != "INFP"])


def test_no_complete_item_is_refused() -> None:
    frame = simulate(5)
    holes = frame["persona"] == "INFP"
    frame.loc[holes, "value"], frame.loc[holes, "state"] = np.nan, "error"
    with pytest.raises(InputError, match="no item"):
        run(frame)


def test_an_outcome_that_never_varies_has_no_interval() -> None:
    found = run(simulate(10).assign(value=1.0))
    for effect in found.effects:
        assert (effect.value, effect.p, effect.low) == (0.0, None, None)
        assert effect.reason


def test_main_effect_coverage() -> None:
    """100 seeds with ten categories: the interval of E/I holds the truth in 90 to 99 %."""
    hits = 0
    for seed in range(100):
        values, clusters = matrix(60, categories=10, seed=seed)
        effect = values @ (f.coding(TYPES)[:, 0] / 8)
        found = f._effect("EI", effect, clusters, 0.95, (None, None, None))
        hits += found.low < 0.8 < found.high
    assert 90 <= hits <= 99
