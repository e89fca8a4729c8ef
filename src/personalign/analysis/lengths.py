"""How long replies are and how many stop at their limit: what a judge may take for something else.

A safety judge that sees more text finds more in it, and an answer that was cut cannot be read: arms
are compared with their lengths beside them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from personalign.analysis.context import Context
from personalign.analysis.estimates import proportion, t_mean
from personalign.analysis.results import Length

__all__ = ["lengths"]


def lengths(context: Context, confidence: float = 0.95) -> Iterator[Length]:
    """Mean tokens and the share cut of every arm of every task that has replies.

    Replies are the units: intervals say how well the mean over such prompts is known.
    """
    for task, arms in context.lengths.items():
        if not any(n for replies in arms.values() for n, _ in replies.values()):
            continue  # a choice among answers that are given: nobody wrote
        for arm, replies in arms.items():
            tokens, cut = np.array(list(replies.values()), dtype=float).T
            yield Length(
                task=task,
                arm=arm,
                tokens=t_mean(tokens, np.arange(len(tokens)), confidence=confidence),
                cut=proportion(cut, confidence=confidence),
            )
