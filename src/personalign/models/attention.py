"""Attention over a packed prompt tree, without paying for the blocks that the mask would hide.

Registered with transformers under the name `prompt_tree` and installed in a model once: where no
tree is laid out it is transformers' own `sdpa`. The layout comes with each layer's call, so that a
layer that is computed again in the backward pass (gradient checkpointing) sees it too.

All tokens of all trees lie in one flat row without padding; only here are they gathered into
*segments* (the trunk, a prompt, or one branch), each of which attends to its own tokens and to
what it hangs on. The cost is B·T·(P + T) instead of the (P + B·T)² of a dense block mask. What all
trees begin with, such as a persona's system prompt, is the trunk, once in the row, or a key-value
cache: `prefix` keys that every segment sees.

Shape legend: S segments, T padded segment length, P padded length of what a segment hangs on
(cached prefix, trunk and prompt), K = P + T keys, N tokens in the row, H query heads, G key/value
heads, D head size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from personalign.errors import ModelError

__all__ = ["NAME", "TreeLayout", "install", "laid_out"]

NAME = "prompt_tree"

Hanging = tuple[range, tuple[range, ...]]
"""A segment's row indices, and those of what it hangs on, from the root."""


@dataclass(frozen=True, slots=True)
class Segments:
    """Segments of one kind (the trunk, all prompts, or all branches).

    `tokens` [S, T] are indices into the row's queries and `keys` [S, K] into its keys, 0 where
    padded; `mask` [S, 1, T, K] is bool, true where a query may see a key.
    """

    tokens: Tensor
    keys: Tensor
    mask: Tensor


@dataclass(frozen=True, slots=True)
class TreeLayout:
    """Where the segments of a flat row are, and how to undo the gathering ([N] into S·T).

    `kinds` are the trunk where there is one, the prompts and, where a completion has tokens to
    compute, the branches.
    """

    kinds: tuple[Segments, ...]
    restore: Tensor

    def to(self, device: torch.device | str) -> TreeLayout:
        """The same layout on another device."""

        def moved(s: Segments) -> Segments:
            return Segments(s.tokens.to(device), s.keys.to(device), s.mask.to(device))

        return TreeLayout(tuple(map(moved, self.kinds)), self.restore.to(device))

    @classmethod
    def build(
        cls,
        spans: Sequence[tuple[range, Sequence[range]]],
        prefix: int = 0,
        trunk: range = range(0),
    ) -> TreeLayout:
        """From the row indices of each tree's prompt and branches, those of the trunk, and the
        cached key count."""
        root: list[Hanging] = [(trunk, ())] if trunk else []
        prompts: list[Hanging] = [(prompt, (trunk,)) for prompt, _ in spans]
        branches: list[Hanging] = [(b, (trunk, prompt)) for prompt, below in spans for b in below]
        groups = [group for group in (root, prompts, branches) if group]
        kinds = tuple(_segments([o for o, _ in g], [a for _, a in g], prefix) for g in groups)
        restore = torch.zeros(sum(len(o) for g in groups for o, _ in g), dtype=torch.long)
        offset = 0
        for part, group in zip(kinds, groups, strict=True):
            width = part.tokens.shape[1]
            for s, (own, _) in enumerate(group):
                restore[own.start : own.stop] = torch.arange(len(own)) + offset + s * width
            offset += len(group) * width
        return cls(kinds, restore)


def _segments(own: Sequence[range], above: Sequence[tuple[range, ...]], prefix: int) -> Segments:
    width = max(map(len, own))
    parents = [[i for span in spans for i in span] for spans in above]
    depth = prefix + max(map(len, parents))
    tokens = torch.zeros(len(own), width, dtype=torch.long)
    keys = torch.zeros(len(own), depth + width, dtype=torch.long)
    mask = torch.zeros(len(own), 1, width, depth + width, dtype=torch.bool)
    keys[:, :prefix] = torch.arange(prefix)
    mask[..., depth:] = torch.ones(width, width, dtype=torch.bool).tril()
    for s, (span, parent) in enumerate(zip(own, parents, strict=True)):
        seen = prefix + len(parent)
        tokens[s, : len(span)] = torch.arange(span.start, span.stop)
        keys[s, prefix:seen] = torch.tensor(parent, dtype=torch.long) + prefix
        keys[s, depth : depth + len(span)] = tokens[s, : len(span)] + prefix
        mask[s, ..., :seen] = True  # right padding is hidden from real queries by causality
    return Segments(tokens, keys, mask)


def tree_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    tree_layout: TreeLayout | None = None,
    **other: Any,
) -> tuple[Tensor, None]:
    """transformers' attention interface: queries [1, H, N, D] and keys [1, G, prefix + N, D] in,
    [1, N, H, D] out.
    """
    if tree_layout is None:
        if attention_mask is not None and not attention_mask.numel():
            raise ModelError(
                f"{type(module).__name__} does not pass keyword arguments on to its attention",
                "take a base whose layers do, such as Llama, Qwen, Mistral, Gemma or SmolLM",
            )
        return _sdpa(module, query, key, value, attention_mask, dropout, scaling, **other)
    q, k, v = (x.squeeze(0).transpose(0, 1) for x in (query, key, value))
    rows = [_attend(q, k, v, part, scaling, dropout) for part in tree_layout.kinds]
    return torch.cat(rows).index_select(0, tree_layout.restore)[None], None


def _attend(
    q: Tensor, k: Tensor, v: Tensor, part: Segments, scaling: float | None, dropout: float
) -> Tensor:
    (segments, width), heads, groups = part.tokens.shape, q.shape[1], k.shape[1]
    fold = heads // groups  # queries that share a key head become one longer query

    def gather(x: Tensor, index: Tensor) -> Tensor:
        picked: Tensor = x.index_select(0, index.flatten()).unflatten(0, tuple(index.shape))
        return picked

    queries = gather(q, part.tokens).unflatten(2, (groups, fold)).permute(0, 2, 3, 1, 4)
    out = functional.scaled_dot_product_attention(
        queries.flatten(2, 3),
        gather(k, part.keys).transpose(1, 2),
        gather(v, part.keys).transpose(1, 2),
        attn_mask=part.mask.repeat(1, 1, fold, 1),
        dropout_p=dropout,
        scale=scaling,
    )
    out = out.unflatten(2, (fold, width)).permute(0, 3, 1, 2, 4)
    flat: Tensor = out.reshape(segments * width, heads, -1)
    return flat


def _sdpa(*args: Any, **kwargs: Any) -> tuple[Tensor, None]:
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    result: tuple[Tensor, None] = sdpa_attention_forward(*args, **kwargs)
    return result


def install(model: Any) -> None:
    """Let a causal model of transformers attend by `tree_attention`; safe to call again."""
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(NAME, tree_attention)
    AttentionMaskInterface.register(NAME, AttentionMaskInterface()["sdpa"])
    model.config.get_text_config()._attn_implementation = NAME


def laid_out(layout: TreeLayout) -> dict[str, Any]:
    """What a decoder's forward pass is given for its attention to see a tree's layout.

    The mask has no elements: transformers makes none of its own then, and an attention that the
    layout does not reach has none to go by and fails.
    """
    empty = torch.empty(1, 1, 1, 0, dtype=torch.bool, device=layout.restore.device)
    return {"attention_mask": empty, "tree_layout": layout}
