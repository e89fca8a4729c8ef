"""A batch whose rows answer through different LoRA adapters, or through none.

PEFT's mixed batches take the rows of each adapter apart in every layer, so that a layer costs as
many small products as there are adapters. Here the A and B matrices of all of a batch's adapters
are laid side by side once; a layer then costs two products more than the base's own, and a mask
leaves to each row the columns of its adapter:  y = x·Wᵀ + ((x·Aᵀ) ∘ M)·Bᵀ.

Shape legend: x [R, T, I], A [n·r, I], B [O, n·r], M [R, 1, n·r] holds an adapter's scaling in its
rows' columns and 0 elsewhere; R rows, T tokens, n adapters of rank r.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from personalign.errors import ModelError

__all__ = ["mixed"]


@contextmanager
def mixed(model: Any, adapters: Sequence[str | None]) -> Iterator[Callable[[Tensor], None]]:
    """A context in which row b of every batch is answered through `adapters[b]` (None: the base).

    It gives a function to be called with the indices of the rows that stay when others leave.

    Args:
        model: A PEFT model with LoRA adapters on linear layers.
        adapters: PEFT's adapter names, one a row of the batches to come.

    Raises:
        ModelError: where an adapter is more than a low-rank update (DoRA, a LoRA bias).
    """
    from peft.tuners.lora import LoraLayer

    layers: list[Any] = [m for m in model.modules() if isinstance(m, LoraLayer)]
    before = [vars(layer).get("forward") for layer in layers]
    mixtures = [_Mixture(layer, adapters) for layer in layers]

    def keep(rows: Tensor) -> None:
        for mixture in mixtures:
            mixture.keep(rows)

    try:
        for layer, mixture in zip(layers, mixtures, strict=True):
            layer.forward = mixture
        yield keep
    finally:
        for layer, forward in zip(layers, before, strict=True):
            if forward is None:
                vars(layer).pop("forward", None)
            else:
                layer.forward = forward


class _Mixture:
    """One layer's forward pass."""

    def __init__(self, layer: Any, adapters: Sequence[str | None]) -> None:
        names = sorted({a for a in adapters if a is not None and _has(layer, a)})
        self.base = layer.base_layer
        self.mask: Tensor | None = None
        if names:
            self.a = torch.cat([layer.lora_A[n].weight for n in names])
            self.b = torch.cat([layer.lora_B[n].weight for n in names], dim=1)
            columns = [_column(layer, n, adapters) for n in names]
            self.mask = torch.cat(columns, dim=1)[:, None].to(self.a)

    def __call__(self, x: Tensor) -> Tensor:
        out: Tensor = self.base(x)
        if self.mask is None:
            return out
        low = functional.linear(x.to(self.a), self.a) * self.mask
        return out + functional.linear(low, self.b).to(out)

    def keep(self, rows: Tensor) -> None:
        if self.mask is not None:
            self.mask = self.mask[rows]


def _has(layer: Any, name: str) -> bool:
    if name in layer.lora_embedding_A or name in layer.lora_variant or layer.lora_bias.get(name):
        raise ModelError(
            f"adapter {name!r} is more than a low-rank update of linear layers",
            "ask it alone, in a batch of its own",
        )
    return name in layer.lora_A


def _column(layer: Any, name: str, adapters: Sequence[str | None]) -> Tensor:
    """The mask's columns for one adapter, [R, r]."""
    scaling: float = layer.scaling[name]
    own = torch.tensor([scaling * (a == name) for a in adapters])
    return own[:, None].expand(-1, len(layer.lora_A[name].weight))
