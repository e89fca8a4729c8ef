"""Greedy decoding of a batch from which rows leave when they end.

transformers' own loop computes ended rows until the last one ends, and replies differ widely in
length. This one is given to its `generate` as `custom_generate`, after the library has prepared
settings, cache, processors and stopping criteria. Drawing with a temperature happens in the
processors (see `sampling`), so that greedy is all there is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from personalign.models.cache import make_room

__all__ = ["decode"]

ENDED = 8  # rows leave when one in so many has ended: leaving copies the cache of those that stay


@torch.inference_mode()
def decode(
    model: Any,
    input_ids: Tensor,
    logits_processor: Any,
    stopping_criteria: Any,
    generation_config: Any,
    keep: Callable[[Tensor], None],
    **model_kwargs: Any,
) -> Tensor:
    """Prompts and replies, [R, P + N], replies padded on the right to the longest.

    Args:
        model: A decoder with a language-modelling head.
        input_ids: Prompts, [R, P], padded on the left.
        logits_processor: From texts so far and scores [R, V] to scores, of which the largest wins.
        stopping_criteria: From replies so far to whether each row has ended.
        generation_config: transformers' own, prepared.
        keep: Called with the indices of the rows that stay when others leave, for what else has
            a state for each row.
        model_kwargs: What goes to the model too: `cache`, empty, and `attention_mask`, [R, P], 0
            where a prompt is padded, or None.
    """
    cache, seen = model_kwargs.pop("cache"), model_kwargs["attention_mask"]
    seen = torch.ones_like(input_ids) if seen is None else seen
    make_room(cache)
    pad = generation_config._pad_token_tensor
    rows = torch.arange(len(input_ids), device=input_ids.device)
    replies = pad.repeat(len(rows), generation_config.max_length - input_ids.shape[1])
    ended = torch.zeros_like(rows, dtype=torch.bool)
    texts = fresh = input_ids
    places = (seen.cumsum(-1) - 1).clamp(min=0)
    for step in range(replies.shape[1]):
        model_kwargs |= {"attention_mask": seen, "position_ids": places}
        logits = model(fresh, cache=cache, **model_kwargs).logits[:, -1]
        scores = logits_processor(texts, logits.to(dtype=torch.float32, copy=True))
        fresh = torch.where(ended, pad, scores.argmax(-1))[:, None]
        replies[rows, step] = fresh[:, 0]
        texts = torch.cat([texts, fresh], dim=1)
        seen = torch.cat([seen, seen.new_ones(len(seen), 1)], dim=1)
        places = places[:, -1:] + 1
        ended = ended | stopping_criteria(texts[:, input_ids.shape[1] :], None)
        if ended.all():
            return torch.cat([input_ids, replies[:, : step + 1]], dim=1)
        if ended.sum() * ENDED >= len(ended):
            stay = (~ended).nonzero()[:, 0]
            rows, ended, texts, seen = rows[stay], ended[stay], texts[stay], seen[stay]
            fresh, places = fresh[stay], places[stay]
            cache.batch_select_indices(stay)
            keep(stay)
    return torch.cat([input_ids, replies], dim=1)
