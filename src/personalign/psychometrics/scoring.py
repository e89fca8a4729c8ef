"""From answers to continuous positions on the scales of an inventory; letters are derived.

Answers are a long frame with the columns `COLUMNS`: which item was asked, in which variant
(template, paraphrase, order of the options), the value in the inventory's own units (1 to 7, say;
agreement, whatever the order of the options was) or none, and the state that says why.

An item's raw score is its answer on −1 … 1, half-way to either end at ±0.5. Variants are averaged
within each order of the options first and over the orders then, so that a lost answer in one order
lets no preference for a place in. Acquiescence, saying yes whatever the item says, is the mean raw
score over the positively and the negatively keyed halves. It is taken off each item before keying
(Hofstee, Ten Berge & Hendriks 1998, Personality and Individual Differences 25:897–909): with a
balanced key this leaves a scale's mean where it is and takes from its interval what is no
uncertainty about the trait; with answers missing on one side it also mends the mean.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from personalign.analysis.results import Estimate
from personalign.errors import InputError
from personalign.psychometrics.intervals import DRAWS, mean_over_units
from personalign.psychometrics.inventory import Inventory

__all__ = [
    "COLUMNS",
    "Position",
    "acquiescence",
    "answers_of",
    "item_scores",
    "key_of",
    "letters",
    "positions",
    "raw_scores",
]

COLUMNS = ("item", "template", "paraphrase", "order", "value", "state")
ORDERS = ("forward", "reversed")

ANSWERED = 0.5
"""Share of a scale's items that must be answered: the half-scale rule (Fairclough & Cella 1996,
Quality of Life Research 5:321–329)."""


class Position(Estimate):
    """Where a model stands on a scale, −1 to 1, positive towards the positive pole.

    `n` counts items that were answered, `missing` answers that were not, by state. `letter` is the
    pole on whose side `value` lies; None at the midpoint or where there is no value.
    """

    scale: str
    letter: str | None


def answers_of(rows: pd.DataFrame, way: str) -> pd.DataFrame:
    """Answers in one way of asking, from score rows.

    Args:
        rows: `sample`, `metric`, `value`, `state`; a metric is the way, the template, the
            paraphrase, the order of the options, and then what else varies, parted by colons.
        way: What the metric begins with, such as `expected`.
    """
    parts = rows["metric"].str.split(":", expand=True).reindex(columns=range(4)).fillna("")
    frame = pd.DataFrame(
        {
            "item": rows["sample"],
            "template": parts[1],
            "paraphrase": parts[2],
            "order": parts[3].where(parts[3].isin(ORDERS), "forward"),
            "value": rows["value"],
            "state": rows["state"],
        }
    )
    return frame[parts[0] == way].reset_index(drop=True)


def key_of(inventory: Inventory) -> pd.DataFrame:
    """Item → `scale` and `sign`."""
    rows = [(i.id, i.scale, inventory.sign(i)) for i in inventory.items]
    return pd.DataFrame(rows, columns=["item", "scale", "sign"]).set_index("item")


def raw_scores(answers: pd.DataFrame, inventory: Inventory) -> pd.Series[float]:
    """Item → answer on −1 … 1, before keying; NaN where no variant was answered.

    Raises:
        InputError: for a missing column, an item that is not in the inventory, a value outside
            its range, or a value and a state that do not go together.
    """
    _check(answers, inventory)
    low, high = inventory.span
    raw = (answers["value"].astype(float) - (low + high) / 2) / ((high - low) / 2)
    by_order = raw.groupby([answers["item"], answers["order"]]).mean()
    found = by_order.groupby(level="item").mean()
    return found.reindex([i.id for i in inventory.items])


def acquiescence(raw: pd.Series[float], inventory: Inventory) -> float | None:
    """Saying yes (positive) or no (negative) whatever the item says, −1 to 1.

    Over scales that are keyed both ways; with pairs it is the taste for the first statement. None
    where no scale is keyed both ways: there it cannot be told from the trait.
    """
    halves = raw.groupby([key_of(inventory)["scale"], key_of(inventory)["sign"]]).mean().unstack()
    if halves.shape[1] < 2:
        return None
    both = halves.mean(axis=1, skipna=False).dropna()
    return float(both.mean()) if len(both) else None


def item_scores(answers: pd.DataFrame, inventory: Inventory) -> pd.Series[float]:
    """Item → score towards the positive pole of its scale, acquiescence taken off; NaN missing.

    On −1 … 1 but for the correction, by which a single item may leave that range.
    """
    raw = raw_scores(answers, inventory)
    return (raw - (acquiescence(raw, inventory) or 0.0)) * key_of(inventory)["sign"]


def positions(
    answers: pd.DataFrame, inventory: Inventory, seed: int, *, draws: int = DRAWS
) -> tuple[Position, ...]:
    """Position on every scale, with a bootstrap interval over items.

    A scale with fewer than half of its items answered is missing, with the reason.
    """
    rng = np.random.default_rng(seed)
    scores, key = item_scores(answers, inventory), key_of(inventory)
    lost = answers[answers["state"] != "ok"]
    found = []
    for name, scale in inventory.scales.items():
        own = scores[key["scale"] == name]
        missing = lost["state"][lost["item"].isin(own.index)].value_counts()
        answered = int(own.notna().sum())
        mean = mean_over_units(own, rng, draws=draws) if answered >= ANSWERED * len(own) else None
        value = None if mean is None else mean.value
        found.append(
            Position(
                scale=name,
                letter=None if not value else scale.positive if value > 0 else scale.negative,
                value=value,
                low=None if mean is None else mean.low,
                high=None if mean is None else mean.high,
                n=answered,
                missing={str(state): int(count) for state, count in missing.items()},
                unit="position (−1 to 1)",
                method="none" if mean is None else mean.method,
                seed=seed,
                reason=None if mean else f"{answered} of {len(own)} items were answered",
            )
        )
    return tuple(found)


def letters(found: tuple[Position, ...]) -> str:
    """The letters that positions spell, `x` where there is none."""
    return "".join(p.letter or "x" for p in found)


def _check(answers: pd.DataFrame, inventory: Inventory) -> None:
    if lacking := [c for c in COLUMNS if c not in answers]:
        raise InputError(f"answers have no column {lacking[0]!r}", f"give {', '.join(COLUMNS)}")
    strange = set(answers["item"]) - {i.id for i in inventory.items}
    if strange:
        raise InputError(
            f"{min(strange)!r} is no item of {inventory.name!r}", "check the inventory"
        )
    if ((answers["state"] == "ok") != answers["value"].notna()).any():
        raise InputError("an answer has a value and a state that do not fit", "ok has a value")
    low, high = inventory.span
    outside = answers["value"][(answers["value"] < low) | (answers["value"] > high)]
    if len(outside):
        what = f"an answer of {outside.iloc[0]:g} to {inventory.name!r}"
        raise InputError(what, f"answers are {low:g} to {high:g}")
