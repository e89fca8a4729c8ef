"""The prompt-tree kernel: one prompt, many completions, scored in one pass.

The prompt's tokens are computed once, and so is what all prompts of a pass begin with: the trunk,
such as a system prompt. Every completion is a branch that sees the prompt and itself and never its
siblings: positions restart at the end of the prompt, and the attention (`models/attention.py`)
keeps branches, and trees, apart. A completion's last token predicts nothing and is not
computed. The language-model head runs only where a completion token is predicted, in tiles
(`models/head.py`), so that the full logits never exist.

Shape legend: L row length, N predicted completion tokens, U hidden states that predict them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import count, takewhile
from typing import Any

import torch
from torch import Tensor

from personalign.errors import ModelError
from personalign.models import attention
from personalign.models.attention import TreeLayout
from personalign.models.head import through_head
from personalign.progress import Progress, silent

__all__ = [
    "PackedTrees",
    "Tree",
    "batched",
    "log_probs",
    "pack",
    "score_trees",
    "shared_prefix",
]

SHORTEST_PREFIX = 16


@dataclass(frozen=True, slots=True)
class Tree:
    """A prompt and its completions, as token ids. Neither may be empty."""

    prompt: tuple[int, ...]
    branches: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        if not self.prompt or not self.branches or not all(self.branches):
            raise ModelError("a tree needs a prompt and non-empty completions")

    @property
    def size(self) -> int:
        """Tokens to compute: the prompt's once, and of each completion all but the last."""
        return len(self.prompt) + sum(map(len, self.branches)) - len(self.branches)

    @property
    def depth(self) -> int:
        """Tokens on the longest path from the prompt's start to a completion's end."""
        return len(self.prompt) + max(map(len, self.branches))


@dataclass(frozen=True, slots=True)
class PackedTrees:
    """Trees laid out for one forward pass, in one row without padding.

    `input_ids` and `positions` are [1, L]; `source` [U] are the indices of the hidden states that
    predict, `row` [N] says which of them predicts `target` [N], and `owner` [N] the branch that the
    token belongs to, counted over all trees in the order given.
    """

    input_ids: Tensor
    positions: Tensor
    source: Tensor
    row: Tensor
    target: Tensor
    owner: Tensor
    branch_count: int
    depth: int
    layout: TreeLayout

    def to(self, device: torch.device | str) -> PackedTrees:
        """The same row on another device."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return PackedTrees(
            **{k: v.to(device) if hasattr(v, "to") else v for k, v in values.items()}
        )


def pack(trees: Sequence[Tree], prefix: int = 0) -> PackedTrees:
    """Lay trees out in one flat row without padding, for segment attention.

    What all prompts begin with is laid out once, before them. `prefix` tokens before that are in
    a key-value cache: positions start behind them.
    """
    common = shared_prefix(trees)
    rest = [replace(t, prompt=t.prompt[common:]) for t in trees]
    ids = list(trees[0].prompt[:common])
    positions = [*range(prefix, prefix + common)]
    start = prefix + common
    spans: list[tuple[range, list[range]]] = []
    predicted: list[tuple[int, int, int]] = []  # owner, source, target
    owner = count()
    for t in rest:
        placed = []
        for depth, tokens in [(0, t.prompt), *((len(t.prompt), b[:-1]) for b in t.branches)]:
            placed.append(range(len(ids), len(ids) + len(tokens)))
            ids += tokens
            positions += range(start + depth, start + depth + len(tokens))
        root, *below = placed
        for span, branch in zip(below, t.branches, strict=True):
            own, ats = next(owner), (root[-1], *span)
            predicted += [(own, at, token) for at, token in zip(ats, branch, strict=True)]
        spans.append((root, [span for span in below if span]))
    owners, sources, target = torch.tensor(predicted).T.contiguous()
    source, row = sources.unique(return_inverse=True)  # here, since no device need be waited for
    return PackedTrees(
        torch.tensor([ids]),
        torch.tensor([positions]),
        source,
        row,
        target,
        owners,
        branch_count=next(owner),
        depth=start + max(t.depth for t in rest),
        layout=TreeLayout.build(spans, prefix, range(common)),
    )


def _base(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def log_probs(model: Any, packed: PackedTrees, cache: Any = None) -> Tensor:
    """Log-prob of every completion token, float32 [N] in nats, differentiable.

    Args:
        model: A causal decoder of transformers, with or without PEFT adapters.
        packed: Trees laid out by `pack`, on the model's device.
        cache: Keys and values of the shared prefix that `pack` was told of.
    """
    model = _base(model)
    _check_window(model, packed)
    attention.install(model)
    states = model.get_decoder()(
        input_ids=packed.input_ids,
        position_ids=packed.positions,
        cache=cache,
        use_cache=cache is not None,
        **attention.laid_out(packed.layout),
    ).last_hidden_state
    picked = states.flatten(0, 1).index_select(0, packed.source)
    return through_head(model.get_output_embeddings(), picked, packed.row, packed.target)


def _check_window(model: Any, packed: PackedTrees) -> None:
    config = model.config.get_text_config()
    window = getattr(config, "sliding_window", None)
    if window and getattr(config, "use_sliding_window", True) and packed.depth > window:
        raise ModelError(
            f"a path of {packed.depth} tokens exceeds the sliding window of {window} tokens of "
            f"{model.config.model_type!r}",
            "shorten the prompt or the completions",
        )


def batched(trees: Sequence[Tree], max_tokens: int = 2048) -> Iterator[list[int]]:
    """Indices of trees in batches of similar size, at most `max_tokens` (or one tree) each."""
    batch: list[int] = []
    total = 0
    for index in sorted(range(len(trees)), key=lambda i: trees[i].size):
        if batch and total + trees[index].size > max_tokens:
            yield batch
            batch, total = [], 0
        batch.append(index)
        total += trees[index].size
    if batch:
        yield batch


def score_trees(
    model: Any,
    trees: Sequence[Tree],
    max_tokens: int = 2048,
    progress: Progress = silent,
) -> list[list[Tensor]]:
    """Per-token log-probs (nats, float32, on the CPU) of every branch of every tree.

    `progress` is called after each pass with the number of trees scored in it.
    """
    device = next(model.parameters()).device
    out: list[list[Tensor]] = [[] for _ in trees]
    with torch.inference_mode():
        for group, cache, prefix in _groups(model, trees):
            rest = [replace(trees[i], prompt=trees[i].prompt[prefix:]) for i in group]
            for batch in batched(rest, max_tokens):
                packed = pack([rest[k] for k in batch], prefix).to(device)
                lengths = [len(b) for k in batch for b in rest[k].branches]
                parts = iter(log_probs(model, packed, cache).cpu().split(lengths))
                for k in batch:
                    out[group[k]] = [next(parts) for _ in rest[k].branches]
                _forget(cache, prefix)
                progress(len(batch))
    return out


def _groups(model: Any, trees: Sequence[Tree]) -> Iterator[tuple[list[int], Any, int]]:
    """Trees in groups whose prompts begin alike, with a cache of so many of their first tokens.

    A group within a group (a wording under a system prompt) extends its cache, and what it added
    is forgotten when the next group is asked for.
    """
    from transformers import DynamicCache

    cache = DynamicCache()  # of no config: all layers keep all keys; windows are checked elsewhere

    def within(members: list[int], depth: int) -> Iterator[tuple[list[int], Any, int]]:
        alike: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for i in members:
            alike[trees[i].prompt[depth : depth + SHORTEST_PREFIX]].append(i)
        single = []
        for group in alike.values():
            rest = [replace(trees[i], prompt=trees[i].prompt[depth:]) for i in group]
            if more := shared_prefix(rest):
                _remember(model, cache, rest[0].prompt[:more], depth)
                yield from within(group, depth + more)
                _forget(cache, depth)
            else:
                single += group
        if single:
            yield single, cache if depth else None, depth

    return within(list(range(len(trees))), 0)


def shared_prefix(trees: Sequence[Tree]) -> int:
    """How many tokens all prompts begin with, one token spared each, 0 where not worth a cache."""
    prompts = [t.prompt for t in trees]
    first, last = min(prompts), max(prompts)  # in order, so all others lie between them
    alike = takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    common = min(sum(1 for _ in alike), min(map(len, prompts)) - 1)
    return common if len(trees) > 1 and common >= SHORTEST_PREFIX else 0


def _remember(model: Any, cache: Any, tokens: tuple[int, ...], depth: int) -> None:
    base = _base(model)
    device = next(base.parameters()).device
    positions = torch.arange(depth, depth + len(tokens), device=device)[None]
    ids = torch.tensor([tokens], device=device)
    base.get_decoder()(input_ids=ids, position_ids=positions, cache=cache, use_cache=True)


def _forget(cache: Any, length: int) -> None:
    if cache is not None:
        cache.crop(length - cache.get_seq_length())
