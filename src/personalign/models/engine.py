"""A base in memory, asked by many at once: replies and choices through any of its adapters.

One engine a base and process. Requests for replies go into one batch whatever their adapters, save
those that are more than a low-rank update (DoRA). Where enough wait for one adapter, they are a
batch by themselves: its update is folded into the weights then (see `folding`) and costs nothing.
Choices are scored as prompt trees, adapter by adapter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from personalign.errors import InputError, unknown
from personalign.models.batcher import Batcher
from personalign.models.local import (
    Adapter,
    LocalModel,
    Sampling,
    best_device,
    best_dtype,
)
from personalign.models.thoughts import Thinking
from personalign.models.trees import Tree

__all__ = ["BATCH", "Draw", "Engine", "Rate", "adopt", "engine_for"]

BATCH = 64
TOKENS = 2**16  # of prompts and replies in a batch; bounds the key-value cache


@dataclass(frozen=True, slots=True)
class Draw:
    """A reply to be drawn."""

    prompt: tuple[int, ...]
    adapter: str | None
    sampling: Sampling
    seed: int


@dataclass(frozen=True, slots=True)
class Rate:
    """Prompt trees to be scored; `progress` is called with the number done since."""

    trees: tuple[Tree, ...]
    adapter: str | None
    progress: Callable[[int], None] = lambda done: None


class Engine:
    """A base in memory and the queue of what is asked of it, whatever the adapter."""

    def __init__(self, local: LocalModel) -> None:
        self.local = local
        self.queue: Batcher[Draw | Rate, Any] = Batcher(
            _work(local), self._kind, _cost, BATCH, TOKENS, lambda request: request.adapter
        )
        self._mixes: dict[str, bool] = {}

    def _kind(self, request: Draw | Rate) -> tuple[Any, ...]:
        if isinstance(request, Rate):
            return ("rate", request.adapter) if len(request.trees) == 1 else (id(request),)
        alone = request.adapter is not None and not self._is_mixable(request.adapter)
        return ("draw", request.sampling, request.adapter if alone else None, alone)

    def _is_mixable(self, adapter: str) -> bool:
        if adapter not in self._mixes:
            if adapter not in self.local.adapters:
                raise unknown("adapter", adapter, self.local.adapters)
            self._mixes[adapter] = _is_low_rank(self.local.model, self.local.adapters[adapter])
        return self._mixes[adapter]


def _is_low_rank(model: Any, adapter: Adapter) -> bool:
    """Whether an adapter is nothing but a low-rank update of linear layers; see `mixing`."""
    from peft.tuners.lora import LoraLayer

    name = adapter.handle
    layers = [m for m in model.modules() if isinstance(m, LoraLayer)]
    return not any(
        name in layer.lora_embedding_A or name in layer.lora_variant or layer.lora_bias.get(name)
        for layer in layers
    )


def _cost(request: Draw | Rate) -> int:
    if isinstance(request, Draw):
        return len(request.prompt) + request.sampling.max_new_tokens
    return sum(tree.size for tree in request.trees)


def _work(local: LocalModel) -> Any:
    def work(batch: Sequence[Draw | Rate]) -> Sequence[Any]:
        first = batch[0]
        if isinstance(first, Rate):
            rates = [r for r in batch if isinstance(r, Rate)]
            trees = [tree for r in rates for tree in r.trees]
            whose = iter([r for r in rates for _ in r.trees])

            def progress(done: int) -> None:
                for rate in islice(whose, done):
                    rate.progress(1)

            scored = iter(local.score(trees, first.adapter, progress))
            return [[next(scored) for _ in r.trees] for r in rates]
        draws = [r for r in batch if isinstance(r, Draw)]
        return local.draw(
            [r.prompt for r in draws],
            [r.adapter for r in draws],
            first.sampling,
            [r.seed for r in draws],
        )

    return work


_engines: dict[tuple[str, str, str, str], Engine] = {}


def adopt(local: LocalModel) -> Engine:
    """The engine of a base that is in memory already, for all models that name it from now on."""
    key = (local.identity.rpartition("@")[0], local.dtype, local.device.type, local.thinking)
    if key not in _engines or _engines[key].local is not local:
        _engines[key] = Engine(local)
    return _engines[key]


def engine_for(base: str, dtype: str, device: str, thinking: Thinking = "off") -> Engine:
    """The engine of a base by name; loads the base where no engine in this process has it.

    Raises:
        InputError: where a device is named by its number, which no engine is found by.
        ModelError: where the base cannot be loaded.
    """
    if ":" in device:
        raise InputError(f"device {device!r}", "write `cuda`; CUDA_VISIBLE_DEVICES chooses one")
    device = best_device() if device == "auto" else device
    dtype = str(best_dtype(device)).removeprefix("torch.") if dtype == "auto" else dtype
    loaded = _engines.get((base, dtype, device, thinking))
    return loaded or adopt(LocalModel.load(base, dtype, device, thinking))
