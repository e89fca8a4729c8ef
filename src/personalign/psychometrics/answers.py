"""What a question yields: a value, or the reason why there is none."""

from __future__ import annotations

from typing import NamedTuple

from personalign.records import State

__all__ = ["Answer"]


class Answer(NamedTuple):
    """An answer to one item in one way.

    `sample` is the item's id; `metric` is the way and then what varies in it, parted by colons,
    such as `expected:list:fit:forward`; `value` is None where `state` is not `ok`.
    """

    sample: str
    metric: str
    value: float | None
    state: State = "ok"
