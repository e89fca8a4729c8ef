"""How long an evaluation may take: a few seconds of measuring, and the sizes of its tasks."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Sequence
from typing import Any

import torch
from inspect_ai import Task
from inspect_ai.dataset import Sample
from inspect_ai.model import GenerateConfig, Model
from torch import Tensor
from transformers import DynamicCache

from personalign.evals.run import Asked
from personalign.models.cache import make_room
from personalign.models.engine import BATCH, TOKENS
from personalign.models.local import LocalModel
from personalign.models.sampling import Sampling, SeededGumbel, processors

__all__ = ["seconds_by_task", "spoken"]

CHARACTERS = 4.0  # a token, about, in English
READ = 256  # tokens of the text by which reading is timed
PIECE = 16  # tokens of the text that stands, over and over, before the steps that are timed
LONGEST = 1024  # tokens before a step that is timed, at most: they take seconds to lay out
TIMES = 2  # each is timed so often, and the shorter time taken: the first is slower


def seconds_by_task(
    local: LocalModel,
    models: Sequence[Model],
    tasks: Sequence[Task],
    limit: int | None = None,
    done: Collection[Asked] = (),
) -> dict[str, float]:
    """Seconds by task if every reply runs to its limit, for all arms; a judge's time apart.

    A guess and no bound: batches are taken as full and texts as of their mean length, and the
    base is timed without adapters; replies that end early take less. Tasks that set no longest
    reply are scored, not drawn.

    Args:
        local: The base in memory.
        models: Who is asked; a system prompt stands in their arguments.
        tasks: What is asked.
        limit: First samples of each task; all where None.
        done: What is not asked again; see `run.done`.
    """
    read = _reading(local)
    found = {}
    for task in tasks:
        sizes = [
            _tokens(model, sample, task.config.max_tokens is None)
            for model in models
            for sample in list(task.dataset)[:limit]
            if (task.name, str(model), str(sample.id)) not in done
        ]
        found[task.name] = sum(sizes) * read + _writing(local, sizes, task.config)
    return found


def _tokens(model: Model, sample: Sample, scored: bool) -> float:
    """About how many tokens are read: the prompt, and the answers where they are scored.

    Plain text, whose sample names a `context`, has no system prompt, and may be its own answer.
    """
    system = "" if "context" in (sample.metadata or {}) else model.model_args.get("system") or ""
    texts = {_text(sample), *((sample.choices or ()) if scored else ())}
    return (len(system) + sum(map(len, texts))) / CHARACTERS


def _text(sample: Sample) -> str:
    if isinstance(sample.input, str):
        return sample.input
    return "".join(message.text for message in sample.input)


def _writing(local: LocalModel, sizes: Sequence[float], config: GenerateConfig) -> float:
    """Seconds of replies to prompts of these sizes, in batches as large as the engine's."""
    if not sizes or not config.max_tokens:
        return 0.0
    prompt, reply = math.ceil(sum(sizes) / len(sizes)), config.max_tokens
    rows = max(1, min(BATCH, TOKENS // (prompt + reply)))
    steps = math.ceil(len(sizes) / rows) * reply
    return steps * _step(local, rows, prompt + reply // 2, config)


def _reading(local: LocalModel) -> float:
    """Seconds that a token of a text takes."""
    return min(_timed(local, _cache(local), 1, READ) for _ in range(TIMES)) / READ


@torch.inference_mode()
def _step(local: LocalModel, rows: int, context: int, config: GenerateConfig) -> float:
    """Seconds of a step of so many replies, with so many tokens before each.

    What stands before them is a short text, over and over: time goes by its length alone.
    """
    piece, whole = _cache(local), _cache(local)
    make_room(whole)
    _timed(local, piece, 1, PIECE)
    times = math.ceil(min(context, LONGEST) / PIECE)
    for k, layer in enumerate(piece.layers):
        keys, values = (x.repeat(1, 1, times, 1) for x in (layer.keys, layer.values))
        whole.update(keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1), k)
    chosen = processors(_sampling(config), SeededGumbel(range(rows)))
    return min(_timed(local, whole, rows, 1, chosen) for _ in range(TIMES))


def _cache(local: LocalModel) -> Any:
    return DynamicCache(config=local.model.config.get_text_config())


def _sampling(config: GenerateConfig) -> Sampling:
    top_p = 1.0 if config.top_p is None else config.top_p
    return Sampling(temperature=config.temperature or 0.0, top_p=top_p, top_k=config.top_k or 0)


@torch.inference_mode()
def _timed(local: LocalModel, cache: Any, rows: int, tokens: int, chosen: Any = None) -> float:
    """Seconds of reading so many tokens in so many rows, and of choosing the next."""
    began = time.perf_counter()
    texts = torch.full((rows, tokens), local.tokenizer.eos_token_id or 0, device=local.device)
    with local.use(None):
        scores: Tensor = local.model(texts, cache=cache, use_cache=True).logits[:, -1].float()
    (chosen(texts, scores) if chosen else scores).argmax(-1).tolist()  # waits for a GPU
    return time.perf_counter() - began


def spoken(seconds: float) -> str:
    """A duration for people: `40 s`, `12 min`, `1 h 20 min`."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
