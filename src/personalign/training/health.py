"""Is the training going well? Looked at while it trains; each problem with what to change.

A check is a pure function of what was logged so far, so that it can be tested without a model.
What was found stands in the trainer's own log history, is saved with every checkpoint and is
therefore there again after a resume.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import TrainerCallback

from personalign.errors import TrainingError
from personalign.training.config import Health, TrainingConfig
from personalign.training.problem import Adjustment, Problem

__all__ = ["CHECKS", "Check", "Samples", "Watch", "problems", "repetition"]

Log = Mapping[str, float]
MAX_UNSTEADY = 3  # steps in a row that may be lost to numbers that are not finite
ENOUGH = 0.6  # reward accuracy that is told from a coin's


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that can go wrong.

    `look` gives the value and its limit where it has gone wrong, None where it has not; its
    arguments are the logs of all steps so far, the number of all steps, and the settings.
    """

    name: str
    meaning: str
    remedy: str
    look: Callable[[Sequence[Log], int, Health], tuple[float, float] | None]
    adjust: Callable[[TrainingConfig], Adjustment]


def _recent(logs: Sequence[Log], name: str, count: int) -> float | None:
    values = [log[name] for log in logs if name in log and math.isfinite(log[name])][-count:]
    return sum(values) / len(values) if values else None


def _collapse(logs: Sequence[Log], steps: int, health: Health) -> tuple[float, float] | None:
    shift = _recent(logs, "logps/chosen_shift", health.patience)
    return (shift, -health.max_drop) if shift is not None and shift < -health.max_drop else None


def _stuck(logs: Sequence[Log], steps: int, health: Health) -> tuple[float, float] | None:
    late = len(logs) > health.patience and len(logs) >= steps / 3
    accuracy = _recent(logs, "rewards/accuracies", health.patience)
    return (accuracy, ENOUGH) if late and accuracy is not None and accuracy < ENOUGH else None


def _far(logs: Sequence[Log], steps: int, health: Health) -> tuple[float, float] | None:
    away = _recent(logs[-1:], "samples/kl", 1)
    return (away, health.max_kl) if away is not None and away > health.max_kl else None


def _repeats(logs: Sequence[Log], steps: int, health: Health) -> tuple[float, float] | None:
    share = logs[-1].get("samples/repetition")
    over = share is not None and share > health.max_repetition
    return (share, health.max_repetition) if share is not None and over else None


def _unsteady(logs: Sequence[Log], steps: int, health: Health) -> tuple[float, float] | None:
    lost = logs[-1].get("skipped", 0)
    return (lost, 0) if lost else None


def _slower(settings: TrainingConfig) -> Adjustment:
    return {"learning_rate": 0.5}


CHECKS = (
    Check(
        "chosen log-prob collapse",
        "the chosen replies have become less likely than under the base: the loss is met by "
        "pushing the rejected ones down further, and text degrades",
        "add an nll term (0.1 to 1), raise beta, or lower learning_rate",
        _collapse,
        lambda s: {"nll": max(0.1, s.nll, min(1.0, 2 * s.nll))},
    ),
    Check(
        "reward accuracy stuck",
        "the policy tells chosen from rejected hardly better than a coin",
        "raise learning_rate or epochs; if that does not help, look at the pairs: do the two "
        "replies differ in the persona (personalign corpus check)?",
        _stuck,
        lambda s: {"learning_rate": 2.0},
    ),
    Check(
        "numbers not finite",
        "loss or gradient overflowed; the step was left out and the weights are as before",
        "lower learning_rate, or train in float32 or bfloat16 instead of float16",
        _unsteady,
        _slower,
    ),
    Check(
        "repetition in sampled replies",
        "the model has begun to repeat itself, as over-trained models do",
        "fewer epochs, a lower learning_rate, or a higher beta",
        _repeats,
        _slower,
    ),
    Check(
        "divergence from the base",
        "in nats a token, what it says now is far from what the base would say: skills and "
        "refusals may be lost",
        "lower learning_rate, raise beta, or add a kl term with neutral prompts",
        _far,
        _slower,
    ),
)


def repetition(text: str) -> float:
    """Share of a text's word triples that stood there before, 0 to 1 (Welleck et al. 2019,
    arXiv 1908.04319, "seq-rep-n" with n = 3)."""
    words = text.split()
    triples = Counter(zip(words, words[1:], words[2:], strict=False))
    total = triples.total()
    return 1 - len(triples) / total if total else 0.0


@dataclass(frozen=True, slots=True)
class Samples:
    """How the model's text is looked at: gives mean repetition, and divergence from the base in
    nats a token."""

    draw: Callable[[], tuple[float, float]]


class Watch(TrainerCallback):
    """Runs the checks at every logged step and does what `on_problem` says.

    Args:
        settings: Of the training.
        change: Called with adjusted settings.
        note: Called with name and value of a measure that is to be logged.
        samples: How text is looked at; None where it is not.
    """

    def __init__(
        self,
        settings: TrainingConfig,
        change: Callable[[TrainingConfig], None],
        note: Callable[[str, float], None],
        samples: Samples | None = None,
    ) -> None:
        self.settings = settings
        self.change = change
        self.note = note
        self.samples = samples
        self.unsteady = 0
        self.stopped_by: Problem | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """After a resume: the weights of the loss as they had been adjusted."""
        for problem in problems(state.log_history):
            self._set_weight(problem.adjusted)

    def on_pre_optimizer_step(
        self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any
    ) -> None:
        """Leave a step out whose gradient is not finite, before it reaches the weights."""
        trained = [p for p in model.parameters() if p.grad is not None]
        if all(torch.isfinite(p.grad).all() for p in trained):
            self.unsteady = 0
            return
        for parameter in trained:
            parameter.grad = None
        self.unsteady += 1
        self.note("skipped", 1.0)
        if self.unsteady >= MAX_UNSTEADY:
            raise TrainingError(
                f"loss or gradient was not finite for {MAX_UNSTEADY} steps, up to step "
                f"{state.global_step + 1}",
                "lower learning_rate, or train in float32 or bfloat16",
            )

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Look at the model's text from time to time."""
        due = state.global_step % self.settings.health.sample_steps == 0
        if self.samples and (due or state.global_step == state.max_steps):
            repeated, away = self.samples.draw()
            self.note("samples/repetition", repeated)
            self.note("samples/kl", away)

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Run the checks on what was logged, the last step included."""
        logs = [log for log in state.log_history if "loss" in log]
        if not logs or logs[-1] is not state.log_history[-1]:
            return
        health = self.settings.health
        _refuse_lost(logs[-1], state.global_step)
        for check in CHECKS:
            found = check.look(logs, state.max_steps, health)
            if found is None or self._said(check, state, health.patience):
                continue
            adjusted = check.adjust(self.settings) if health.on_problem == "adjust" else {}
            problem = Problem(
                problem=check.name,
                step=state.global_step,
                value=found[0],
                limit=found[1],
                meaning=check.meaning,
                remedy=check.remedy,
                adjusted=adjusted,
            )
            state.log_history.append(problem.model_dump(mode="json"))
            if state.is_world_process_zero:
                print(f"personalign: {problem.line()}", file=sys.stderr)
            self._set_weight(adjusted)
            _set_rate(adjusted, kwargs["optimizer"], kwargs["lr_scheduler"])
            if health.on_problem == "stop":
                self.stopped_by = problem
                control.should_training_stop = control.should_save = True

    def _said(self, check: Check, state: Any, patience: int) -> bool:
        """Was it said so lately that what was changed cannot have helped yet?"""
        steps = [p.step for p in problems(state.log_history) if p.problem == check.name]
        return bool(steps) and state.global_step - steps[-1] < patience

    def _set_weight(self, adjusted: Adjustment) -> None:
        if "nll" in adjusted:
            self.settings = self.settings.model_copy(update={"nll": adjusted["nll"]})
            self.change(self.settings)


def _refuse_lost(log: Log, step: int) -> None:
    """DeepSpeed makes its step before anybody can look at the gradient."""
    if "skipped" not in log and not math.isfinite(log["loss"] + log.get("grad_norm", 0.0)):
        raise TrainingError(
            f"loss or gradient was not finite at step {step}, and the step was made",
            "lower learning_rate, or train in float32 or bfloat16; the last checkpoint is whole",
        )


def _set_rate(adjusted: Adjustment, optimizer: Any, scheduler: Any) -> None:
    """Scale the learning rate now and for the rest of its schedule."""
    factor = adjusted.get("learning_rate", 1.0)
    scheduler = getattr(scheduler, "scheduler", scheduler)  # accelerate may have wrapped it
    scheduler.base_lrs = [rate * factor for rate in scheduler.base_lrs]
    for group in optimizer.param_groups:
        group["lr"] *= factor


def problems(history: Sequence[Mapping[str, Any]]) -> list[Problem]:
    """What was found, out of a trainer's log history."""
    return [Problem.model_validate(h) for h in history if "problem" in h]
