"""How likely is each of a few short answers? Read from the model, so that nothing is parsed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from personalign.models.chat import opening_tree, with_system
from personalign.models.local import LocalModel
from personalign.records import Message

__all__ = ["option_log_probs"]


def option_log_probs(
    local: LocalModel,
    questions: Sequence[str],
    options: Sequence[str],
    system: str | None,
    adapter: str | None,
    progress: Callable[[int], None] = lambda done: None,
) -> Iterator[NDArray[np.float64]]:
    """For each question, the log-prob in nats that a reply begins with each option: (options,).

    Their probabilities need not sum to 1: the rest is what the model would rather write. Every
    question is asked by itself; what questions begin with alike is computed once.
    """
    prompts = [with_system([Message(role="user", content=q)], system) for q in questions]
    trees = [opening_tree(local.tokenizer, prompt, options) for prompt in prompts]
    for branches in local.score(trees, adapter, progress):
        yield np.array([float(log_probs.double().sum()) for log_probs in branches])
