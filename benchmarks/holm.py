"""Holm's correction of one family: ours against statsmodels', which collects all garbage first.

A verdict corrects four families; what a collection costs grows with the process, here with the
libraries that a study has loaded anyway.

    python benchmarks/holm.py
"""

from __future__ import annotations

from timeit import timeit

import numpy as np
import torch
import transformers
from statsmodels.stats.multitest import multipletests

from personalign.analysis import adjust

LOADED = (torch, transformers)
CALLS = 50


def main() -> None:
    p = np.random.default_rng(0).uniform(size=16).tolist()
    np.testing.assert_allclose(adjust(p), multipletests(p, method="holm")[1])
    ours = timeit(lambda: adjust(p), number=CALLS) / CALLS
    theirs = timeit(lambda: multipletests(p, method="holm"), number=CALLS) / CALLS
    print(f"ours {1e6 * ours:.0f} µs, statsmodels {1e6 * theirs:.0f} µs: {theirs / ours:.0f} times")


if __name__ == "__main__":
    main()
