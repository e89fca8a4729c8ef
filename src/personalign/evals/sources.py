"""Where questions come from beside the shipped sets, and the names that results on them bear."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from personalign.errors import CorpusError, InputError

__all__ = ["hub_rows", "own_name"]

KNOWN = (
    *("advbench", "beavertails-evaluation", "eq-bench", "harmbench"),
    *("socialiqa", "strongreject", "xstest"),
    *(f"starter-{x}" for x in ("conflict", "emotional", "neutral", "refusal", "safety", "social")),
)
"""Sets that others know by their names."""


def own_name(path: Path) -> str:
    """What a file or folder calls itself, marked as a part where that is a known set's name.

    For files that were found not to be the whole set.
    """
    name = path.resolve().stem
    plain = re.sub(r"[\W_]+", "-", name.lower())
    return f"{name}-part" if plain.startswith(KNOWN) else name


def hub_rows(
    repository: str, split: str, configuration: str | None = None
) -> list[Mapping[str, Any]]:
    """A data set's rows from the Hub.

    Raises:
        InputError: where the extra `hub` is not installed.
        CorpusError: where the data cannot be had.
    """
    try:
        from datasets import load_dataset
    except ImportError as e:
        raise InputError("datasets is not installed", "pip install 'personalign[hub]'") from e
    try:
        return list(load_dataset(repository, configuration, split=split))
    except Exception as e:  # the hub client raises its own, requests' and OS errors
        reason = (str(e).strip() or type(e).__name__).splitlines()[0]
        raise CorpusError(
            f"{repository} cannot be had from the Hub: {reason}",
            "accept its terms and log in, or give the path of a local copy",
        ) from e
