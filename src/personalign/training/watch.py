"""Looks at a training while it runs: every check at every step, and the model's text now and then.

What was found stands in the trainer's own log history, is saved with every checkpoint and is
therefore there again after a resume.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch.nn.utils import get_total_norm
from transformers import TrainerCallback

from personalign.errors import TrainingError
from personalign.training.config import TrainingConfig
from personalign.training.health import CHECKS, Check
from personalign.training.problem import Adjustment, Problem, problems

__all__ = ["Watch"]

MAX_UNSTEADY = 3  # steps in a row that may be lost to numbers that are not finite


class Watch(TrainerCallback):
    """Runs the checks at every logged step and does what `on_problem` says.

    Args:
        settings: Of the training.
        change: Called with adjusted settings.
        note: Called with name and value of a measure that is to be logged.
        listen: Gives how the model speaks, beside its base (`Speech.beside`); None where it is
            not let talk.
    """

    def __init__(
        self,
        settings: TrainingConfig,
        change: Callable[[TrainingConfig], None],
        note: Callable[[str, float], None],
        listen: Callable[[], Mapping[str, float]] | None = None,
    ) -> None:
        self.settings = settings
        self.change = change
        self.note = note
        self.listen = listen
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
        largest = get_total_norm([p.grad for p in trained], math.inf)
        if largest.isfinite():  # the one value of a step that is waited for before it is made
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
        if self.listen and (due or state.global_step == state.max_steps):
            for name, value in self.listen().items():
                self.note(name, value)

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

        if self._reached(logs):
            control.should_training_stop = control.should_save = True

    def _reached(self, logs: Sequence[Mapping[str, float]]) -> bool:
        """Has the margin what it needs?"""
        target, count = self.settings.target_margin, self.settings.health.patience
        margins = [log["margins/token"] for log in logs if "margins/token" in log][-count:]
        return target is not None and len(margins) == count and sum(margins) / count >= target

    def _said(self, check: Check, state: Any, patience: int) -> bool:
        """Was it said so lately that what was changed cannot have helped yet?"""
        steps = [p.step for p in problems(state.log_history) if p.problem == check.name]
        return bool(steps) and state.global_step - steps[-1] < patience

    def _set_weight(self, adjusted: Adjustment) -> None:
        if "nll" in adjusted:
            self.settings = self.settings.model_copy(update={"nll": adjusted["nll"]})
            self.change(self.settings)


def _refuse_lost(log: Mapping[str, float], step: int) -> None:
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
