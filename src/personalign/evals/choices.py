"""Choosing between answers by log-prob, as an Inspect solver: no letter has to be written."""

from __future__ import annotations

from inspect_ai.model import GenerateConfig, get_model
from inspect_ai.solver import Generate, Solver, TaskState, solver

from personalign.errors import InputError
from personalign.models.provider import CHOICES, PersonalignAPI

__all__ = ["chosen", "tree_choice"]


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
