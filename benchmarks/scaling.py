"""What a pair costs, and how much memory it takes, as a corpus grows.

    python benchmarks/scaling.py --pairs 100,1000,10000

The starter corpus's pairs of INFP against ESTJ, each situation again and again under another day's
number, so that no two prompts are the same; one epoch, the reference included, each number of pairs
in a process of its own. On the embedded model 10,000 pairs take hours; by default a small random
Llama is trained, on which whatever grows with the number of pairs (reading, references, order,
logs) is not hidden behind multiplications.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import random_llama


def pairs(count: int) -> list[Any]:
    """So many pairs, no two with the same prompt."""
    from personalign.corpus.pairs import opposite_pairs
    from personalign.corpus.scenes import load, select

    made = opposite_pairs(select(load("starter/mbti"), "build"), "INFP", "ESTJ")
    return [_on_day(made[i % len(made)], i // len(made)) for i in range(count)]


def _on_day(pair: Any, day: int) -> Any:
    *before, last = pair.prompt
    said = last.model_copy(update={"content": f"Day {day}. {last.content}"})
    return pair.model_copy(update={"prompt": (*before, said)})


def one(count: int, base: str, threads: int) -> dict[str, float]:
    """Train on so many pairs in this process."""
    import torch

    from personalign.models.local import LocalModel
    from personalign.training.config import TrainingConfig
    from personalign.training.trainer import examples, train

    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PERSONALIGN_CACHE"] = f"{folder}/cache"  # no reference from an earlier run
        local = LocalModel.load(base)
        data = pairs(count)
        before, began = _peak(), time.perf_counter()
        made = examples(local, data)
        reference = time.perf_counter() - began
        train(local, made, TrainingConfig(epochs=1, batch_size=8), Path(folder) / "out")
        seconds = time.perf_counter() - began
    return {
        "ms_a_pair": round(1000 * seconds / count, 2),
        "of_it_reference": round(1000 * reference / count, 2),
        "peak_mib": _peak(),
        "of_it_before_training": before,
    }


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", default="100,1000,10000", help="numbers of pairs")
    parser.add_argument("--base", default="small", help="small, embedded, a path or a Hub id")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(one(args.one, args.base, args.threads)))
        return
    with tempfile.TemporaryDirectory() as folder:
        base = (
            str(random_llama.write(Path(folder), 16, 2, 48, 2, 1))
            if args.base == "small"
            else args.base
        )
        for count in args.pairs.split(","):
            options = ["--base", base, "--threads", str(args.threads), "--one", count]
            command = [sys.executable, __file__, *options]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"{count} pairs failed:\n{done.stderr[-3000:]}")
            print(f"{count:>7} {done.stdout.strip().splitlines()[-1]}", flush=True)


if __name__ == "__main__":
    main()
