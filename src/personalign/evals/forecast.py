"""How long an evaluation may take: a few seconds of measuring, and the sizes of its tasks."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from inspect_ai import Task
from inspect_ai.dataset import Sample

from personalign.models.engine import BATCH
from personalign.models.local import LocalModel, Sampling

__all__ = ["seconds_by_task", "spoken"]

PROMPT, STEPS = 4, 4  # tokens a row that are read and written to see how fast the model is
CHARACTERS = 4.0  # a token, about, in English


def seconds_by_task(
    local: LocalModel, tasks: Sequence[Task], arms: int, limit: int | None = None
) -> dict[str, float]:
    """Seconds by task if every reply runs to its limit, for all arms; a judge's time apart.

    A guess and no bound. It is made from full batches of short texts: attention over long ones
    takes longer (EQ-Bench's dialogues by half), replies that end early take less. Tasks that set
    no longest reply are scored, not drawn.
    """
    read, step = _speed(local)
    found = {}
    for task in tasks:
        samples = list(task.dataset)[:limit]
        said = sum(map(_characters, samples))
        longest = task.config.max_tokens
        if longest is None:
            said += sum(len(choice) for s in samples for choice in s.choices or ())
        steps = math.ceil(len(samples) / BATCH) * (longest or 0)
        found[task.name] = arms * (said / CHARACTERS * read + steps * step)
    return found


def _characters(sample: Sample) -> int:
    if isinstance(sample.input, str):
        return len(sample.input)
    return sum(len(message.text) for message in sample.input)


def _speed(local: LocalModel) -> tuple[float, float]:
    """Seconds that a token of a prompt takes, and a step of a full batch."""
    prompts = [tuple(range(10 + k, 10 + k + PROMPT)) for k in range(BATCH)]

    def seconds(steps: int) -> float:
        began = time.perf_counter()
        local.draw(prompts, [None] * BATCH, Sampling(steps), [0] * BATCH)
        return time.perf_counter() - began

    seconds(1)
    once = seconds(1)
    more = seconds(1 + STEPS)
    return once / (BATCH * PROMPT), max(more - once, 0.0) / STEPS


def spoken(seconds: float) -> str:
    """A duration for people: `40 s`, `12 min`, `1 h 20 min`."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
