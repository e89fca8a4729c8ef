"""How work says what it is doing, how much of it there is, and how much was done."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Announce", "Progress", "silent", "unannounced"]

Progress = Callable[[int], None]
"""Called with the amount done since the last call."""

Announce = Callable[[str, int], Progress]
"""Called with what begins and its size; what it returns is told how much of it is done."""


def silent(done: int) -> None:
    """Tells nobody what was done."""


def unannounced(name: str, total: int) -> Progress:
    """Tells nobody what begins."""
    return silent
