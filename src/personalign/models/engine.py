"""A base in memory, asked by many at once: replies and choices through any of its adapters.

One engine a base and process. Requests for replies go into one batch whatever their adapters, save
those that are more than a low-rank update (DoRA). Where enough wait for one adapter, they are a
batch by themselves: its update is folded into the weights then (see `folding`) and costs nothing.
Choices are scored as prompt trees, adapter by adapter. Loading an adapter is a request like others,
so that none changes under a running batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from personalign.errors import InputError, unknown
from personalign.models.batcher import Batcher
from personalign.models.local import LocalModel, best_device, best_dtype
from personalign.models.provenance import adapter_hash
from personalign.models.sampling import Sampling
from personalign.models.thoughts import Thinking
from personalign.models.trees import Tree
from personalign.progress import Progress, silent

__all__ = ["BATCH", "Draw", "Engine", "Load", "Rate", "adopt", "engine_for"]

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
    progress: Progress = silent


@dataclass(frozen=True, slots=True)
class Load:
    """An adapter to be loaded from its folder, between two batches."""

    adapter: str
    path: Path
    strength: float = 1.0


class Engine:
    """A base in memory and the queue of what is asked of it, whatever the adapter."""

    def __init__(self, local: LocalModel) -> None:
        self.local = local
        self.queue: Batcher[Draw | Rate | Load, Any] = Batcher(
            _work(local), self._kind, _cost, BATCH, TOKENS, lambda request: request.adapter
        )

    def load(self, adapter: str, path: Path, strength: float = 1.0) -> None:
        """Load an adapter when its turn comes; what is under way is answered without it.

        One of the same content and strength that is there under this name stays.

        Raises:
            ModelError, InputError: see `LocalModel.add_adapter`.
        """
        self.queue.submit(Load(adapter, path, strength)).result()

    def adapter_of(self, folder: Path, strength: float = 1.0) -> str:
        """The name of a folder's adapter in memory, by its hash; loads it unless it is there.

        Raises:
            ModelError, InputError: as `load`.
        """
        name = f"{adapter_hash(folder)}x{strength!r}"
        if name not in self.local.adapters:
            self.load(name, folder, strength)
        return name

    def _kind(self, request: Draw | Rate | Load) -> tuple[Any, ...]:
        if isinstance(request, Load):
            return (id(request),)
        if isinstance(request, Rate):
            return ("rate", request.adapter) if len(request.trees) == 1 else (id(request),)
        alone = request.adapter is not None and not self._mixes(request.adapter)
        return ("draw", request.sampling, request.adapter if alone else None, alone)

    def _mixes(self, adapter: str) -> bool:
        if adapter not in self.local.adapters:
            raise unknown("adapter", adapter, self.local.adapters)
        return self.local.adapters[adapter].mixes


def _cost(request: Draw | Rate | Load) -> int:
    if isinstance(request, Load):
        return 0
    if isinstance(request, Draw):
        return len(request.prompt) + request.sampling.max_new_tokens
    return sum(tree.size for tree in request.trees)


def _work(local: LocalModel) -> Callable[[Sequence[Draw | Rate | Load]], Sequence[Any]]:
    def work(batch: Sequence[Draw | Rate | Load]) -> Sequence[Any]:
        first = batch[0]
        if isinstance(first, Load):
            _load(local, first)
            return [None]
        if isinstance(first, Rate):
            return _rate(local, first.adapter, [r for r in batch if isinstance(r, Rate)])
        draws = [r for r in batch if isinstance(r, Draw)]
        return local.draw(
            [r.prompt for r in draws],
            [r.adapter for r in draws],
            first.sampling,
            [r.seed for r in draws],
        )

    return work


def _load(local: LocalModel, asked: Load) -> None:
    known = local.adapters.get(asked.adapter)
    wanted = (adapter_hash(asked.path), asked.strength)
    if known is None or (known.digest, known.strength) != wanted:
        local.add_adapter(asked.adapter, asked.path, asked.strength)


def _rate(local: LocalModel, adapter: str | None, rates: Sequence[Rate]) -> list[Any]:
    """Scores of every tree of every request; a part of a batch may be asked anew, one never is."""
    trees = [tree for rate in rates for tree in rate.trees]
    if len(rates) == 1:
        return [local.score(trees, adapter, rates[0].progress)]
    scored = iter(local.score(trees, adapter))
    found = [list(islice(scored, len(rate.trees))) for rate in rates]
    for rate in rates:
        rate.progress(len(rate.trees))
    return found


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
