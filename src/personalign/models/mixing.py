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
def mixed(model: Any, adapters: Sequence[str | None]) -> Iterator[None]:
    """A context in which row b of every batch is answered through `adapters[b]` (None: the base).

    Args:
        model: A PEFT model with LoRA adapters on linear layers.
        adapters: PEFT's adapter names, one a row of the batches to come.

    Raises:
        ModelError: where an adapter is more than a low-rank update (DoRA, a LoRA bias).
    """
    from peft.tuners.lora import LoraLayer

    layers: list[Any] = [m for m in model.modules() if isinstance(m, LoraLayer)]
    before = [vars(layer).get("forward") for layer in layers]
    try:
        for layer in layers:
            layer.forward = _forward(layer, adapters)
        yield
    finally:
        for layer, forward in zip(layers, before, strict=True):
            if forward is None:
                vars(layer).pop("forward", None)
            else:
                layer.forward = forward


def _forward(layer: Any, adapters: Sequence[str | None]) -> Callable[[Tensor], Tensor]:
    names = sorted({a for a in adapters if a is not None and _has(layer, a)})
    base = layer.base_layer
    if not names:
        return lambda x: base(x)
    a, b = (
        torch.cat([layer.lora_A[n].weight for n in names]),
        torch.cat([layer.lora_B[n].weight for n in names], dim=1),
    )
    mask = torch.cat([_column(layer, n, adapters) for n in names], dim=1)[:, None].to(a)

    def forward(x: Tensor) -> Tensor:
        out: Tensor = base(x)
        return out + functional.linear(functional.linear(x.to(a), a) * mask, b).to(out)

    return forward


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
