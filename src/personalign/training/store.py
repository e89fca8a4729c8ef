"""What is kept of a base between trainings: one file a base and number type."""

from __future__ import annotations

import hashlib
import sqlite3
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from personalign.errors import RunError
from personalign.models.embedded import cache_folder
from personalign.models.local import LocalModel
from personalign.runs import content_hash

__all__ = ["key", "open_store"]

TABLES = (
    "CREATE TABLE IF NOT EXISTS log_prob (key BLOB PRIMARY KEY, value REAL)",
    "CREATE TABLE IF NOT EXISTS reply (key BLOB PRIMARY KEY, value TEXT)",
)


def key(prompt: Sequence[int], rest: Sequence[int]) -> bytes:
    """The place of what depends on a prompt's tokens and on the numbers after it."""
    return hashlib.sha256(array("l", [len(prompt), *prompt, *rest]).tobytes()).digest()


@contextmanager
def open_store(local: LocalModel) -> Iterator[sqlite3.Connection]:
    """The store of a base: tables `log_prob` and `reply`, each with a key and a value.

    Raises:
        RunError: where it cannot be read or written.
    """
    name = content_hash([local.identity, local.dtype, local.device.type])[:24]
    path = cache_folder() / "reference" / f"{name}.sqlite"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=60)
        for table in TABLES:
            connection.execute(table)
    except (OSError, sqlite3.Error) as e:
        raise RunError(f"cannot use {path}: {e}", _remedy(path)) from e
    try:
        yield connection
    except sqlite3.Error as e:
        raise RunError(f"cannot use {path}: {e}", _remedy(path)) from e
    finally:
        connection.close()


def _remedy(path: Path) -> str:
    return f"make room, or set PERSONALIGN_CACHE to another folder than {path.parent.parent}"
