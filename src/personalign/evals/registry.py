"""What Inspect finds under `personalign`: the model providers and every task.

Named in `pyproject.toml` as an entry point, so that `inspect eval personalign/social --model
personalign/embedded` works wherever the package is installed.
"""

from __future__ import annotations

from collections.abc import Callable

from inspect_ai import Task

from personalign.evals.aggression import aggression
from personalign.evals.emotion_bench import emotion_bench
from personalign.evals.emotional import eq_bench
from personalign.evals.refusal import over_refusal, under_refusal
from personalign.evals.retention import capability, perplexity
from personalign.evals.safety import safety
from personalign.evals.social_tasks import social, social_generate
from personalign.models.provider import personalign
from personalign.models.served import personalign_vllm

__all__ = ["TASKS", "personalign", "personalign_vllm"]

TASKS: dict[str, Callable[..., Task]] = {
    "aggression": aggression,
    "capability": capability,
    "emotion_bench": emotion_bench,
    "eq_bench": eq_bench,
    "over_refusal": over_refusal,
    "perplexity": perplexity,
    "safety": safety,
    "social": social,
    "social_generate": social_generate,
    "under_refusal": under_refusal,
}
"""Tasks by the name that `inspect eval personalign/<name>` and a study file use."""
