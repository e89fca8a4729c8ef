"""How far answers can be trusted: reliability, consistency, biases and losses.

Every figure says over what it was taken (`over`, the unit of analysis). This matters more than
with people: one model is one respondent, and its templates, seeds or adapters are what varies. A
coefficient over templates of one model asks whether wordings differ consistently; only one over
adapters, or models, asks what the same coefficient asks of people.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from personalign.analysis.estimates import (
    FEW_CLUSTERS,
    Statistic,
    expanded_levels,
    mean_error,
    resample,
)
from personalign.analysis.results import Estimate
from personalign.psychometrics import coefficients
from personalign.psychometrics.intervals import ALPHA, UnitMean, mean_over_units
from personalign.psychometrics.inventory import Inventory
from personalign.psychometrics.scoring import acquiescence, item_scores, key_of, raw_scores

__all__ = [
    "Figure",
    "acquiescence_figure",
    "alpha",
    "desirability",
    "item_matrix",
    "omega",
    "order",
    "rates",
    "retest",
    "split_half",
]

Floats = NDArray[np.float64]

DRAWS = 1_000
"""Bootstrap draws of a coefficient; a limit wobbles by about 6 % of the half-width."""

FEWEST = 3


class Figure(Estimate):
    """One figure about an inventory's answers.

    `name` says which, `scale` of which scale ("" for all), `over` what its `n` units are.
    """

    name: str
    scale: str = ""
    over: str


def item_matrix(
    answers: pd.DataFrame, inventory: Inventory, over: Sequence[str]
) -> dict[str, pd.DataFrame]:
    """Scale → respondents × items, keyed; a respondent is each combination of columns `over`.

    Each respondent's acquiescence is taken off. Items stand by the sign of their key, so that
    every second item makes a half that is keyed as the scale is.
    """
    rows = {who: item_scores(own, inventory) for who, own in answers.groupby(list(over))}
    table, key = pd.DataFrame(rows).T, key_of(inventory).sort_values("sign", kind="stable")
    return {s: table[key.index[key["scale"] == s]] for s in inventory.scales}


def alpha(matrix: pd.DataFrame, over: str, seed: int, *, scale: str = "") -> Figure:
    """Cronbach's alpha of respondents × items (Cronbach 1951, Psychometrika 16:297–334)."""
    return _coefficient("alpha", coefficients.alpha, matrix, over, seed, scale, fewest=2)


def omega(matrix: pd.DataFrame, over: str, seed: int, *, scale: str = "") -> Figure:
    """McDonald's omega of one factor, from respondents × items.

    (Σλ)² / ((Σλ)² + Σψ), McDonald (1999), Test Theory, with loadings λ and unique
    variances ψ by maximum likelihood; see `coefficients.one_factor`. Needs three items, and more
    respondents than items.
    """
    complete = len(matrix.dropna())
    if 0 < complete <= matrix.shape[1]:
        reason = f"{complete} complete respondents for {matrix.shape[1]} items"
        return _none("omega", scale, over, complete, reason, seed)
    return _coefficient("omega", coefficients.omega, matrix, over, seed, scale, fewest=3)


def split_half(matrix: pd.DataFrame, over: str, seed: int, *, scale: str = "") -> Figure:
    """Correlation of odd and even items, stepped up to full length: 2r / (1 + r).

    Source: Spearman (1910) and Brown (1910), British Journal of Psychology 3:271–322.
    """
    return _coefficient("split-half", coefficients.split_half, matrix, over, seed, scale, fewest=2)


def retest(
    answers: pd.DataFrame, inventory: Inventory, seed: int, *, by: str = "paraphrase"
) -> list[Figure]:
    """Agreement of an item's answers across paraphrases (or templates), of each scale: ICC(3,1).

    Targets are items, raters the paraphrases; the two-way mixed model, single rating, consistency
    of Shrout & Fleiss (1979), Psychological Bulletin 86:420–428. That a paraphrase moves all items
    alike is not held against it.
    """
    raw = answers.assign(value=answers["value"].astype(float))
    table = raw.pivot_table("value", "item", by, aggfunc="mean")
    key = key_of(inventory)
    keyed = (table - sum(inventory.span) / 2).mul(key["sign"].reindex(table.index), axis=0)
    return [
        _coefficient(
            f"ICC(3,1) across {by}s",
            coefficients.icc31,
            keyed.reindex(key.index[key["scale"] == s]),
            "item",
            seed,
            s,
            fewest=2,
        )
        for s in inventory.scales
    ]


def order(answers: pd.DataFrame, inventory: Inventory, seed: int) -> list[Figure]:
    """What turning the options round does, over items that were asked in both orders.

    - `order consistency`: 1 − |forward − reversed| / range; 1 is the same answer.
    - `order bias`: (forward − reversed) / range, −1 to 1; positive leans to the place that the
      highest answer has in the forward order (the last number of a rating, A of a pair), negative
      to the other end.
    """
    low, high = inventory.span
    cell = ["item", "template", "paraphrase"]
    raw = answers.assign(value=answers["value"].astype(float))
    table = raw.pivot_table("value", cell, "order", aggfunc="mean")
    both = table.reindex(columns=["forward", "reversed"]).dropna()
    gap = (both["forward"] - both["reversed"]) / (high - low)
    rng = np.random.default_rng(seed)
    return [
        _mean("order consistency", (1 - gap.abs()).groupby("item").mean(), rng, seed),
        _mean("order bias", gap.groupby("item").mean(), rng, seed),
    ]


def acquiescence_figure(answers: pd.DataFrame, inventory: Inventory, seed: int) -> Figure:
    """Saying yes (positive) or no (negative) whatever the item says, −1 to 1, over items.

    Half the sum of the mean raw scores of positively and of negatively keyed items. Its interval
    leaves out the trait: what is resampled is an item's raw score less its scale's position.
    """
    raw, key = raw_scores(answers, inventory), key_of(inventory)
    if acquiescence(raw, inventory) is None:
        reason = "no scale is keyed both ways: agreeing cannot be told from the trait"
        return _none("acquiescence", "", "item", 0, reason, seed)
    halves = raw.groupby([key["scale"], key["sign"]]).mean().unstack()
    trait = (halves[1] - halves[-1]).reindex(key["scale"]).to_numpy() / 2
    rest = raw - key["sign"] * trait
    return _mean("acquiescence", rest, np.random.default_rng(seed), seed)


def desirability(
    honest: pd.DataFrame, good: pd.DataFrame, inventory: Inventory, seed: int
) -> list[Figure]:
    """How far each scale moves under an instruction to make a good impression, over items.

    Source of the design: fake-good against honest instruction, Viswesvaran & Ones (1999), Educ.
    Psychol. Meas. 59:197–210. A trained persona that moves as far as `base` does is no more
    honest than it.
    """
    rng, key = np.random.default_rng(seed), key_of(inventory)
    moved = item_scores(good, inventory) - item_scores(honest, inventory)
    return [
        _mean("social-desirability shift", moved[key["scale"] == s], rng, seed, s)
        for s in inventory.scales
    ]


def rates(answers: pd.DataFrame, seed: int) -> list[Figure]:
    """Share of answers that were parsed, refused, and lost otherwise.

    Wilson's interval at the effective number of answers: as many independent ones as would give
    the error that the answers, clustered by item, have (Korn & Graubard 1998, Survey Methodology
    24:193–201).
    """
    state = answers["state"]
    columns = {
        "parse rate": state == "ok",
        "refusal rate": state == "refused",
        "loss rate": ~state.isin(["ok", "refused"]),
    }
    if not len(answers):
        return [_none(n, "", "answer", 0, "no item was asked", seed) for n in columns]
    return [_share(name, hits, answers["item"], seed) for name, hits in columns.items()]


def _share(name: str, hits: pd.Series[bool], items: pd.Series[str], seed: int) -> Figure:
    n = len(hits)
    value, error, _ = mean_error(hits.to_numpy(dtype=float), items.to_numpy())
    alone = value * (1 - value) / n
    effective = n * alone / error**2 if error > 0 else float(n)
    effective = min(effective, float(n))
    z2 = float(stats.norm.ppf(1 - ALPHA / 2)) ** 2
    centre = (value + z2 / (2 * effective)) / (1 + z2 / effective)
    half = np.sqrt(z2 * (value * (1 - value) / effective + z2 / (4 * effective**2)))
    half = float(half / (1 + z2 / effective))
    return Figure(
        name=name,
        over="answer, clustered by item",
        value=value,
        low=max(0.0, centre - half),
        high=min(1.0, centre + half),
        n=n,
        unit="proportion",
        method=f"Wilson, {effective:.0f} effective answers",
        seed=seed,
    )


def _coefficient(
    name: str,
    statistic: Statistic,
    matrix: pd.DataFrame,
    over: str,
    seed: int,
    scale: str,
    fewest: int,
) -> Figure:
    """A coefficient of units × columns, with a bootstrap interval over units.

    There is no interval where most draws have no coefficient (Heywood cases).
    """
    values = matrix.dropna().to_numpy(dtype=float)
    n, lost = len(values), len(matrix) - len(values)
    if values.shape[1] < fewest:
        return _none(name, scale, over, n, f"{values.shape[1]} columns, it needs {fewest}", seed)
    if n < FEWEST:
        return _none(name, scale, over, n, f"{n} complete units, it needs {FEWEST}", seed)
    centre = float(statistic(values, np.ones((1, n)))[0, 0])
    if np.isnan(centre):
        return _none(name, scale, over, n, "no variation, or an improper (Heywood) factor", seed)
    low = high = reason = None
    method = "point estimate"
    if n < FEW_CLUSTERS:
        reason = f"no interval: {n} units are too few to resample"
    else:
        rng = np.random.default_rng(seed)
        drawn = resample(values, np.arange(n), rng, statistic=statistic, draws=DRAWS)[:, 0]
        drawn = drawn[~np.isnan(drawn)]
        if len(drawn) < DRAWS / 2:
            reason = f"no interval: undefined in {DRAWS - len(drawn)} of {DRAWS} draws"
        else:
            low, high = (float(q) for q in np.quantile(drawn, expanded_levels(n, ALPHA / 2)))
            method = f"bootstrap (expanded percentiles, {len(drawn)} draws)"
    return Figure(
        name=name,
        scale=scale,
        over=over,
        value=centre,
        low=low,
        high=high,
        n=n,
        missing={"incomplete": lost} if lost else {},
        unit="coefficient",
        method=method,
        seed=seed,
        reason=reason,
    )


def _mean(
    name: str, values: pd.Series[float], rng: np.random.Generator, seed: int, scale: str = ""
) -> Figure:
    found: UnitMean | None = mean_over_units(values, rng)
    n = int(values.notna().sum())
    if found is None:
        return _none(name, scale, "item", n, f"{n} items have what it needs", seed)
    lost = len(values) - n
    return Figure(
        name=name,
        scale=scale,
        over="item",
        value=found.value,
        low=found.low,
        high=found.high,
        n=n,
        missing={"missing": lost} if lost else {},
        unit="position",
        method=found.method,
        seed=seed,
    )


def _none(name: str, scale: str, over: str, n: int, reason: str, seed: int) -> Figure:
    return Figure(
        name=name, scale=scale, over=over, value=None, n=n, method="none", seed=seed, reason=reason
    )
