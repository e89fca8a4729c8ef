"""Is the persona there? A verdict per scale, with an interval, relative to the untouched base.

Two measures, each the mean over its units of (condition − base), in nats per token:

- `behaviour`, unit scene: mean log-prob of the replies of the scale's positive pole minus the
  mean of the negative pole's, on scenes that built no persona.
- `statements`, unit item: log-prob of the statement of the positive pole minus the other's,
  averaged over the ways of asking.

A measure confirms a scale where the 95 % bootstrap interval of the shift lies on the target's
side of zero, contradicts it where the interval lies on the other side, and says indeterminate
otherwise. A scale is confirmed where one measure confirms and none contradicts, contradicted
where one contradicts and none confirms. A persona is confirmed where every scale is confirmed,
contradicted where any is contradicted, and indeterminate otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from personalign.errors import InputError
from personalign.personas import DICHOTOMIES, Persona
from personalign.psychometrics.inventory import PairInventory
from personalign.records import Condition, Record

__all__ = [
    "Margin",
    "ScaleVerdict",
    "Shift",
    "Verdict",
    "Verification",
    "behaviour_positions",
    "statement_positions",
    "verify",
]

Verdict = Literal["confirmed", "indeterminate", "contradicted"]

CONFIDENCE = 0.95
RESAMPLES = 9999


class Shift(Record):
    """One measure of one scale: where a condition stands, and how far it moved from base.

    Positions and shifts are in nats per token, positive towards the scale's positive pole;
    `low` and `high` bound the shift at 95 %; `probability` is the share of bootstrap means on
    the target's side.
    """

    measure: Literal["behaviour", "statements"]
    units: int
    base: float
    position: float
    shift: float
    low: float
    high: float
    probability: float
    verdict: Verdict


class ScaleVerdict(Record):
    """What all measures together say of one scale; `target` is the pole that was asked for."""

    scale: str
    target: str
    shifts: tuple[Shift, ...]
    verdict: Verdict


class Margin(Record):
    """The persona's reply against its opposite's on the measure scenes.

    `mean` nats per token with its interval; `moved` is the share of scenes whose margin grew
    against base, `preferred` the share where the persona's reply is the likelier one; both with
    Wilson intervals (Wilson 1927).
    """

    scenes: int
    mean: float
    low: float
    high: float
    preferred: tuple[float, float, float]
    moved: tuple[float, float, float] | None


class Verification(Record):
    """Verdict on one persona under one condition."""

    persona: str
    condition: Condition
    scales: tuple[ScaleVerdict, ...]
    margin: Margin | None
    verdict: Verdict
    seed: int


def behaviour_positions(rows: pd.DataFrame, personas: Mapping[str, Persona]) -> pd.DataFrame:
    """Scene × scale: mean log-prob of positive-pole replies minus negative-pole replies.

    `rows` are score rows of the task `behaviour` under one condition of one persona.
    """
    wide = rows.pivot(index="sample", columns="metric", values="value")
    replies = {metric: metric.removeprefix("reply:") for metric in wide.columns}
    names = {metric: name for metric, name in replies.items() if name in personas}
    scales = sorted({s for n in names.values() for s in personas[n].traits})
    out = {}
    for scale in scales:
        at = {m: personas[n].traits.get(scale, 0.0) for m, n in names.items()}
        high, low = ([m for m, t in at.items() if t * side > 0] for side in (1, -1))
        if high and low:
            out[scale] = wide[high].mean(axis=1) - wide[low].mean(axis=1)
    return pd.DataFrame(out)


def statement_positions(rows: pd.DataFrame, inventory: PairInventory) -> pd.DataFrame:
    """Item × scale (missing where the item is of another scale), averaged over ways of asking."""
    side = rows["metric"].str.startswith("first").map({True: 1.0, False: -1.0})
    asks = rows["metric"].str.split(":").str[1].nunique()
    difference = (rows["value"] * side).groupby(rows["sample"]).sum() / asks
    out = pd.DataFrame(index=difference.index, columns=list(inventory.scales), dtype=float)
    for item in inventory.items:
        out.loc[item.id, item.scale] = inventory.sign(item) * difference[item.id]
    return out


def verify(
    persona: Persona,
    condition: Condition,
    base: Mapping[str, pd.DataFrame],
    asked: Mapping[str, pd.DataFrame],
    margins: tuple[pd.Series[float], pd.Series[float]] | None,
    seed: int,
) -> Verification:
    """Verdict on a persona under one condition.

    Args:
        base: Measure → positions (unit × scale) of the untouched base.
        asked: The same under the condition.
        margins: Persona's reply minus opposite's, per scene: base and condition.
        seed: Of the bootstrap.
    """
    rng = np.random.default_rng(seed)
    scales = tuple(
        _scale(scale, target, base, asked, rng)
        for scale, target in persona.traits.items()
        if target
    )
    if not any(s.shifts for s in scales):
        raise InputError(f"nothing was measured on a scale of {persona.name!r}", "check the corpus")
    return Verification(
        persona=persona.name,
        condition=condition,
        scales=scales,
        margin=None if margins is None else _margin(*margins, rng),
        verdict=_together_all(s.verdict for s in scales),
        seed=seed,
    )


def _scale(
    scale: str,
    target: float,
    base: Mapping[str, pd.DataFrame],
    asked: Mapping[str, pd.DataFrame],
    rng: np.random.Generator,
) -> ScaleVerdict:
    shifts = []
    for measure in ("behaviour", "statements"):
        before, after = base.get(measure), asked.get(measure)
        if before is None or after is None or scale not in before:
            continue
        both = pd.DataFrame({"base": before[scale], "asked": after[scale]}).dropna()
        if len(both) > 1:
            shifts.append(_shift(measure, both, np.sign(target), rng))
    pole = DICHOTOMIES[scale][0 if target > 0 else 1] if scale in DICHOTOMIES else None
    return ScaleVerdict(
        scale=scale,
        target=pole or ("high" if target > 0 else "low"),
        shifts=tuple(shifts),
        verdict=_together({s.verdict for s in shifts}),
    )


def _shift(
    measure: Literal["behaviour", "statements"],
    both: pd.DataFrame,
    side: float,
    rng: np.random.Generator,
) -> Shift:
    moved = (both["asked"] - both["base"]).to_numpy()
    low, high, means = _bootstrap_mean(moved, rng)
    verdict: Verdict = "indeterminate"
    if min(side * low, side * high) > 0:
        verdict = "confirmed"
    elif max(side * low, side * high) < 0:
        verdict = "contradicted"
    return Shift(
        measure=measure,
        units=len(both),
        base=float(both["base"].mean()),
        position=float(both["asked"].mean()),
        shift=float(moved.mean()),
        low=low,
        high=high,
        probability=float((side * means > 0).mean()),
        verdict=verdict,
    )


def _bootstrap_mean(
    values: np.ndarray, rng: np.random.Generator
) -> tuple[float, float, np.ndarray]:
    """Percentile interval of the mean (Efron & Tibshirani 1993, chapter 13)."""
    if np.ptp(values) == 0:
        return float(values[0]), float(values[0]), values
    result = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=rng,
    )
    interval = result.confidence_interval
    return float(interval.low), float(interval.high), result.bootstrap_distribution


def _margin(base: pd.Series[float], asked: pd.Series[float], rng: np.random.Generator) -> Margin:
    low, high, _ = _bootstrap_mean(asked.to_numpy(), rng)
    same = base.index.equals(asked.index) and base.equals(asked)
    return Margin(
        scenes=len(asked),
        mean=float(asked.mean()),
        low=low,
        high=high,
        preferred=_share(asked > 0),
        moved=None if same else _share(asked > base),
    )


def _share(hits: pd.Series[bool]) -> tuple[float, float, float]:
    result = stats.binomtest(int(hits.sum()), len(hits))
    interval = result.proportion_ci(CONFIDENCE, method="wilson")
    return float(hits.mean()), float(interval.low), float(interval.high)


def _together(verdicts: set[Verdict]) -> Verdict:
    if "confirmed" in verdicts and "contradicted" not in verdicts:
        return "confirmed"
    if "contradicted" in verdicts and "confirmed" not in verdicts:
        return "contradicted"
    return "indeterminate"


def _together_all(verdicts: Iterable[Verdict]) -> Verdict:
    seen = set(verdicts)
    if seen == {"confirmed"}:
        return "confirmed"
    return "contradicted" if "contradicted" in seen else "indeterminate"
