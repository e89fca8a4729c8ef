"""Text scored as it stands, as an Inspect solver: no chat template, no system prompt.

It reads the weights alone, so that an arm that differs from another in its system prompt only
scores the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from inspect_ai.model import ModelOutput, get_model
from inspect_ai.solver import Generate, Solver, TaskState, solver

from personalign.errors import InputError
from personalign.models.engine import Rate
from personalign.models.provider import PersonalignAPI
from personalign.models.trees import Tree

__all__ = ["plain_score", "scored", "text_tree"]


def text_tree(tokenizer: Any, context: str, continuations: Sequence[str], longest: int) -> Tree:
    """A text and what may follow it, as lm-eval encodes them, in at most `longest` tokens.

    White space at the end of the context goes to the continuations. An empty context is the
    tokenizer's first token (or its last, where it has no first). What is too long loses tokens
    at its end where there is no context, and of its context's beginning where there is one.
    """
    head: list[int] = tokenizer(context.rstrip())["input_ids"]
    whole = [tokenizer(context + c)["input_ids"] for c in continuations]
    branches = [tuple(w[len(head) :]) for w in whole]
    if not head:
        first = tokenizer.bos_token_id
        head = [tokenizer.eos_token_id if first is None else first]
    room = longest - max(map(len, branches))
    if not context:
        return Tree(tuple(head), tuple(b[: longest - len(head)] for b in branches))
    return Tree(tuple(head[-max(1, room) :]), tuple(branches))


@solver
def plain_score() -> Solver:
    """Score the sample's `choices` as continuations of its input."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        api = get_model().api
        if not isinstance(api, PersonalignAPI):
            raise InputError(
                f"{api.model_name} gives no log-probs of a text",
                "use a model `personalign/...`",
            )
        local = api.engine.local
        longest = local.model.config.get_text_config().max_position_embeddings
        texts = [choice.value for choice in state.choices]
        tree = text_tree(local.tokenizer, state.metadata["context"], texts, longest)
        found = await api.engine.rate(Rate(tree, api.adapter))
        sums = {"log_probs": [float(s.sum()) for s in found], "tokens": [len(s) for s in found]}
        state.output = ModelOutput(model=api.model_name, completion="", metadata=sums)
        return state

    return solve


def scored(state: TaskState) -> tuple[list[float], list[int]]:
    """Summed log-probs in nats, and numbers of tokens, of the sample's choices."""
    found = state.output.metadata or {}
    return found["log_probs"], found["tokens"]
