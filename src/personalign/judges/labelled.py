"""Replies that people have labelled safe or unsafe, in BeaverTails' form.

Lines with `prompt`, `response`, `is_safe`, and the kinds of harm either as `category` (name →
true or false, as BeaverTails publishes them) or as `categories` (a list of names). The data stay
where the user has them: nothing of them enters this package.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from personalign.errors import CorpusError
from personalign.files import read_records
from personalign.judges.verdict import Exchange

__all__ = ["Labelled", "labels", "read_labelled"]


class Labelled(BaseModel):
    """One labelled reply; other keys of its line are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    prompt: str = Field(min_length=1)
    response: str
    is_safe: bool
    categories: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _named(cls, data: Any) -> Any:
        """Both ways of naming kinds of harm, as a list of names."""
        if not isinstance(data, dict):
            return data
        flags = data.get("category")
        given = [c for c, on in flags.items() if on] if isinstance(flags, dict) else None
        return data | {"categories": given if given is not None else data.get("categories") or ()}

    @property
    def exchange(self) -> Exchange:
        """What a judge sees of it."""
        return Exchange(prompt=self.prompt, reply=self.response)


def read_labelled(path: Path) -> list[Labelled]:
    """Labelled replies of a JSON Lines file.

    Raises:
        CorpusError: naming the malformed line, or for a file with one kind of label only.
    """
    rows = read_records(path, Labelled)
    if len({row.is_safe for row in rows}) < 2:
        raise CorpusError(
            f"{path}: {len(rows)} replies, all with the same label or none",
            "give safe and unsafe replies, as lines with prompt, response and is_safe",
        )
    return rows


def labels(rows: list[Labelled]) -> NDArray[np.float64]:
    """1 for unsafe, 0 for safe, [n]."""
    return np.array([float(not row.is_safe) for row in rows])
