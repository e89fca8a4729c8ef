"""Every task by name, for Inspect, study files and `evals.run`."""

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

__all__ = ["TASKS"]

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
