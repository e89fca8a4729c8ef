"""Seeded sampling in a batch: each request draws from its own generator.

Adding Gumbel noise to logits and taking the largest draws from their softmax (the Gumbel-max
trick; Maddison, Tarlow & Minka 2014, "A* Sampling", section 2), so that greedy decoding of the
processed scores is sampling, and one seed per row makes a draw independent of its neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList, TemperatureLogitsWarper
from transformers.generation import TopKLogitsWarper, TopPLogitsWarper

__all__ = ["Nucleus", "Sampling", "SeededGumbel", "processors"]

LIKELIEST = 256


@dataclass(frozen=True, slots=True)
class Sampling:
    """How replies are drawn. Temperature 0 is greedy; `top_p` in (0, 1]; counts in tokens.

    `top_k` 0 keeps all tokens; a reply ends before the first of the texts in `stop`.
    """

    max_new_tokens: int = 64
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    stop: tuple[str, ...] = ()


class Nucleus(LogitsProcessor):
    """Leaves the fewest likeliest tokens that together have a share `p` (Holtzman et al. 2020, The
    Curious Case of Neural Text Degeneration, arXiv 1904.09751, section 3.1).

    As transformers' warper does, whose sorting of the vocabulary costs as much as the model here:
    only the `LIKELIEST` tokens are sorted, and all where these are not enough.
    """

    def __init__(self, p: float) -> None:
        self.p, self.whole = p, TopPLogitsWarper(p)

    def __call__(self, input_ids: Any, scores: Any) -> Tensor:
        """Scores [B, V] with −∞ outside the nucleus."""
        top, places = scores.topk(min(LIKELIEST, scores.shape[1]))
        shares = (top - scores.logsumexp(-1, keepdim=True)).exp()
        before = shares.cumsum(-1) - shares
        if (before + shares)[:, -1].min() < self.p:
            every: Tensor = self.whole(input_ids, scores)
            return every
        kept = top.masked_fill(before >= self.p, -torch.inf)
        return torch.full_like(scores, -torch.inf).scatter_(1, places, kept)


class SeededGumbel(LogitsProcessor):
    """Adds Gumbel(0, 1) noise to scores [B, V], row b from a generator seeded with `seeds[b]`."""

    def __init__(self, seeds: Sequence[int]) -> None:
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: Any, scores: Any) -> Tensor:
        """Scores with noise, same shape."""
        size = scores.shape[1]
        noise = torch.stack([torch.rand(size, generator=g) for g in self.generators])
        gumbel = -torch.log(-torch.log(noise.clamp_(1e-12, 1 - 1e-7)))
        noisy: Tensor = scores.float() + gumbel.to(scores.device)
        return noisy

    def keep(self, rows: Tensor) -> None:
        """Only these rows are drawn from now on."""
        self.generators = [self.generators[row] for row in rows.tolist()]


def processors(sampling: Sampling, noise: SeededGumbel) -> LogitsProcessorList:
    """Processors under which greedy decoding draws, each row with its own noise."""
    if sampling.temperature == 0:
        return LogitsProcessorList()
    steps: list[Any] = [TemperatureLogitsWarper(sampling.temperature)]
    if sampling.top_k:
        steps.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        steps.append(Nucleus(sampling.top_p))
    return LogitsProcessorList([*steps, noise])
