"""One exception tree. Every error says what is wrong, which value, and what to do about it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "CorpusError",
    "InputError",
    "ModelError",
    "PersonalignError",
    "RunError",
    "TrainingError",
    "unknown",
]


class PersonalignError(Exception):
    """Base of all errors that a user can do something about; the command line exits with 2.

    Args:
        what: What is wrong, with the value and where it stands, in one line.
        remedy: What to do about it, in one line.
    """

    def __init__(self, what: str, remedy: str = "") -> None:
        self.what = what
        self.remedy = remedy
        super().__init__(f"{what} — {remedy}" if remedy else what)


class InputError(PersonalignError):
    """A name, key or value that the user gave does not exist or is out of range."""


class CorpusError(InputError):
    """A file cannot be read, or a line of it is malformed; the message names file and line."""


class ModelError(PersonalignError):
    """Weights cannot be found, loaded, or served correctly."""


class TrainingError(PersonalignError):
    """Training cannot start, or must not go on."""


class RunError(PersonalignError):
    """A run folder cannot be read or written."""


def unknown(kind: str, value: str, known: Iterable[str], where: str = "") -> InputError:
    """An `InputError` for a name that does not exist, with all that are nearest to it."""
    options = sorted(known)
    near = _nearest(value, options) or _nearest(value.upper(), options)
    place = f" in {where}" if where else ""
    named = " or ".join(map(repr, near))
    remedy = f"did you mean {named}?" if near else f"known: {', '.join(options)}"
    return InputError(f"unknown {kind} {value!r}{place}", remedy)


def _nearest(value: str, options: list[str]) -> list[str]:
    """The options that are as near as the nearest; the same letters in another order are next."""

    def near(option: str) -> float:
        swapped = sorted(option) == sorted(value)
        return 1.0 if swapped else difflib.SequenceMatcher(None, option, value).ratio()

    best = max(map(near, options), default=0.0)
    return [option for option in options if near(option) == best] if best >= 0.4 else []
