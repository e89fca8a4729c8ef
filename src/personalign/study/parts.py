"""How the parts of a condition are made: each is a respondent around a respondent.

To add one, write a function here (or anywhere) under `@part("its-name")`; from then on studies,
plans, tables and reports know conditions with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from personalign.models.respondent import Prompted, Respondent
from personalign.records import PARTS, Arm

__all__ = ["Desk", "part", "wrapped"]


class Desk(Protocol):
    """What a part may ask of the study."""

    def prompt(self, name: str) -> str:
        """A persona's system prompt."""
        ...


Wrap = Callable[[Respondent, Arm, Desk], Respondent]
_WRAPS: dict[str, Wrap] = {}


def part(name: str) -> Callable[[Wrap], Wrap]:
    """Registers how a part is put around whoever answers; it is named after those before it."""

    def register(wrap: Wrap) -> Wrap:
        _WRAPS[name] = wrap
        if name not in PARTS:
            PARTS.append(name)
        return wrap

    return register


@part("prompted")
def _prompted(who: Respondent, arm: Arm, desk: Desk) -> Respondent:
    return Prompted(who, desk.prompt(arm.persona))


def wrapped(who: Respondent, arm: Arm, desk: Desk) -> Respondent:
    """Who answers for an arm, once its adapter is chosen."""
    for name in arm.condition.parts:
        if name in _WRAPS:
            who = _WRAPS[name](who, arm, desk)
    return who
