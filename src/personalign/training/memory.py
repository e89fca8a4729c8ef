"""How much memory a training needs, from the base's files alone, before anything is loaded."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from personalign.errors import TrainingError
from personalign.training.config import TrainingConfig

__all__ = ["Estimate", "check_memory", "estimate", "free_memory"]

HEAD_CHUNK = 256  # rows of logits at a time where the head is trained, see models/head.py
OVERHEAD = 0.6 * 2**30  # the interpreter with torch, transformers and PEFT
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
GIB = 2**30


@dataclass(frozen=True, slots=True)
class Estimate:
    """Bytes that a training needs at its peak, by what they are for."""

    weights: float
    trained: float
    activations: float

    @property
    def total(self) -> float:
        """All of it, with what the process needs anyway."""
        return self.weights + self.trained + self.activations + OVERHEAD


def estimate(
    folder: Path, dtype: str, settings: TrainingConfig, tokens: int, shards: int = 1
) -> Estimate:
    """What training the base in `folder` takes of one device.

    Weights are counted from the files. A trained number costs 16 bytes in float32, 8 in bfloat16:
    itself, its gradient and two moments of AdamW (Rajbhandari et al. 2020, ZeRO, arXiv
    1910.02054, section 3.1, without the half-precision copy). A token keeps 34 · hidden bytes a
    layer for the backward pass in half precision, twice that in float32 (Korthikanti et al. 2022,
    arXiv 2205.05198, section 4.1), more where the feed-forward part is wider than 4 · hidden.

    Args:
        dtype: The base's number type.
        tokens: Tokens in one forward pass.
        shards: Among how many devices gradients and moments are shared out. The weights are not:
            every device holds them whole until they are wrapped.
    """
    shapes = dict(_shapes(folder))
    config = _text_config(folder)
    count = sum(math.prod(shape) for shape in shapes.values())
    size = 0.5 if settings.method == "qlora" else BYTES[dtype]
    hidden, layers = config["hidden_size"], config["num_hidden_layers"]
    wide = max(4 * hidden, 3 * config.get("intermediate_size", 4 * hidden))
    kept = (18 * hidden + 4 * wide) * layers * BYTES[dtype] / 2
    logits = HEAD_CHUNK * config["vocab_size"] * 4 * 3
    own = BYTES[settings.weight_dtype]
    if settings.method == "full":
        return Estimate(
            count * BYTES[dtype], (1 + 3 / shards) * own * count, tokens * kept + logits
        )
    folded = count * 4 if dtype == "float32" else 0  # see models/folding.py
    adapter = 4 * own * _adapter_weights(shapes, settings)
    return Estimate(count * size, adapter + folded, tokens * kept + logits)


def _adapter_weights(shapes: dict[str, tuple[int, ...]], settings: TrainingConfig) -> int:
    lora, total = settings.lora, 0
    for name, shape in shapes.items():
        parts = name.split(".")
        if len(shape) != 2 or "embed" in name or "lm_head" in name or len(parts) < 2:
            continue
        if lora.targets == "all-linear" or parts[-2] in lora.targets:
            total += lora.rank * sum(shape) + (shape[0] if lora.dora else 0)
    return total


def _shapes(folder: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of all weights, from the headers of the safetensors files."""
    for file in sorted(folder.glob("*.safetensors")):
        with file.open("rb") as f:
            (length,) = struct.unpack("<Q", f.read(8))
            header = json.loads(f.read(length))
        for name, about in header.items():
            if name != "__metadata__":
                yield name, tuple(about["shape"])


def _text_config(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    inner: dict[str, Any] = config.get("text_config", config)
    return inner


def free_memory(device: str) -> int:
    """Bytes that are free on the GPU, or in main memory for what can be given back."""
    if device == "cuda":
        import torch

        return int(torch.cuda.mem_get_info()[0])
    import psutil

    return int(psutil.virtual_memory().available)


def check_memory(need: Estimate, device: str, free: int) -> None:
    """Refuse a training that will not fit.

    Raises:
        TrainingError: with what is needed for what, what is free, and what to change.
    """
    if need.total <= free:
        return
    parts = {
        "base weights": need.weights,
        "trained weights, gradients and optimiser": need.trained,
        "activations": need.activations,
    }
    spelled = ", ".join(f"{name} {size / GIB:.1f}" for name, size in parts.items())
    most = max(parts, key=lambda name: parts[name])
    remedies = {
        "base weights": "take a smaller base, dtype bfloat16, or method qlora on a GPU",
        "trained weights, gradients and optimiser": "take method lora, or a lower rank",
        "activations": "lower micro_batch (no result changes), or shorten the replies",
    }
    raise TrainingError(
        f"training needs about {need.total / GIB:.1f} GiB on {device} ({spelled} GiB), "
        f"{free / GIB:.1f} GiB are free",
        remedies[most],
    )
