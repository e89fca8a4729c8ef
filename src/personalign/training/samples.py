"""What the model under training says, now and then, and how far that is from its base."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from torch import Tensor

from personalign.models.local import LocalModel, Sampling
from personalign.models.trees import Tree, score_trees
from personalign.records import Message
from personalign.training import devices
from personalign.training.config import Health
from personalign.training.health import Samples, repetition

__all__ = ["sampler"]


def sampler(
    local: LocalModel,
    model: Any,
    prompts: Sequence[Sequence[Message]],
    health: Health,
    seed: int,
) -> Samples | None:
    """How text is looked at: one drawn reply a prompt, the same seeds every time.

    Args:
        local: The base; its tokenizer is used, and its weights where `model` has no adapter.
        model: What is trained.
        prompts: The first `health.samples` of them are asked.

    Returns:
        None where nothing is asked, or where the weights are shared out among processes: replies
        are drawn layer by layer, past the wrapper that brings them together.
    """
    asked = list(prompts)[: health.samples]
    if not asked or devices.splits_weights():
        return None
    sampling = Sampling(max_new_tokens=health.sample_tokens, temperature=1.0)
    seeds = [seed + k for k in range(len(asked))]
    trained = LocalModel(model, local.tokenizer, local.identity, thinking=local.thinking)

    def without_adapter() -> tuple[Any, AbstractContextManager[Any]]:
        if hasattr(model, "disable_adapter"):
            return model, model.disable_adapter()
        return local.model, nullcontext()

    def draw() -> tuple[float, float]:
        was_training = model.training
        model.eval()
        try:
            replies = trained.generate(asked, [None] * len(asked), sampling, seeds)
            trees = [
                Tree(local.chat.prompt(p), (r.ids,))
                for p, r in zip(asked, replies, strict=True)
                if r.text
            ]
            now = score_trees(model, trees)
            base, context = without_adapter()
            with context:
                before = score_trees(base, trees)
        finally:
            model.train(was_training)
        repeated = sum(repetition(r.text) for r in replies) / len(replies)
        return repeated, _mean_difference(now, before)

    return Samples(draw)


def _mean_difference(now: list[list[Tensor]], before: list[list[Tensor]]) -> float:
    """Mean of log π − log π_ref over tokens that π drew: its divergence from the base, nats."""
    difference = [(a - b) for (a,), (b,) in zip(now, before, strict=True)]
    tokens = sum(d.numel() for d in difference)
    return float(sum(d.sum() for d in difference)) / tokens if tokens else 0.0
