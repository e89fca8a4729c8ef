"""Does it still speak as well as base? Equivalence within margins, by two one-sided tests at 5 %
(Schuirmann 1987, J. Pharmacokinet. Biopharm. 15:657–680), which are the 90 % intervals shown.

The margin of lengths was set after four trainings had been looked at (docs/log.md); those of greedy
repetition, other languages, surprise, fit and form before any figure of theirs was.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from personalign.psychometrics.criterion import (
    Criterion,
    Figure,
    Spoken,
    least_sure,
    limits,
    not_asked,
)
from personalign.psychometrics.intervals import ALPHA

__all__ = ["FIGURES", "fluent"]


@dataclass(frozen=True, slots=True)
class Margin:
    """How a figure is compared with base, how far it may be from it, and why so far.

    Attributes:
        by: Difference; ratio of what is positive (geometric); ratio of means that may be near zero.
        why: Where the margin comes from.
    """

    by: Literal["difference", "ratio", "share"]
    least: float | None
    most: float | None
    why: str


FIGURES = {
    "repeated": Margin(
        "difference", None, 0.05,
        "of word triples in drawn replies: a sentence more that comes again in a page",
    ),
    "looped": Margin(
        "difference", None, 0.10,
        "of word triples in greedy replies: twice that of drawn ones, since small bases loop when "
        "they are greedy",
    ),
    "ended": Margin(
        "difference", -0.15, None,
        "of replies that end by themselves: a persona may be wordy, but what lost its end of turn "
        "runs on in nearly all",
    ),
    "empty": Margin(
        "difference", None, 0.05,
        "of replies: one in twenty without a word is met in every conversation",
    ),
    "foreign": Margin(
        "difference", None, 0.10,
        "of replies in another language than they were asked in: twice that of empty ones, since "
        "the rule goes by function words and takes bare lists for it",
    ),
    "length": Margin(
        "ratio", 1 / 3, 3.0,
        "of base's: a persona may be terse or talkative, and the corpus teaches replies of half "
        "the length of the embedded base's; one-liners and floods are beyond",
    ),
    "surprise": Margin(
        "difference", None, 3.0,
        "nats a token under base: people's prose has 3.6 under the embedded base and the corpus "
        "4.5 against .7 of its own replies, so that three more is still what people write, and "
        "word salad is not",
    ),
    "fit": Margin(
        "share", 0.5, None,
        "of what ties base's replies to their own prompts rather than to others: half is lost",
    ),
    "form": Margin(
        "share", 0.5, None,
        "of the replies in which base keeps the form that was asked for: half is lost",
    ),
}  # fmt: skip
"""What is compared, in order; `form` is of prompts that ask for one (`holds`), all others of
openings as they are."""


def fluent(openings: tuple[Spoken, Spoken], forms: tuple[Spoken, Spoken] | None) -> Criterion:
    """It speaks as base does in every figure; where one was not measured and none fails, it was not
    asked whole.

    Args:
        openings: What base and condition said to the same openings.
        forms: What they said where forms were asked for.
    """
    found = dict(_figures(openings, forms))
    figures = [figure for figure in found.values() if figure]
    if not figures:
        return not_asked("fluent", "fewer than two openings were answered under both")
    worst = least_sure(figures)
    lacking = [name for name in FIGURES if name not in found]
    verdict = "not asked" if lacking and worst.verdict == "confirmed" else worst.verdict
    told = [f"{worst.name} is the least sure", *(f"{name} not asked" for name in lacking)]
    at = {"value": worst.value, "low": worst.low, "high": worst.high}
    return Criterion(
        name="fluent", verdict=verdict, reason="; ".join(told), figures=tuple(figures), **at
    )


def _figures(
    openings: tuple[Spoken, Spoken], forms: tuple[Spoken, Spoken] | None
) -> Iterator[tuple[str, Figure | None]]:
    """Name and figure; without one where base has nothing to lose; no entry where not measured."""
    for name, margin in FIGURES.items():
        asked = forms if name == "form" else openings
        if asked is None or any(name not in spoken.manner for spoken in asked):
            continue
        before, after = (spoken.manner[name] for spoken in asked)
        both = pd.DataFrame({"before": before, "after": after}).dropna()
        if isinstance(both.index, pd.MultiIndex):  # an opening in several forms is one unit
            both = both.groupby(level=1).mean()
        if len(both) < 2:
            continue
        if margin.by == "share" and not both["before"].any():
            yield name, None
        elif limits_ := _compared(both, margin.by):
            yield name, Figure.within(name, limits_, margin.least, margin.most)


def _compared(both: pd.DataFrame, by: str) -> tuple[float, float, float] | None:
    if by == "share":
        return ratio(both["before"], both["after"])
    if by == "difference":
        return limits(both["after"] - both["before"])
    found = limits(np.log(both["after"].clip(lower=1)) - np.log(both["before"].clip(lower=1)))
    if found is None:
        return None
    value, low, high = (float(np.exp(x)) for x in found)
    return value, low, high


def ratio(before: pd.Series[float], after: pd.Series[float]) -> tuple[float, float, float] | None:
    """Mean of `after` by that of `before`, paired, with its 90 % interval (Fieller 1954, J. R.
    Stat. Soc. B 16:175–185); None where that of `before` is not shown to be above zero."""
    n = len(before)
    edge = float(stats.t.isf(ALPHA, n - 1)) ** 2 / n
    (s_bb, s_ab), (_, s_aa) = np.cov(before, after)
    b, a = float(before.mean()), float(after.mean())
    square, middle, free = b * b - edge * s_bb, a * b - edge * s_ab, a * a - edge * s_aa
    if square <= 0 or b <= 0:
        return None
    half = float(np.sqrt(max(0.0, middle**2 - square * free)))
    return a / b, (middle - half) / square, (middle + half) / square
