"""A scripted model: answers to an inventory from a planted position, biases, noise and losses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product

import numpy as np
import pandas as pd

from personalign.psychometrics.inventory import Inventory
from personalign.psychometrics.scoring import COLUMNS, key_of


@dataclass(frozen=True)
class Scripted:
    """What is planted, all on −1 … 1: position by scale, and what disturbs it.

    `items` and `noise` are standard deviations, between items and between answers.
    """

    at: Mapping[str, float] = field(default_factory=dict)
    acquiescence: float = 0.0
    order_bias: float = 0.0
    refuses: float = 0.0
    rambles: float = 0.0
    items: float = 0.15
    noise: float = 0.2

    def answers(self, inventory: Inventory, seed: int, whole: bool = True) -> pd.DataFrame:
        """Two templates, two paraphrases, both orders; whole numbers unless `whole` is false."""
        rng, key = np.random.default_rng(seed), key_of(inventory)
        place = key["scale"].map(lambda s: self.at.get(s, 0.0)).to_numpy(dtype=float)
        trait = (place + self.items * rng.standard_normal(len(key))) * key["sign"].to_numpy()
        low, high = inventory.span
        parts = []
        for template, paraphrase, order in product("ab", "xy", ("forward", "reversed")):
            side = 1 if order == "forward" else -1
            felt = trait + self.acquiescence + side * self.order_bias
            felt = felt + self.noise * rng.standard_normal(len(key))
            value = np.clip((low + high) / 2 + (high - low) / 2 * felt, low, high)
            drawn = rng.random(len(key))
            lost = np.where(drawn < self.refuses, "refused", "ok")
            lost = np.where(drawn > 1 - self.rambles, "unparsed", lost)
            parts.append(
                pd.DataFrame(
                    {
                        "item": key.index,
                        "template": template,
                        "paraphrase": paraphrase,
                        "order": order,
                        "value": np.where(lost == "ok", value.round() if whole else value, np.nan),
                        "state": lost,
                    }
                )
            )
        return pd.concat(parts, ignore_index=True)[list(COLUMNS)]
