"""A base in memory, asked by many at once: replies and choices through any of its adapters.

One engine a base and process. Requests for replies go into one batch whatever their adapters;
choices are scored as prompt trees, adapter by adapter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from personalign.models.batcher import Batcher
from personalign.models.local import Generation, LocalModel, Sampling, best_device, best_dtype
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
    """A prompt tree to be scored."""

    tree: Tree
    adapter: str | None


class Engine:
    """A base in memory and the queue of what is asked of it, whatever the adapter."""

    def __init__(self, local: LocalModel) -> None:
        self.local = local
        self.queue: Batcher[Draw | Rate, Any] = Batcher(_work(local), _kind, _cost, BATCH, TOKENS)

    async def draw(self, request: Draw) -> Generation:
        """A drawn reply."""
        reply: Generation = await self.queue.ask(request)
        return reply

    async def rate(self, request: Rate) -> list[Tensor]:
        """Log-probs of each branch's tokens."""
        scored: list[Tensor] = await self.queue.ask(request)
        return scored


def _kind(request: Draw | Rate) -> tuple[Any, ...]:
    if isinstance(request, Draw):
        return ("draw", request.sampling)
    return ("rate", request.adapter)


def _cost(request: Draw | Rate) -> int:
    if isinstance(request, Draw):
        return len(request.prompt) + request.sampling.max_new_tokens
    return request.tree.size


def _work(local: LocalModel) -> Any:
    def work(batch: Sequence[Draw | Rate]) -> Sequence[Any]:
        first = batch[0]
        if isinstance(first, Rate):
            return local.score([r.tree for r in batch if isinstance(r, Rate)], first.adapter)
        draws = [r for r in batch if isinstance(r, Draw)]
        return local.draw(
            [r.prompt for r in draws],
            [r.adapter for r in draws],
            first.sampling,
            [r.seed for r in draws],
        )

    return work


_engines: dict[tuple[str, str, str], Engine] = {}


def adopt(local: LocalModel) -> Engine:
    """The engine of a base that is in memory already, for all models that name it from now on."""
    key = (local.identity.rpartition("@")[0], local.dtype, local.device.type)
    if key not in _engines or _engines[key].local is not local:
        _engines[key] = Engine(local)
    return _engines[key]


def engine_for(base: str, dtype: str, device: str) -> Engine:
    """The engine of a base by name; loads the base where no engine in this process has it."""
    device = best_device() if device == "auto" else device
    dtype = str(best_dtype(device)).removeprefix("torch.") if dtype == "auto" else dtype
    loaded = _engines.get((base, dtype, device))
    return loaded or adopt(LocalModel.load(base, dtype, device))
