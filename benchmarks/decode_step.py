"""One step of decoding with the cache that grows in place and with transformers' own, in turn.

In the main thread, and in a second one (as the engine's) with and without the main one's workers.

    python benchmarks/decode_step.py --threads 2

Caches are filled with random numbers, so that no prompt is computed; medians of six steps.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time
from typing import Any

import torch
from transformers import DynamicCache

from personalign.models.cache import make_room
from personalign.models.local import LocalModel
from personalign.models.threads import leave_cores

SHAPES = ((64, 80), (64, 300), (64, 600), (16, 600))
STEPS = 6


def filled(config: Any, rows: int, tokens: int, roomy: bool) -> Any:
    cache = DynamicCache(config=config)
    if roomy:
        make_room(cache)
    for layer in range(config.num_hidden_layers):
        keys = torch.randn(rows, config.num_key_value_heads, tokens, config.head_dim)
        cache.update(keys, keys.clone(), layer)
    return cache


@torch.inference_mode()
def step(model: Any, cache: Any, rows: int, place: int) -> float:
    began = time.perf_counter()
    model(
        torch.full((rows, 1), 50),
        cache=cache,
        use_cache=True,
        position_ids=torch.full((rows, 1), place),
    )
    return time.perf_counter() - began


def measure(model: Any, where: str) -> None:
    for rows, tokens in SHAPES:
        caches = [filled(model.config, rows, tokens, roomy) for roomy in (True, False)]
        taken = [
            [step(model, cache, rows, tokens + k) for cache in caches] for k in range(STEPS + 1)
        ]
        ours, theirs = (1000 * statistics.median(t) for t in zip(*taken[1:], strict=True))
        print(
            f"{where}: {rows} rows, {tokens} tokens: {ours:.0f} ms, transformers' cache "
            f"{theirs:.0f} ms, {theirs / ours:.2f} x"
        )


def elsewhere(model: Any, where: str) -> None:
    other = threading.Thread(target=measure, args=(model, where))
    other.start()
    other.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model = LocalModel.load().model
    measure(model, "main thread")
    elsewhere(model, "second thread beside the main thread's workers")
    leave_cores()
    elsewhere(model, "second thread without them")


if __name__ == "__main__":
    main()
