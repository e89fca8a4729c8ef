"""More than one process: `accelerate launch` with DDP, FSDP or DeepSpeed.

Their wrappers only see what goes through the wrapped model's own `forward`. So while training,
that of the causal model also takes packed trees, and gives log-probs for them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from personalign.errors import TrainingError
from personalign.models.local import best_device
from personalign.models.trees import PackedTrees, log_probs
from personalign.training.config import TrainingConfig

__all__ = [
    "accumulation",
    "is_main",
    "local_rank",
    "main_first",
    "processes",
    "shards",
    "splits_weights",
    "trees_through_forward",
    "wait",
]


def processes() -> int:
    """How many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main() -> bool:
    """Is this the process that writes files?"""
    return int(os.environ.get("RANK", "0")) == 0


def local_rank() -> int:
    """The number of this process on its machine, and of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def shards() -> int:
    """Among how many processes gradients and optimiser are shared out (FSDP, DeepSpeed)."""
    return processes() if _told("USE_FSDP") or _zero() >= 2 else 1


def splits_weights() -> bool:
    """Does each process hold a part of the weights only (FSDP, DeepSpeed's ZeRO 3)?"""
    return _told("USE_FSDP") or _zero() >= 3


def _zero() -> int:
    """DeepSpeed's stage; 3 where `accelerate launch` was told another file for it, 0 without."""
    stage = os.environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE", "3")
    return int(stage) if _told("USE_DEEPSPEED") else 0


def _told(name: str) -> bool:
    """What `accelerate launch` told the processes that it started."""
    return os.environ.get(f"ACCELERATE_{name}", "").lower() == "true"


def wait() -> None:
    """Go on when every process has come here."""
    if processes() > 1:
        from accelerate import PartialState

        # Of a CPU it must be told: on its own it takes such processes for strangers.
        PartialState(cpu=best_device() == "cpu").wait_for_everyone()


@contextmanager
def main_first() -> Iterator[None]:
    """The main process does what is within first, then all others at once."""
    if not is_main():
        wait()
    yield
    if is_main():
        wait()


def accumulation(settings: TrainingConfig) -> int:
    """Forward passes of each process in one optimiser step.

    Raises:
        TrainingError: where the batch cannot be shared out evenly.
    """
    together = min(settings.micro_batch, settings.batch_size) * processes()
    if settings.batch_size % together:
        raise TrainingError(
            f"batch_size {settings.batch_size} is no multiple of micro_batch "
            f"{settings.micro_batch} × {processes()} processes",
            f"take a batch_size such as {-(-settings.batch_size // together) * together}",
        )
    return settings.batch_size // together


@contextmanager
def trees_through_forward(model: Any) -> Iterator[None]:
    """Within it, `model(packed=…)` is `log_probs`, whatever the model gets wrapped in."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    own, usual = vars(base).get("forward"), base.forward

    def forward(*args: Any, packed: PackedTrees | None = None, **kwargs: Any) -> Any:
        if packed is None:
            return usual(*args, **kwargs)
        result: Tensor = log_probs(base, packed)
        return result

    base.forward = forward
    try:
        yield
    finally:
        del base.forward  # the class's own shows again
        if own:
            base.forward = own
