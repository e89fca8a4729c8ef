"""Inspect solvers that score instead of writing: the likeliest of several answers, and text as it
stands.

`plain_score` knows no chat template and no system prompt: it reads the weights alone, so that an
arm that differs from another in its system prompt only scores the same.
"""

from __future__ import annotations

from inspect_ai.model import GenerateConfig, ModelOutput, get_model
from inspect_ai.solver import Generate, Solver, TaskState, solver

from personalign.errors import InputError
from personalign.models.provider import CHOICES, PersonalignAPI
from personalign.models.respondent import Candidates

__all__ = ["chosen", "plain_score", "scored", "tree_choice"]


@solver
def tree_choice() -> Solver:
    """Ask for the likeliest of the sample's `choices`, scored as one prompt tree."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        model = get_model()
        if not isinstance(model.api, PersonalignAPI):
            raise InputError(
                f"{model} gives no log-probs of whole answers",
                "use a model `personalign/...`, or a task that generates",
            )
        answers = [choice.value for choice in state.choices]
        config = GenerateConfig(extra_body={CHOICES: answers})
        state.output = await model.generate(state.messages, config=config)
        state.messages.append(state.output.message)
        return state

    return solve


def chosen(state: TaskState) -> int:
    """The index of the answer that `tree_choice` found likeliest."""
    return int((state.output.metadata or {})["choice"])


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
        texts = [choice.value for choice in state.choices]
        sums, counts = await api.rate(Candidates(state.metadata["context"], texts))
        found = {"log_probs": sums, "tokens": counts}
        state.output = ModelOutput(model=api.model_name, completion="", metadata=found)
        return state

    return solve


def scored(state: TaskState) -> tuple[list[float], list[int]]:
    """Summed log-probs in nats, and numbers of tokens, of the sample's choices."""
    found = state.output.metadata or {}
    return found["log_probs"], found["tokens"]
