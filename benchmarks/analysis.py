"""How long the analysis of a full study takes: 16 personas × 4 conditions × 4,000 samples.

    OMP_NUM_THREADS=1 python benchmarks/analysis.py [--samples N] [--json]

Four variants (0/1 or continuous metric, samples independent or in 14 clusters), 2 % of measurements
missing, on one core; each in a process of its own so that its peak memory is its own.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import time
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from personalign.analysis.summary import analyse
from personalign.personas.persona import TYPES
from personalign.records import Condition

LIMIT_SECONDS, LIMIT_GIB = 60, 2
CATEGORIES = 14


def study(samples: int, *, binary: bool, clustered: bool, seed: int = 0) -> pd.DataFrame:
    """A simulated long table: every persona under every condition, `base` repeated per persona."""
    rng = np.random.default_rng(seed)
    conditions = tuple(map(Condition, ("base", "prompted", "adapter", "prompted+adapter")))
    arms = pd.DataFrame(list(product(TYPES, conditions)), columns=["persona", "condition"])
    hardness = rng.normal(size=samples)
    shift = 0.1 * np.array([conditions.index(c) for c in arms["condition"]])
    scores = hardness + shift[:, None] + rng.normal(size=(len(arms), samples))
    values = (scores > 1.5).astype(float) if binary else scores
    values[rng.random(values.shape) < 0.02] = np.nan
    names = [f"prompt-{i:05d}" for i in range(samples)]
    cells = arms.loc[arms.index.repeat(samples)].reset_index(drop=True)
    return cells.assign(
        run="benchmark",
        base_model="simulated",
        task="safety",
        sample=names * len(arms),
        cluster=[f"c{i % CATEGORIES}" for i in range(samples)] * len(arms)
        if clustered
        else names * len(arms),
        epoch=0,
        metric="flagged" if binary else "score",
        value=values.ravel(),
        state=np.where(np.isnan(values.ravel()), "judge_error", "ok"),
    )


def measure(samples: int, binary: bool, clustered: bool) -> dict[str, Any]:
    """Seconds and peak memory of one analysis in this process."""
    frame = study(samples, binary=binary, clustered=clustered)
    start = time.perf_counter()
    found = analyse(frame, seed=1)
    return {
        "metric": "0/1" if binary else "continuous",
        "samples": f"{CATEGORIES} clusters" if clustered else "independent",
        "rows": len(frame),
        "estimates": len(found.estimates),
        "contrasts": len(found.contrasts),
        "seconds": round(time.perf_counter() - start, 2),
        "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }


def main() -> None:
    """Measure all variants and print them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--samples", type=int, default=4000, help="samples an arm")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    rows = []
    for binary, clustered in product((True, False), (False, True)):
        with spawn.Pool(1) as pool:
            rows.append(pool.apply(measure, (options.samples, binary, clustered)))
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        print(pd.DataFrame(rows).to_string(index=False))
        print(f"limits: {LIMIT_SECONDS} s, {LIMIT_GIB} GiB")


if __name__ == "__main__":
    main()
