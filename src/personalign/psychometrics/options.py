"""How likely is each of a few short answers? Read from the model, so that nothing is parsed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from personalign.models.respondent import Candidates, Respondent
from personalign.progress import Progress, silent
from personalign.records import Message

__all__ = ["option_log_probs"]


def option_log_probs(
    who: Respondent,
    questions: Sequence[str],
    options: Sequence[str],
    progress: Progress = silent,
) -> Iterator[NDArray[np.float64]]:
    """For each question, the log-prob in nats that a reply begins with each option: (options,).

    Their probabilities need not sum to 1: the rest is what the model would rather write. Every
    question is asked by itself; what questions begin with alike is computed once.
    """
    asked = [Candidates([Message(role="user", content=q)], options, False) for q in questions]
    for branches in who.score(asked, progress):
        yield np.array([float(log_probs.double().sum()) for log_probs in branches])
