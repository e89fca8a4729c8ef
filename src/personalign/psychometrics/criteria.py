"""What a persona must show to be called confirmed, and the word for what it did show.

In this order: it *moved* (log-probs and self-report), towards what is its *own*, it is *shown* in
free text, it *holds* when it is asked to stop, and it stays as *fluent* as base. A criterion that
was not measured is "not asked", with its reason, and never passes for one that holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from personalign.psychometrics.criterion import Criterion, Figure, Name, least_sure, not_asked
from personalign.psychometrics.intervals import ALPHA, UnitMean, mean_over_units
from personalign.psychometrics.shifts import ScaleVerdict, Shift, Stray, Verdict

__all__ = ["Word", "moved", "own", "shown", "word"]

Word = Literal[
    "confirmed",
    "shown, not all asked",
    "moved, text not asked",
    "moved, not shown in text",
    "shown, does not hold",
    "shown, but text degraded",
    "indeterminate",
    "contradicted",
]


def moved(scales: Sequence[ScaleVerdict], strays: Sequence[Stray] = ()) -> Criterion:
    """Every scale is confirmed by a measure of log-probs or self-report, and none contradicted;
    scales that moved unasked are named, and no ground."""
    found = _of_scales("moved", scales)
    told = [f"not asked for and moved: {stray}" for stray in strays]
    return found.model_copy(update={"reason": "; ".join(filter(None, [found.reason, *told]))})


def shown(scales: Sequence[ScaleVerdict], lost: Sequence[str], named: UnitMean | None) -> Criterion:
    """Every scale moved in free text, and none the other way.

    Args:
        scales: Those that raters can tell.
        lost: Those that they cannot.
        named: How often the persona is named among sixteen.
    """
    if not scales:
        return not_asked("shown", f"no rater can tell {', '.join(lost)}")
    found = _of_scales("shown", scales)
    told = [f"no rater can tell {', '.join(lost)}"] if lost else []
    if lost and found.verdict == "confirmed":
        found = found.model_copy(update={"verdict": "indeterminate"})
    naming = []
    if named:
        told.append("named among sixteen by chance in 6% of replies")
        naming = [Figure.within("named", (named.value, named.low, named.high), least=1 / 16)]
    reason = "; ".join(filter(None, [found.reason, *told]))
    return found.model_copy(update={"reason": reason, "figures": tuple(naming)})


def _of_scales(name: Name, scales: Sequence[ScaleVerdict]) -> Criterion:
    """All scales together, with the figures of the one that is the least sure."""
    judged = [(scale, shift) for scale in scales if (shift := _surest(scale))]
    verdict: Verdict = "indeterminate"
    if all(s.verdict == "confirmed" for s in scales):
        verdict = "confirmed"
    elif any(s.verdict == "contradicted" for s in scales):
        verdict = "contradicted"
    if not judged:
        return Criterion(name=name, verdict=verdict)
    scale, shift = max(judged, key=lambda pair: pair[1].p_towards or 0.0)
    side = 1 if scale.positive else -1
    low, high = sorted((side * shift.low, side * shift.high))
    about = f"the least sure of {len(scales)} scales, {scale.scale} by {shift.measure}"
    at = {"value": side * shift.shift, "low": low, "high": high}
    return Criterion(name=name, verdict=verdict, reason=about, **at)


def _surest(scale: ScaleVerdict) -> Shift | None:
    return min(scale.shifts, key=lambda s: s.p_towards or 0.0, default=None)


def own(gains: pd.DataFrame, persona: str, rng: np.random.Generator) -> Criterion:
    """Its own reply became likelier, and of all replies to a situation it gains the most more often
    than by chance; each by its 95 % interval (the share by Wilson's, 1927).

    Args:
        gains: Situation × persona whose reply it is: nats per token above base.
    """
    found = None if persona not in gains else mean_over_units(gains[persona], rng)
    if found is None:
        return not_asked("own", f"fewer than two situations have a reply of {persona}")
    rivals = gains.dropna(axis="columns", how="all").dropna()
    ahead = stats.binomtest(int((rivals.idxmax(axis=1) == persona).sum()), max(1, len(rivals)))
    share, chance = ahead.proportion_ci(1 - ALPHA, "wilson"), 1 / max(1, rivals.shape[1])
    first = (float(ahead.statistic), float(share.low), float(share.high))
    figures = (
        Figure.within("gain", (found.value, found.low, found.high), least=0),
        Figure.within("first", first, least=chance),
    )
    return Criterion(
        name="own",
        verdict=least_sure(figures).verdict,
        value=found.value,
        low=found.low,
        high=found.high,
        reason=f"by chance first of {rivals.shape[1]} replies in {chance:.0%} of situations",
        figures=figures,
    )


def word(criteria: Sequence[Criterion]) -> Word:
    """What may be said of a persona: `confirmed` only where all five criteria hold; one that was
    not asked holds the word back to what was."""
    at = {c.name: c.verdict for c in criteria}
    if "contradicted" in (at["moved"], at["own"], at["shown"]):
        return "contradicted"
    if at["moved"] != "confirmed":
        return "indeterminate"
    if at["shown"] == "indeterminate":
        return "moved, not shown in text"
    if at["shown"] == "confirmed" and at["fluent"] == "contradicted":
        return "shown, but text degraded"
    if at["shown"] == "confirmed" and at["holds"] == "contradicted":
        return "shown, does not hold"
    if not set(at.values()) <= {"confirmed", "not asked"}:
        return "indeterminate"
    if at["shown"] != "confirmed":
        return "moved, text not asked"
    return "confirmed" if set(at.values()) == {"confirmed"} else "shown, not all asked"
