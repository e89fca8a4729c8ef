"""Where a model stands on each scale, unit by unit, from the scores of one measure."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from personalign.personas import Persona
from personalign.psychometrics.inventory import Inventory, PairInventory
from personalign.psychometrics.scoring import item_scores, key_of

__all__ = ["answer_positions", "behaviour_positions", "statement_positions"]


def behaviour_positions(rows: pd.DataFrame, personas: Mapping[str, Persona]) -> pd.DataFrame:
    """Scene × scale: mean log-prob of positive-pole replies minus negative-pole replies.

    `rows` are score rows of the task `behaviour` under one condition of one persona. Replies of
    custom personas stand for no pole. A scene that lacks one of the others' replies is missing:
    what is left would set more than the two poles against each other.
    """
    wide = rows.pivot(index="sample", columns="metric", values="value")
    replies = {metric: metric.removeprefix("reply:") for metric in wide.columns}
    known = {m: personas[n] for m, n in replies.items() if n in personas}
    kept = {m: p for m, p in known.items() if p.framework != "custom"}
    scales = sorted({s for p in kept.values() for s in p.traits})
    out = {}
    for scale in scales:
        at = {m: p.traits.get(scale, 0.0) for m, p in kept.items()}
        high, low = ([m for m, t in at.items() if t * side > 0] for side in (1, -1))
        if high and low:
            out[scale] = wide[high].mean(axis=1, skipna=False) - wide[low].mean(
                axis=1, skipna=False
            )
    return pd.DataFrame(out)


def statement_positions(rows: pd.DataFrame, inventory: PairInventory) -> pd.DataFrame:
    """Item × scale, averaged over ways of asking.

    Missing where the item is of another scale, was not asked, or a statement of it has no value.
    """
    side = rows["metric"].str.startswith("first").map({True: 1.0, False: -1.0})
    asks = rows["metric"].str.split(":").str[1].nunique()
    difference = (rows["value"] * side).groupby(rows["sample"]).sum(min_count=2 * asks) / asks
    items = [item.id for item in inventory.items]
    difference = difference.reindex(items)
    out = pd.DataFrame(index=items, columns=list(inventory.scales), dtype=float)
    for item in inventory.items:
        out.loc[item.id, item.scale] = inventory.sign(item) * difference[item.id]
    return out


def answer_positions(answers: pd.DataFrame, inventory: Inventory) -> pd.DataFrame:
    """Item × scale, -1 to 1: keyed answers with acquiescence taken off; see `scoring`."""
    scores, key = item_scores(answers, inventory), key_of(inventory)
    return pd.DataFrame({s: scores.where(key["scale"] == s) for s in inventory.scales})
