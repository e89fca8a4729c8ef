"""How long replies are and how many stop at their limit: what a judge may take for something else.

A safety judge that sees more text finds more in it, and an answer that was cut cannot be read: arms
are compared with their lengths beside them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from personalign.analysis.context import Context, stream
from personalign.analysis.estimates import FEW_CLUSTERS, bootstrap, proportion
from personalign.analysis.results import Estimate, Length

__all__ = ["lengths"]


def lengths(context: Context, confidence: float = 0.95, seed: int = 0) -> Iterator[Length]:
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
                tokens=_mean(tokens, confidence, stream(seed, "lengths", task)),
                cut=proportion(cut, confidence=confidence),
            )


def _mean(tokens: NDArray[np.float64], confidence: float, rng: np.random.Generator) -> Estimate:
    """Mean length with an interval that, as every resample, stays within what can be written.

    Below `FEW_CLUSTERS` replies there are too few resamples, and a t interval knows no limits:
    there is none.
    """
    found = bootstrap(tokens, np.arange(len(tokens)), rng, confidence=confidence)
    if len(tokens) >= FEW_CLUSTERS:
        return found
    reason = f"{len(tokens)} replies: an interval needs {FEW_CLUSTERS}"
    return found.model_copy(update={"low": None, "high": None, "reason": reason})
