"""Reference log-probs, computed once and kept by content.

The key of a reply is the hash of the prompt's and the reply's tokens, inside one store for each
reference model; so a corpus that grows by a line costs a line.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from personalign.models.local import LocalModel
from personalign.models.trees import Tree
from personalign.progress import Progress, silent
from personalign.training.store import key, open_store

__all__ = ["reference_log_probs"]


def reference_log_probs(
    local: LocalModel,
    trees: Sequence[Tree],
    progress: Progress = silent,
) -> list[tuple[float, ...]]:
    """Summed log-prob in nats of every branch of every tree under the base without adapters.

    `progress` is called with the number of trees that are ready.
    """
    with open_store(local) as store:
        known = [_look_up(store, tree) for tree in trees]
        missing = [i for i, sums in enumerate(known) if sums is None]
        progress(len(trees) - len(missing))
        for start in range(0, len(missing), 16):
            part = missing[start : start + 16]
            scored = local.score([trees[i] for i in part])
            for i, branches in zip(part, scored, strict=True):
                sums = tuple(float(b.double().sum()) for b in branches)
                keys = [key(trees[i].prompt, b) for b in trees[i].branches]
                store.executemany(
                    "INSERT OR REPLACE INTO log_prob VALUES (?, ?)", zip(keys, sums, strict=True)
                )
                known[i] = sums
            store.commit()
            progress(len(part))
    return [sums for sums in known if sums is not None]


def _look_up(store: sqlite3.Connection, tree: Tree) -> tuple[float, ...] | None:
    sums = []
    for branch in tree.branches:
        query = "SELECT value FROM log_prob WHERE key = ?"
        row = store.execute(query, (key(tree.prompt, branch),)).fetchone()
        if row is None:
            return None
        sums.append(float(row[0]))
    return tuple(sums)
