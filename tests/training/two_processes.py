"""Trains the pairs of the tests on the base in argv[1] into argv[2]; started by accelerate."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from personalign.corpus.pairs import opposite_pairs
from personalign.corpus.scenes import load, select
from personalign.models.local import LocalModel
from personalign.training import devices
from personalign.training.config import TrainingConfig
from personalign.training.trainer import examples, train


def main() -> None:
    base, out, micro_batch, method = sys.argv[1:]
    pairs = opposite_pairs(select(load("starter/mbti"), "build", 12), "INFP", "ESTJ")
    local = LocalModel.load(base, "float32", "cpu")
    with devices.main_first():
        data = examples(local, pairs)
    settings = TrainingConfig(
        method=method,  # type: ignore[arg-type]
        epochs=2,
        batch_size=4,
        micro_batch=int(micro_batch),
        learning_rate=5e-3 if method == "lora" else 1e-3,
        schedule="linear",
        warmup=0,
        checkpoint_steps=2,
    )
    train(local, data, settings, Path(out))
    if torch.distributed.is_initialized():
        (Path(out) / f"rank{torch.distributed.get_rank()}").touch()


if __name__ == "__main__":
    main()
