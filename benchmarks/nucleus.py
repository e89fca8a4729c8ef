"""The likeliest tokens that have a share of 0.9: ours against transformers' own, in turn.

    python benchmarks/nucleus.py --threads 2

Random scores of the embedded model's vocabulary: a peaked distribution, as at temperature 0.2, and
a flat one, for which our way sorts everything too.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from transformers.generation import TopPLogitsWarper

from personalign.models.sampling import Nucleus

ROWS, WORDS, TIMES = 64, 49152, 9


def milliseconds(way: Callable[[None, Tensor], Tensor], scores: Tensor) -> float:
    began = time.perf_counter()
    way(None, scores)
    return 1000 * (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    ways = Nucleus(0.9), TopPLogitsWarper(0.9)
    for name, spread in (("peaked", 15.0), ("flat", 1.0)):
        scores = spread * torch.randn(ROWS, WORDS, generator=torch.Generator().manual_seed(0))
        taken = [[milliseconds(way, scores) for way in ways] for _ in range(TIMES + 1)]
        ours, theirs = (statistics.median(t) for t in zip(*taken[1:], strict=True))
        print(f"{name}: {ours:.0f} ms, transformers {theirs:.0f} ms, {theirs / ours:.2f} x")


if __name__ == "__main__":
    main()
