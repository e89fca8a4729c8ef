"""What the analysis can use beside the scores, and streams of random numbers."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from personalign.analysis.judges import JudgeErrors
from personalign.records import Arm

__all__ = ["Context", "stream"]


@dataclass(frozen=True)
class Context:
    """Texts, persona strength and judge calibrations; a part that needs what is empty is absent.

    Attributes:
        prompts: task → sample → what was asked.
        replies: task → arm → sample → what was answered.
        lengths: task → arm → sample → tokens of the reply, and 1 where it stopped at its limit, 0
            where not, NaN where that is not known.
        profiles: persona → who it is, in its own words.
        types: persona → its four letters; by default a persona is named by its type.
        strength: arm → how much more it prefers its persona's replies than base does, in nats per
            token; base stands at 0.
        judges: task → what is known of its judge's errors.
    """

    prompts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    replies: Mapping[str, Mapping[Arm, Mapping[str, str]]] = field(default_factory=dict)
    lengths: Mapping[str, Mapping[Arm, Mapping[str, tuple[int, float]]]] = field(
        default_factory=dict
    )
    profiles: Mapping[str, str] = field(default_factory=dict)
    types: Mapping[str, str] | None = None
    strength: Mapping[Arm, float] = field(default_factory=dict)
    judges: Mapping[str, JudgeErrors] = field(default_factory=dict)


def stream(seed: int, *names: str) -> np.random.Generator:
    """A generator of its own for each name, from one seed."""
    return np.random.default_rng([seed, *(zlib.crc32(name.encode()) for name in names)])
