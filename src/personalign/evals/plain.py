"""Text scored as it stands, as an Inspect solver: no chat template, no system prompt.

It reads the weights alone, so that an arm that differs from another in its system prompt only
scores the same.
"""

from __future__ import annotations

from inspect_ai.model import ModelOutput, get_model
from inspect_ai.solver import Generate, Solver, TaskState, solver

from personalign.errors import InputError
from personalign.models.provider import PersonalignAPI
from personalign.models.respondent import Candidates

__all__ = ["plain_score", "scored"]


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
