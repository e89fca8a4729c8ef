"""How a persona is trained. Unknown keys are an error; the docstrings are the help."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from personalign.records import Record

__all__ = ["Lora", "TrainingConfig"]


class Lora(Record):
    """Low-rank adapters (Hu et al. 2021, arXiv 2106.09685), through PEFT."""

    rank: int = Field(16, ge=1)
    """Rank r of the update B·A."""
    alpha: float = Field(16, gt=0)
    """The update is scaled by alpha / rank."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on the adapter's input."""
    targets: tuple[str, ...] | Literal["all-linear"] = "all-linear"
    """Names of the linear layers that get an adapter."""


class TrainingConfig(Record):
    """Settings of one preference training."""

    objective: Literal["dpo"] = "dpo"
    """The loss; see `training/losses.py`."""
    beta: float = Field(0.1, gt=0)
    """Weight of the reference: how far the policy is held to the base."""
    epochs: int = Field(2, ge=1)
    """Passes over the pairs."""
    learning_rate: float = Field(2e-4, gt=0)
    """Peak learning rate of AdamW."""
    schedule: Literal["linear", "cosine", "constant"] = "cosine"
    """How the learning rate falls after warming up."""
    warmup: float = Field(0.1, ge=0, lt=1)
    """Share of the steps over which the learning rate rises."""
    weight_decay: float = Field(0.0, ge=0)
    """AdamW's weight decay."""
    batch_size: int = Field(16, ge=1)
    """Pairs per optimiser step."""
    micro_batch: int = Field(4, ge=1)
    """Pairs per forward pass; bounds memory, changes no result."""
    seed: int = 0
    """Seed of the order of pairs and of the adapter's initial weights."""
    system: Literal["none", "persona"] = "none"
    """System prompt during training: none, or the persona's own."""
    checkpoint_steps: int = Field(5, ge=1)
    """Optimiser steps between checkpoints."""
    lora: Lora = Lora()
    """The adapter."""

    def accumulation(self) -> int:
        """Forward passes per optimiser step."""
        return max(1, self.batch_size // self.micro_batch)
