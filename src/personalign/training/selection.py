"""Which checkpoint, at which strength, is kept: the persona gained against the base kept.

A training goes through many points and stops at one of them by its number of steps. All points
are judged on pairs that did not train, and on what the base says to prompts that have nothing to
do with any persona; both stand in the frontier, whichever point is taken.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from personalign.models.local import LocalModel
from personalign.models.trees import Tree
from personalign.progress import Progress, silent
from personalign.records import Record
from personalign.training.config import Health
from personalign.training.health import Ear
from personalign.training.losses import PairLogProbs, average_margin

__all__ = ["FRONTIER", "Frontier", "Point", "choose", "frontier", "put"]

FRONTIER = "frontier.json"
WEIGHTS = "adapter_model.safetensors"


class Point(Record):
    """A checkpoint at a strength.

    Attributes:
        step: Optimiser steps made.
        strength: What the update is multiplied with, 1 as it was trained.
        gained: How much more than the base it prefers the chosen reply of held-out pairs, nats a
            token, mean over pairs.
        gained_error: Standard error of that mean; NaN of one pair is written as 0.
        own: How much likelier than under the base the chosen reply became, nats a token.
        base_loss: How much less likely it finds what the base says to our prompts, nats a token.
        end_shift: How far the end of turn moved, in log-odds: either way inside what the base
            says, or away from where the base ends, whichever is more.
    """

    step: int
    strength: float
    gained: float
    gained_error: float
    own: float
    base_loss: float
    end_shift: float

    def keeps_base(self, health: Health) -> bool:
        """Is it within what health allows?"""
        return self.base_loss <= health.max_base_loss and self.end_shift <= health.max_end_shift


class Frontier(Record):
    """All points that were looked at, and the one that is kept."""

    points: tuple[Point, ...]
    chosen: int

    @property
    def kept(self) -> Point:
        """The point that is kept."""
        return self.points[self.chosen]


def choose(points: Sequence[Point], health: Health) -> int:
    """The point that keeps most of the base among those with nearly the most persona.

    Nearly is within one standard error of the most that is gained (the one-standard-error rule of
    Breiman et al. 1984, Classification and Regression Trees, section 3.4.3). Points beyond the
    limits of health are left out, unless all are: then the one that is nearest to the base is
    kept, and health has said what is wrong.
    """
    within = [i for i, p in enumerate(points) if p.keeps_base(health)]
    if not within:
        return min(range(len(points)), key=lambda i: points[i].base_loss)
    most = points[max(within, key=lambda i: points[i].gained)]
    near = [i for i in within if points[i].gained >= most.gained - most.gained_error]
    return min(near, key=lambda i: points[i].base_loss)


def frontier(
    trained: LocalModel,
    checkpoints: Sequence[tuple[int, Path]],
    strengths: Sequence[float],
    held_out: Sequence[tuple[Tree, tuple[float, float]]],
    heard: Ear,
    health: Health,
    progress: Progress = silent,
) -> Frontier:
    """Look at every checkpoint at every strength, and leave the chosen one in the model.

    Args:
        trained: The base under the adapter that was trained.
        checkpoints: Step and folder of each; the last is the end of the training.
        held_out: Pairs as trees, chosen first, each with the base's log-probs of both replies.
        heard: What the base says, and how likely it finds it.
        progress: Called with the number of points that were looked at since.
    """
    points: list[Point] = []
    for step, folder in checkpoints:
        for strength in strengths:
            put(trained.model, folder, strength)
            points.append(_point(trained, step, strength, held_out, heard))
            progress(1)
    found = Frontier(points=tuple(points), chosen=choose(points, health))
    folders = dict(checkpoints)
    put(trained.model, folders[found.kept.step], found.kept.strength)
    return found


@torch.no_grad()
def put(model: Any, folder: Path, strength: float) -> None:
    """Give an adapter under training the weights of a checkpoint, its update scaled."""
    from peft import set_peft_model_state_dict

    set_peft_model_state_dict(model, load_file(folder / WEIGHTS))
    for name, weight in model.named_parameters():
        if ".lora_B." in name:
            weight.mul_(strength)


def _point(
    trained: LocalModel,
    step: int,
    strength: float,
    held_out: Sequence[tuple[Tree, tuple[float, float]]],
    heard: Ear,
) -> Point:
    scored = trained.score([tree for tree, _ in held_out])
    sums = [[float(branch.double().sum()) for branch in branches] for branches in scored]
    pairs = PairLogProbs(
        torch.tensor(sums, dtype=torch.float64),
        torch.tensor([reference for _, reference in held_out], dtype=torch.float64),
        torch.tensor([[len(b) for b in tree.branches] for tree, _ in held_out]),
    )
    margins, kept = average_margin(pairs), heard.kept(trained)
    return Point(
        step=step,
        strength=strength,
        gained=float(margins.mean()),
        gained_error=_error(margins),
        own=float((pairs.ratios / pairs.lengths)[:, 0].mean()),
        base_loss=kept["speech/base_loss"],
        end_shift=max(abs(kept["speech/end_inside"]), -kept["speech/end_at_end"]),
    )


def _error(values: Tensor) -> float:
    error = float(values.std()) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return error if math.isfinite(error) else 0.0
