"""Scoring: the same items through several adapters in one process, against a process for each.

What adapters have in common is shared: libraries and base are loaded once, items read and laid out
as trees once. What passes through the layers is each adapter's own, from the first layer on.

    python benchmarks/arms.py --data ../shared/data/socialiqa --adapters 5
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BEGAN = time.perf_counter()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", default="starter", help="starter, a file, or SocialIQA's folder")
    parser.add_argument("--limit", type=int, help="items; all where not given")
    parser.add_argument("--base", default="embedded", help="embedded, a path or a Hub id")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--adapters", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    import torch

    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        shared, own = measured(args, Path(folder))
    one, all_of_them = shared + own[0], shared + sum(own)
    result = {
        "shared_s": round(shared, 1),
        "own_s": [round(s, 1) for s in own],
        "ratio_to_one": round(all_of_them / one, 2),
    }
    if args.json:
        print(json.dumps(result))
        return
    print(f"shared {shared:.1f} s; of its own an adapter takes", *(f"{s:.1f}" for s in own), "s")
    print(f"{len(own)} adapters in one process cost {all_of_them / one:.2f} x what one costs")


def measured(args: argparse.Namespace, folder: Path) -> tuple[float, list[float]]:
    """Seconds of what is shared, and of each adapter's own."""
    from generate import save_adapters
    from personalign.evals import social
    from personalign.models.engine import adopt
    from personalign.models.local import LocalModel
    from personalign.models.respondent import LocalRespondent

    local = LocalModel.load(args.base, args.dtype)
    with timed() as making:
        adapters = save_adapters(args.base, args.dtype, folder, args.adapters)
    items = social.read(args.data)[: args.limit]
    who = LocalRespondent(adopt(local))
    trees = [who.tree(social.plain(item)) for item in items]
    shared = time.perf_counter() - BEGAN - making[0]
    own = []
    for name, path in adapters.items():
        with timed() as took:
            local.add_adapter(name, path)
            local.score(trees, name)
        own.append(took[0])
    return shared, own


@contextmanager
def timed() -> Iterator[list[float]]:
    """A list that has the seconds once the block is left."""
    seconds: list[float] = []
    began = time.perf_counter()
    yield seconds
    seconds.append(time.perf_counter() - began)


if __name__ == "__main__":
    main()
