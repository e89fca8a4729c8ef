"""Trains the pairs of the tests on a base; started by accelerate, or alone."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import torch
from accelerate import DistributedType, PartialState

from personalign.corpus.pairs import opposite_pairs
from personalign.corpus.scenes import load, select
from personalign.models.local import LocalModel
from personalign.training import devices
from personalign.training.config import Health, TrainingConfig
from personalign.training.health import ear
from personalign.training.trainer import examples, train


def take_cpus_for_gpus() -> None:
    """accelerate has FSDP for GPUs only; PyTorch's own has it for CPUs as well."""
    usual = PartialState.__init__

    def init(self: Any, *args: Any, **options: Any) -> None:
        usual(self, *args, **options)
        if self._shared_state["distributed_type"] == DistributedType.MULTI_CPU:
            self._shared_state["distributed_type"] = DistributedType.MULTI_GPU

    PartialState.__init__ = init  # type: ignore[method-assign]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("base")
    parser.add_argument("out", type=Path)
    parser.add_argument("--micro-batch", type=int, default=4)
    parser.add_argument("--method", default="lora")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--stop", type=int, help="the step after which it is killed")
    args = parser.parse_args()
    pairs = opposite_pairs(select(load("starter/mbti"), "build", 12), "INFP", "ESTJ")
    local = LocalModel.load(args.base, args.dtype, "cpu")
    with devices.main_first():
        data = examples(local, pairs)
    settings = TrainingConfig(
        method=args.method,
        epochs=2,
        batch_size=4,
        micro_batch=args.micro_batch,
        learning_rate=5e-3 if args.method == "lora" else 1e-3,
        schedule="linear",
        warmup=0,
        checkpoint_steps=2,
    )
    made: list[int] = []

    def progress(step: int, of: int) -> None:
        made.append(step)
        if step == args.stop:
            os._exit(9)

    heard = ear(local, [p.prompt for p in pairs[:1]], Health(samples=1, sample_tokens=8))
    train(local, data, settings, args.out, progress, heard)
    if torch.distributed.is_initialized():
        (args.out / f"rank{torch.distributed.get_rank()}").write_text(str(made[0]))


if __name__ == "__main__":
    if devices.splits_weights():
        take_cpus_for_gpus()
    main()
