"""What a persona must show to be called confirmed, and the word for what it did show.

In this order: it *moved* (log-probs and self-report), towards what is its *own*, it is *shown* in
free text, it *holds* when it is asked to stop, and it stays as *fluent* as base. A criterion that
was not measured is "not asked", with its reason, and never passes for one that holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from personalign.analysis.estimates import t_mean
from personalign.psychometrics.intervals import ALPHA, UnitMean, mean_over_units
from personalign.psychometrics.shifts import ScaleVerdict, Shift, Verdict
from personalign.records import Record

__all__ = ["Criterion", "Spoken", "Word", "fluent", "moved", "not_asked", "own", "shown", "word"]

Name = Literal["moved", "own", "shown", "holds", "fluent"]
Word = Literal[
    "confirmed",
    "moved, text not asked",
    "moved, not shown in text",
    "shown, but text degraded",
    "indeterminate",
    "contradicted",
]

MORE_REPEATED = 0.05
"""Of word triples: one in twenty more than base is a sentence that comes again in a page."""
FEWER_ENDED = 0.15
"""Of replies: so many more may run into the limit of tokens, since a persona may be wordy; a model
that lost its end of turn runs on in nearly all."""
MORE_EMPTY = 0.05
"""Of replies: one in twenty more without a word, and people meet it in every conversation."""
LENGTHS = (1 / 3, 3.0)
"""Of base's length: a persona may be terse or talkative, and the corpus teaches replies of half the
length of the embedded base's; one-liners and floods are beyond."""


class Criterion(Record):
    """One of them: what was found, with its interval, and why.

    `value` with `low` and `high` is that of the scale or figure that is the furthest from holding:
    a shift towards the target of `moved` (in its measure's unit) and `shown` (on −1 to 1), the gain
    of `own` in nats per token, a difference from or ratio to base of `fluent`; `reason` names it.
    """

    name: Name
    verdict: Verdict | Literal["not asked"]
    value: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Spoken:
    """What an arm said to people's openings; a row an opening, means over draws.

    Attributes:
        positions: Opening × scale, −1 to 1.
        manner: Opening × `repeated` (share of word triples), `ended`, `empty` (shares of replies)
            and `tokens`.
        named: Share of replies in which raters name the persona among sixteen; empty where they
            were not asked to.
    """

    positions: pd.DataFrame
    manner: pd.DataFrame
    named: pd.Series[float]


def not_asked(name: Name, reason: str) -> Criterion:
    """A criterion that was not measured."""
    return Criterion(name=name, verdict="not asked", reason=reason)


def moved(scales: Sequence[ScaleVerdict]) -> Criterion:
    """Every scale is confirmed by a measure of log-probs or self-report, and none contradicted."""
    return _of_scales("moved", scales)


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
    if named:
        share = f"{named.value:.0%} ({named.low:.0%} to {named.high:.0%})"
        told.append(f"named among sixteen in {share} of replies, by chance 6%")
    if lost and found.verdict == "confirmed":
        found = found.model_copy(update={"verdict": "indeterminate"})
    return found.model_copy(update={"reason": "; ".join(filter(None, [found.reason, *told]))})


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
    verdict: Verdict = "indeterminate"
    if found.low > 0 and share.low > chance:
        verdict = "confirmed"
    elif found.high < 0 or share.high < chance:
        verdict = "contradicted"
    told = f"of {rivals.shape[1]} replies it gains the most in {ahead.statistic:.0%} of situations"
    return Criterion(
        name="own",
        verdict=verdict,
        value=found.value,
        low=found.low,
        high=found.high,
        reason=f"{told} ({share.low:.0%} to {share.high:.0%}), by chance {chance:.0%}",
    )


@dataclass(frozen=True, slots=True)
class _Figure:
    """A figure of how it speaks, and the margins that it must stay within; `same` is no change."""

    name: str
    same: float
    value: float
    low: float
    high: float
    least: float
    most: float

    @property
    def verdict(self) -> Verdict:
        if self.least < self.low and self.high < self.most:
            return "confirmed"
        beyond = self.low > self.most or self.high < self.least
        return "contradicted" if beyond else "indeterminate"

    @property
    def room(self) -> float:
        """How much of the way from no change to a margin is left beyond the interval."""
        above = (self.most - self.high) / (self.most - self.same)
        below = (self.low - self.least) / (self.same - self.least)
        return float(np.nanmin([above, below]))  # a margin that is infinite leaves no number

    def __str__(self) -> str:
        ends = [f"{end:.3g}" for end in (self.least, self.most) if np.isfinite(end)]
        shown = f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"
        return f"{self.name} {shown} within {' and '.join(ends)}"


def fluent(before: pd.DataFrame, after: pd.DataFrame) -> Criterion:
    """It speaks as base does, within the margins above: two one-sided tests at 5 %, which are the
    90 % intervals shown (Schuirmann 1987, J. Pharmacokinet. Biopharm. 15:657–680).

    Args:
        before: `Spoken.manner` of base.
        after: The same under the condition, of the same openings.
    """
    figures = list(_figures(before, after))
    if not figures:
        return not_asked("fluent", "fewer than two openings were answered under both")
    order: Sequence[Verdict] = ("contradicted", "indeterminate", "confirmed")
    worst = min(figures, key=lambda f: (order.index(f.verdict), f.room))
    at = {"value": worst.value, "low": worst.low, "high": worst.high}
    return Criterion(
        name="fluent",
        verdict=worst.verdict,
        reason=f"{worst.name} is the least sure; {', '.join(map(str, figures))}",
        **at,
    )


def _figures(before: pd.DataFrame, after: pd.DataFrame) -> Iterator[_Figure]:
    longer = np.log(after["tokens"].clip(lower=1)) - np.log(before["tokens"].clip(lower=1))
    each = (
        ("repeated", after["repeated"] - before["repeated"], -np.inf, MORE_REPEATED),
        ("ended", after["ended"] - before["ended"], -FEWER_ENDED, np.inf),
        ("empty", after["empty"] - before["empty"], -np.inf, MORE_EMPTY),
        ("length", longer, *LENGTHS),
    )
    for name, values, least, most in each:
        if limits := _limits(values):
            value, low, high = np.exp(limits) if name == "length" else limits
            same = float(name == "length")
            yield _Figure(name, same, float(value), float(low), float(high), least, most)


def _limits(values: pd.Series[float]) -> tuple[float, float, float] | None:
    """Mean with its 90 % t interval; without spread, as `mean_over_units` has it."""
    x = values.dropna().to_numpy()
    found = t_mean(x, np.arange(len(x)), confidence=1 - 2 * ALPHA)
    if found.value is not None and found.low is not None and found.high is not None:
        return found.value, found.low, found.high
    equal = mean_over_units(x, np.random.default_rng(0))
    return None if equal is None else (equal.value, equal.low, equal.high)


def word(criteria: Sequence[Criterion]) -> Word:
    """What may be said of a persona: `confirmed` only where all that was asked holds, and it was
    asked whether it moved and whether it shows."""
    at = {c.name: c.verdict for c in criteria}
    claims = [at[name] for name in ("moved", "own", "shown", "holds")]
    if "contradicted" in claims:
        return "contradicted"
    if at["moved"] != "confirmed":
        return "indeterminate"
    if at["shown"] == "indeterminate":
        return "moved, not shown in text"
    if at["shown"] == "confirmed" and at["fluent"] == "contradicted":
        return "shown, but text degraded"
    if not set(at.values()) <= {"confirmed", "not asked"}:
        return "indeterminate"
    return "confirmed" if at["shown"] == "confirmed" else "moved, text not asked"
