"""The persona's reply against its opposite's, scene by scene: what `base` itself prefers."""

from __future__ import annotations

import numpy as np
import pandas as pd

from personalign.analysis.estimates import proportion, t_mean
from personalign.psychometrics.verify import Margin
from personalign.report.findings import Findings

__all__ = ["base_margin", "scene_margins"]

TASK = "behaviour"


def scene_margins(found: Findings, persona: str) -> pd.DataFrame:
    """Scene × condition: log-prob of the persona's reply minus its opposite's, nats per token."""
    ours, theirs = f"reply:{persona}", f"reply:{found.counterpart(persona)}"
    rows = found.scores
    rows = rows[(rows["task"] == TASK) & rows["persona"].isin(["", persona])]
    wide = rows.pivot_table(index=["sample", "condition"], columns="metric", values="value")
    if ours not in wide or theirs not in wide:
        return pd.DataFrame()
    return (wide[ours] - wide[theirs]).unstack("condition")


def base_margin(found: Findings, persona: str) -> Margin | None:
    """Where `base` stands before anything was done to it: a t interval, and Wilson's."""
    margins = scene_margins(found, persona)
    if "base" not in margins or margins["base"].dropna().empty:
        return None
    values = margins["base"].dropna().to_numpy()
    mean = t_mean(values, np.arange(len(values)))
    share = proportion(values > 0)
    if mean.value is None or mean.low is None or mean.high is None:
        return None
    if share.value is None or share.low is None or share.high is None:
        return None
    return Margin(
        scenes=len(values),
        mean=mean.value,
        low=mean.low,
        high=mean.high,
        preferred=(share.value, share.low, share.high),
        moved=None,
    )
