"""Runs: steps as data, the folder that keeps what is done, the runner that does the rest."""

from __future__ import annotations

from personalign.runs.code import code_hash
from personalign.runs.environment import environment
from personalign.runs.hashing import content_hash, file_hash, tree_hash
from personalign.runs.runner import State, concurrently, do_all, states
from personalign.runs.step import Done, Resources, Step
from personalign.runs.store import MANIFEST, Store

__all__ = [
    "MANIFEST",
    "Done",
    "Resources",
    "State",
    "Step",
    "Store",
    "code_hash",
    "concurrently",
    "content_hash",
    "do_all",
    "environment",
    "file_hash",
    "states",
    "tree_hash",
]
