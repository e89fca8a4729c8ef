"""What something is, as one number: values, files and folders by their content."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

__all__ = ["content_hash", "file_hash", "tree_hash"]


def content_hash(value: Any) -> str:
    """sha256 of a value's canonical JSON (pydantic models and paths included)."""

    def plain(x: Any) -> Any:
        return x.model_dump(mode="json") if hasattr(x, "model_dump") else str(x)

    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=plain)
    return hashlib.sha256(text.encode()).hexdigest()


def file_hash(path: Path) -> str:
    """sha256 of a file's bytes."""
    total = hashlib.sha256()
    with path.open("rb") as f:
        while block := f.read(1 << 20):
            total.update(block)
    return total.hexdigest()


def tree_hash(path: Path) -> str:
    """Hash of a file, or of the names and contents of all files below a folder."""
    if path.is_file():
        return file_hash(path)
    files = sorted(p for p in path.rglob("*") if p.is_file())
    return content_hash([(str(p.relative_to(path)), file_hash(p)) for p in files])
