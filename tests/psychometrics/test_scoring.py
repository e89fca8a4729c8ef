"""Planted positions come back; what disturbs them does not pass for a trait."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scripted import Scripted

from personalign.errors import InputError
from personalign.psychometrics.intervals import mean_over_units
from personalign.psychometrics.inventory import StatementInventory, statement_inventory
from personalign.psychometrics.reliability import acquiescence_figure, order, rates
from personalign.psychometrics.scoring import (
    acquiescence,
    answers_of,
    item_scores,
    letters,
    positions,
    raw_scores,
)


@pytest.fixture(scope="module")
def inventory() -> StatementInventory:
    return statement_inventory()


def test_positions_and_letters_of_a_noiseless_model(inventory: StatementInventory) -> None:
    at = {"EI": -0.5, "SN": 1 / 3, "TF": 0.2, "JP": -1.0}
    answers = Scripted(at, items=0, noise=0).answers(inventory, 0, whole=False)
    found = positions(answers, inventory, seed=0)
    assert {p.scale: p.value for p in found} == pytest.approx(at)
    assert letters(found) == "INTP"


def test_saying_yes_to_everything_scores_in_the_middle(inventory: StatementInventory) -> None:
    answers = Scripted(acquiescence=0.6, items=0, noise=0).answers(inventory, 0, whole=False)
    assert item_scores(answers, inventory).abs().max() == pytest.approx(0, abs=1e-12)
    assert letters(positions(answers, inventory, 0)) == "xxxx"
    assert acquiescence(raw_scores(answers, inventory), inventory) == pytest.approx(0.6)


def test_answers_lost_on_one_side_of_the_key_let_no_acquiescence_in(
    inventory: StatementInventory,
) -> None:
    at = {"EI": 0.2, "SN": -0.3, "TF": 0.0, "JP": 0.1}
    model = Scripted(at, acquiescence=0.4, items=0, noise=0)
    answers = model.answers(inventory, 0, whole=False)
    gone = [i.id for i in inventory.items if i.key == 1][:6]
    answers = answers[~answers["item"].isin(gone)]
    found = {p.scale: p.value for p in positions(answers, inventory, 0)}
    assert found == pytest.approx(at, abs=1e-9)


def test_answers_lost_in_one_order_let_no_order_bias_in(inventory: StatementInventory) -> None:
    model = Scripted({"EI": 0.2}, order_bias=0.3, items=0, noise=0)
    answers = model.answers(inventory, 0, whole=False)
    cut = (answers["order"] == "reversed") & (answers["template"] == "a")
    cut &= answers["item"].str.startswith("EI")
    found = positions(answers[~cut], inventory, 0)
    assert found[0].value == pytest.approx(0.2)


def test_a_scale_that_is_mostly_refused_is_missing(inventory: StatementInventory) -> None:
    answers = Scripted({"EI": 0.5}).answers(inventory, 0)
    most = [i.id for i in inventory.items if i.scale == "EI"][:9]
    gone = answers["item"].isin(most)
    answers.loc[gone, "value"] = np.nan
    answers.loc[gone, "state"] = "refused"
    found = positions(answers, inventory, 0)
    assert (found[0].value, found[0].letter) == (None, None)
    assert found[0].reason == "7 of 16 items were answered"
    assert found[0].missing == {"refused": 72}
    assert letters(found)[0] == "x"


def test_score_rows_become_answers() -> None:
    metrics = ["expected:list:fit:reversed", "mass:list:fit:reversed", "written:lapd:own:forward:3"]
    rows = pd.DataFrame({"sample": "EI-S01", "metric": metrics, "value": 5.0, "state": "ok"})
    found = answers_of(rows, "expected")
    assert found.iloc[0].to_dict() == {
        "item": "EI-S01",
        "template": "list",
        "paraphrase": "fit",
        "order": "reversed",
        "value": 5.0,
        "state": "ok",
    }
    assert len(found) == 1
    assert answers_of(rows, "written")["order"].tolist() == ["forward"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"value": 8.0}, "an answer of 8 to 'mbti_statements' — answers are 1 to 7"),
        ({"item": "nobody"}, "'nobody' is no item"),
        ({"state": "refused"}, "do not fit"),
    ],
)
def test_impossible_answers_are_errors(
    inventory: StatementInventory, change: dict[str, object], message: str
) -> None:
    answers = Scripted().answers(inventory, 0)
    for column, value in change.items():
        answers.loc[0, column] = value
    with pytest.raises(InputError, match=message):
        positions(answers, inventory, 0)
    with pytest.raises(InputError, match="no column 'state'"):
        positions(answers.drop(columns="state"), inventory, 0)


def coverage(units: int, skewed: bool, trials: int) -> float:
    """How often the interval of a mean over so many units holds the planted mean."""
    rng = np.random.default_rng(units)
    hits = []
    for _ in range(trials):
        x = rng.gamma(4.0, 0.5, units) - 2 if skewed else rng.standard_normal(units)
        found = mean_over_units(x, rng, draws=1000)
        assert found is not None
        hits.append(found.low <= 0 <= found.high)
    return float(np.mean(hits))


@pytest.mark.parametrize("units", [3, 5, 7, 8, 16])
def test_intervals_over_few_units_hold_their_level(units: int) -> None:
    """Binomial error here 0.013; t intervals cover skewed means at about 0.93."""
    assert coverage(units, skewed=False, trials=300) > 0.92
    assert coverage(units, skewed=True, trials=300) > 0.88


def test_units_without_spread_follow_the_sign_test() -> None:
    rng = np.random.default_rng(0)
    few, many = mean_over_units([1.0] * 5, rng), mean_over_units([1.0] * 6, rng)
    assert few is not None
    assert (few.low, few.high) == (0, 1)
    assert many is not None
    assert (many.low, many.above) == (1, 1 - 0.5**6)
    assert mean_over_units([1.0, np.nan], rng) is None


def recovered(seed: int, inventory: StatementInventory) -> dict[str, bool]:
    """Which planted figures of a random scripted model lie within their intervals."""
    rng = np.random.default_rng(10_000 + seed)
    at = dict(zip(inventory.scales, rng.uniform(-0.45, 0.45, 4), strict=True))
    model = Scripted(
        at,
        acquiescence=rng.uniform(-0.2, 0.2),
        order_bias=rng.uniform(-0.15, 0.15),
        refuses=rng.uniform(0.02, 0.3),
        rambles=0.05,
    )
    answers = model.answers(inventory, seed)
    planted = {"order bias": model.order_bias, "acquiescence": model.acquiescence} | {
        "parse rate": 0.95 - model.refuses,
        "refusal rate": model.refuses,
        "loss rate": 0.05,
    }
    figures = [
        acquiescence_figure(answers, inventory, seed),
        order(answers, inventory, seed)[1],
        *rates(answers, seed),
    ]
    found = {f.name: f.low <= planted[f.name] <= f.high for f in figures}
    for p in positions(answers, inventory, seed, draws=2000):
        found[p.scale] = p.low <= at[p.scale] <= p.high
    return found


def test_planted_truth_is_recovered(inventory: StatementInventory) -> None:
    found = pd.DataFrame([recovered(seed, inventory) for seed in range(10)])
    assert found.to_numpy().mean() >= 0.9  # 90 figures: 0.95 less two binomial errors


@pytest.mark.slow
def test_planted_truth_is_recovered_in_95_percent_of_200(inventory: StatementInventory) -> None:
    found = pd.DataFrame([recovered(seed, inventory) for seed in range(200)])
    assert found[list(inventory.scales)].to_numpy().mean() >= 0.95
    assert found.to_numpy().mean() >= 0.95
    assert found.mean().min() > 0.90  # one figure alone: 0.95 less three binomial errors
