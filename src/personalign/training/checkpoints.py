"""Checkpoints of a training: which is whole, and what was wrong with it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from transformers import TrainerState

from personalign.files import write_atomic
from personalign.training.problem import Problem, problems

__all__ = [
    "COMPLETE",
    "complete",
    "discard",
    "ended_at",
    "last_complete",
    "mark_complete",
    "problem_before",
    "spread",
    "state_of",
]

COMPLETE = "complete"  # written into a checkpoint when all of it is there
ENDED = "ended"  # what stands in it where the training ended there


def mark_complete(work: Path, step: int, ended: bool = False) -> None:
    """Say that all of a step's checkpoint is there, and whether the training ended with it."""
    write_atomic(work / f"checkpoint-{step}" / COMPLETE, ENDED if ended else "")


def complete(work: Path) -> list[tuple[int, Path]]:
    """Step and folder of all checkpoints that were written to their end, in order."""
    found = [(int(p.name.rsplit("-", 1)[1]), p) for p in work.glob("checkpoint-*")]
    return sorted((step, p) for step, p in found if (p / COMPLETE).exists())


def spread(found: Sequence[tuple[int, Path]], count: int) -> list[tuple[int, Path]]:
    """So many of them, by their steps as evenly apart as they come, the last included."""
    last = found[-1][0]

    def nearest(step: float) -> tuple[int, Path]:
        return min(found, key=lambda f: abs(f[0] - step))

    return sorted({nearest(last * (k + 1) / count) for k in range(count)})


def last_complete(work: Path) -> str | None:
    """The last checkpoint that was written to its end; torn ones are removed."""
    for torn in [p for p in work.glob("checkpoint-*") if not (p / COMPLETE).exists()]:
        shutil.rmtree(torn)
    whole = complete(work)
    return str(whole[-1][1]) if whole else None


def ended_at(checkpoint: str) -> bool:
    """Did the training end with this checkpoint?"""
    return (Path(checkpoint) / COMPLETE).read_text() == ENDED


def state_of(checkpoint: str) -> TrainerState:
    """What was logged until then, and where it stood."""
    return TrainerState.load_from_json(str(Path(checkpoint) / "trainer_state.json"))


def discard(work: Path) -> None:
    """Remove all checkpoints. Stopped in the middle, none is left that looks complete."""
    for mark in work.glob(f"checkpoint-*/{COMPLETE}"):
        mark.unlink()
    shutil.rmtree(work, ignore_errors=True)


def problem_before(checkpoint: str | None) -> Problem | None:
    """The last problem of a training that went on until this checkpoint."""
    if checkpoint is None:
        return None
    return next(reversed(problems(state_of(checkpoint).log_history)), None)
