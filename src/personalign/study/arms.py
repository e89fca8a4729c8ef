"""Who is measured: a persona under a condition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from personalign.records import Condition

__all__ = ["BASE", "Arm", "arms"]


@dataclass(frozen=True, slots=True)
class Arm:
    """A persona under a condition; the base has no persona."""

    persona: str
    condition: Condition

    @property
    def slug(self) -> str:
        """Name of the arm's files."""
        return f"{self.persona}-{self.condition}" if self.persona else self.condition

    @property
    def adapter(self) -> str | None:
        """Name of the adapter that answers, if any."""
        return self.persona if "adapter" in self.condition else None


BASE = Arm("", "base")


def arms(personas: Sequence[str], conditions: Sequence[Condition]) -> list[Arm]:
    """Base first, then every persona under every other condition."""
    rest = [c for c in conditions if c != "base"]
    return [BASE] + [Arm(p, c) for p in personas for c in rest]
