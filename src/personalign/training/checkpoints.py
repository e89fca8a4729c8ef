"""Checkpoints of a training: which is whole, and what was wrong with it."""

from __future__ import annotations

import shutil
from pathlib import Path

from transformers import TrainerState

from personalign.files import write_atomic
from personalign.training.problem import Problem, problems

__all__ = ["COMPLETE", "discard", "last_complete", "mark_complete", "problem_before"]

COMPLETE = "complete"  # written into a checkpoint when all of it is there


def mark_complete(work: Path, step: int) -> None:
    """Say that all of a step's checkpoint is there."""
    write_atomic(work / f"checkpoint-{step}" / COMPLETE, "")


def last_complete(work: Path) -> str | None:
    """The last checkpoint that was written to its end; torn ones are removed."""
    found = sorted(work.glob("checkpoint-*"), key=lambda p: int(p.name.rsplit("-", 1)[1]))
    for torn in [p for p in found if not (p / COMPLETE).exists()]:
        shutil.rmtree(torn)
    whole = [p for p in found if p.exists()]
    return str(whole[-1]) if whole else None


def discard(work: Path) -> None:
    """Remove all checkpoints. Stopped in the middle, none is left that looks complete."""
    for mark in work.glob(f"checkpoint-*/{COMPLETE}"):
        mark.unlink()
    shutil.rmtree(work, ignore_errors=True)


def problem_before(checkpoint: str | None) -> Problem | None:
    """The last problem of a training that went on until this checkpoint."""
    if checkpoint is None:
        return None
    state = TrainerState.load_from_json(str(Path(checkpoint) / "trainer_state.json"))
    return next(reversed(problems(state.log_history)), None)
