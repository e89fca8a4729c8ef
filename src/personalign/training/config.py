"""How a persona is trained. Unknown keys are an error; the docstrings are the help."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from personalign.records import Record

__all__ = ["Health", "Lora", "Selection", "TrainingConfig"]

OPTIONS: dict[str, dict[str, float]] = {
    "dpo": {"beta": 0.1},
    "robust_dpo": {"beta": 0.1, "label_smoothing": 0.1},
    "ipo": {"beta": 0.5},
    "hinge": {"beta": 0.1},
    "apo_zero": {"beta": 0.1},
    "simpo": {"beta": 2.0, "gamma": 1.0},
    "orpo": {"beta": 0.1},
}
"""What each objective uses, with the value it has where none is given (see `losses.py`)."""


WITHOUT_BASE = ("simpo", "orpo")  # objectives that the base has no part in


class Lora(Record):
    """Low-rank adapters (Hu et al. 2021, arXiv 2106.09685), through PEFT."""

    rank: int = Field(16, ge=1)
    """Rank r of the update B·A."""
    alpha: float = Field(16, gt=0)
    """The update is scaled by alpha / rank, or alpha / √rank with `rslora`."""
    rslora: bool = False
    """Scale by alpha / √rank, which keeps high ranks learning (Kalajdzievski 2023, 2312.03732)."""
    dora: bool = False
    """Train magnitude and direction apart (Liu et al. 2024, DoRA, arXiv 2402.09353); slower."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on the adapter's input."""
    targets: tuple[str, ...] | Literal["all-linear"] = "all-linear"
    """Names of the linear layers that get an adapter."""


class Health(Record):
    """What is watched while it trains, and what happens when something is wrong."""

    on_problem: Literal["warn", "stop", "adjust"] = "warn"
    """Say it and go on, stop with an error, or change the setting that is to blame and go on."""
    samples: int = Field(12, ge=0)
    """Prompts at each look at the model's text, each answered greedily and drawn; 0 looks never."""
    sample_steps: int = Field(12, ge=1)
    """Optimiser steps between such looks; the last step has one as well."""
    sample_tokens: int = Field(128, ge=8)
    """Length limit of such a reply, in tokens."""
    patience: int = Field(8, ge=1)
    """Steps that a measure is averaged over, so that one odd batch is no problem."""
    max_drop: float = Field(1.0, gt=0)
    """Chosen log-prob may fall this far below the base's, in nats a token."""
    max_repetition: float = Field(0.15, gt=0, le=1)
    """Share of repeated word triples in replies beyond the base's."""
    min_distinct: float = Field(0.7, ge=0, lt=1)
    """Different word pairs in the openings of replies, as a share of the base's."""
    min_length: float = Field(0.4, ge=0, lt=1)
    """Length of replies, as a share of the base's."""
    max_unended: float = Field(0.25, gt=0, le=1)
    """Share of replies that no longer end by themselves."""
    max_end_shift: float = Field(2.0, gt=0)
    """How far the end of turn may move after a sentence, in log-odds."""
    max_base_loss: float = Field(0.5, gt=0)
    """What the base says may become less likely by so much, in nats a token."""


class Selection(Record):
    """Which points of a training are looked at before one is kept; see `training/selection.py`."""

    checkpoints: int = Field(3, ge=1)
    """So many, spread evenly over the training, its end included."""
    strengths: tuple[float, ...] = (0.6, 0.8, 1.0)
    """What the update of each is multiplied with; 1 is as it was trained. DoRA has only that."""

    @field_validator("strengths")
    @classmethod
    def _some_up_to_two(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not value or not all(0 < s <= 2 for s in value):
            raise ValueError("strengths are above 0 and at most 2, at least one of them")
        return value


class TrainingConfig(Record):
    """Settings of one preference training."""

    method: Literal["lora", "qlora", "full"] = "lora"
    """Train an adapter, an adapter over a 4-bit base (CUDA only), or all weights."""
    loader: Literal["transformers", "unsloth"] = "transformers"
    """Who loads the base for training; unsloth is an optional extra and needs CUDA."""
    objective: Literal["dpo", "robust_dpo", "ipo", "hinge", "apo_zero", "simpo", "orpo"] = "dpo"
    """The loss; see `training/losses.py`."""
    beta: float = Field(0.1, gt=0)
    """How strongly the loss reacts to the margin; high holds the policy to the base (DPO, IPO).
    Default 0.1, for simpo 2.0, for ipo 0.5, which aims at a margin of 1 / 2β = 1 nat a token."""
    label_smoothing: float | None = Field(None, ge=0, lt=0.5)
    """Share of preferences thought to be flipped; robust_dpo only, 0.1 there."""
    gamma: float | None = Field(None, ge=0)
    """Margin that the chosen reply should win by; simpo only, 1.0 there."""
    nll: float = Field(0.0, ge=0)
    """Weight of the chosen reply's negative log-likelihood, in nats a token."""
    kl: float = Field(0.0, ge=0)
    """Weight of the divergence from the base on neutral prompts, in nats a token."""
    neutral_tokens: int = Field(256, ge=1)
    """Where `kl` is set: the base's replies to neutral prompts are cut after so many tokens."""
    epochs: int = Field(2, ge=1)
    """Passes over the pairs."""
    target_margin: float | None = Field(None, gt=0)
    """Training ends once the pairs are told apart by so much more than by the base, in nats a
    token, mean of `health.patience` steps; never before `epochs` where empty."""
    learning_rate: float = Field(2e-4, gt=0)
    """Peak learning rate of AdamW."""
    schedule: Literal["linear", "cosine", "constant"] = "cosine"
    """How the learning rate falls after warming up."""
    warmup: float = Field(0.1, ge=0, lt=1)
    """Share of the steps over which the learning rate rises."""
    weight_decay: float = Field(0.0, ge=0)
    """AdamW's weight decay."""
    weight_dtype: Literal["float32", "bfloat16"] = "float32"
    """Numbers of the trained weights, their gradients and moments; bfloat16 halves their memory and
    rounds away updates below 1/256 of a weight."""
    max_grad_norm: float = Field(1.0, ge=0)
    """The gradient of a step is scaled down to this norm; 0 clips none."""
    batch_size: int = Field(16, ge=1)
    """Pairs per optimiser step."""
    micro_batch: int = Field(4, ge=1)
    """Pairs per forward pass; bounds memory, changes no result."""
    seed: int = 0
    """Seed of the order of pairs and of the adapter's initial weights."""
    system: Literal["none", "persona", "lapd"] = "none"
    """System prompt during training: none, the persona's own, or LAPD's "You are an {type}"."""
    checkpoint_steps: int = Field(5, ge=1)
    """Optimiser steps between checkpoints."""
    lora: Lora = Lora()
    """The adapter."""
    health: Health = Health()
    """What is watched while it trains."""
    selection: Selection | None = Selection()
    """Keep the best checkpoint and strength on pairs that did not train; empty keeps the last. Not
    with method full, whose checkpoints are whole models, and nothing to judge without health's
    samples."""
    report_to: tuple[str, ...] = ()
    """Experiment trackers that transformers' Trainer knows, such as tensorboard or wandb."""

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_objective(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        own = OPTIONS.get(data.get("objective", "dpo"), {})
        return data | {k: v for k, v in own.items() if data.get(k) is None}

    @model_validator(mode="after")
    def _only_what_is_used(self) -> TrainingConfig:
        for name in ("label_smoothing", "gamma"):
            if getattr(self, name) is not None and name not in OPTIONS[self.objective]:
                users = ", ".join(o for o, used in OPTIONS.items() if name in used)
                raise ValueError(
                    f"{name} is not used by objective {self.objective!r}: remove it, "
                    f"or take {users}"
                )
        if self.target_margin is not None and self.objective in WITHOUT_BASE:
            raise ValueError(
                f"target_margin is a margin over the base, which {self.objective!r} has no use "
                "for: remove it, or take dpo"
            )
        if self.method == "full" and self.lora != Lora():
            raise ValueError("method 'full' trains no adapter: remove lora, or take method lora")
        if self.batch_size % min(self.micro_batch, self.batch_size):
            raise ValueError(
                f"micro_batch {self.micro_batch} does not divide batch_size {self.batch_size}"
            )
        return self

    def options(self) -> dict[str, float]:
        """The keyword arguments of the objective's loss."""
        return {name: getattr(self, name) for name in OPTIONS[self.objective]}
