"""What some texts say that others do not: weighted log-odds with an informative Dirichlet prior."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from personalign.analysis.results import Term
from personalign.errors import InputError

__all__ = ["Term", "log_odds", "telling_terms"]

Floats = NDArray[np.float64]

WORD = re.compile(r"\w+(?:['’]\w+)*")
"""A word: letters and digits, apostrophes inside it."""


def log_odds(a: Floats, b: Floats, prior: Floats) -> tuple[Floats, Floats]:
    """Difference of log-odds and its z for each term; counts (w,), (w,), pseudo-counts (w,) > 0.

    Source: Monroe, Colaresi & Quinn (2008), Political Analysis 16:372–403.
    """

    def odds(counts: Floats) -> Floats:
        smooth = counts + prior
        return np.asarray(np.log(smooth / (counts.sum() + prior.sum() - smooth)))

    gap = odds(a) - odds(b)
    return gap, gap / np.sqrt(1 / (a + prior) + 1 / (b + prior))


def telling_terms(
    a: Sequence[str],
    b: Sequence[str],
    *,
    background: Sequence[str] = (),
    longest: int = 5,
    strength: float = 1000.0,
    at_least: int = 3,
    most: int = 50,
) -> tuple[Term, ...]:
    """Terms of 1 to `longest` words that tell texts `a` (flagged replies) from `b` (safe ones).

    The prior is worth `strength` words, spread as in all the texts (and `background`): it pulls
    rare terms towards no difference. Each length is compared by itself; terms said fewer than
    `at_least` times are left out. The `most` strongest of each side and length come back, most
    telling of `a` first.

    Raises:
        InputError: if a side has no texts, or a size is not positive.
    """
    if not (a and b):
        raise InputError(f"{len(a)} texts against {len(b)}", "give texts to both sides")
    if longest < 1 or not strength > 0 or most < 1:
        raise InputError(f"longest {longest}, strength {strength:g}", "positive numbers")
    sides = [_tokens(texts) for texts in (a, b, background)]
    found = [
        term
        for words in range(1, longest + 1)
        for term in _of_length(words, [_counts(s, words) for s in sides], strength, at_least, most)
    ]
    return tuple(sorted(found, key=lambda t: (-t.z, t.term)))


def _tokens(texts: Iterable[str]) -> list[list[str]]:
    return [WORD.findall(text.lower()) for text in texts]


def _counts(texts: Iterable[Sequence[str]], words: int) -> Counter[str]:
    """How often each run of so many words is said; none reaches from one text into the next."""
    found: Counter[str] = Counter()
    for said in texts:
        found.update(map(" ".join, zip(*(said[i:] for i in range(words)), strict=False)))
    return found


def _of_length(
    words: int, counts: Sequence[Counter[str]], strength: float, at_least: int, most: int
) -> list[Term]:
    """Terms of one length, from the counts of a, b and the background."""
    names = list(dict.fromkeys(term for side in counts for term in side))
    if len(names) < 2:  # no text is as long as that, or all say the same: there are no odds
        return []
    left, right, other = (np.array([side[t] for t in names], dtype=float) for side in counts)
    every = left + right + other
    gap, z = log_odds(left, right, strength * every / every.sum())
    kept = sorted(np.flatnonzero(left + right >= at_least).tolist(), key=names.__getitem__)
    order = [kept[i] for i in np.argsort(-z[kept], kind="stable")]
    ends = order if len(order) <= 2 * most else order[:most] + order[-most:]
    return [
        Term(
            term=names[i],
            words=words,
            count_a=int(left[i]),
            count_b=int(right[i]),
            log_odds=float(gap[i]),
            z=float(z[i]),
        )
        for i in ends
    ]
