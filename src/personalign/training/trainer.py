"""Preference training over prompt trees, on transformers' Trainer."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import Trainer, TrainerCallback, TrainingArguments

from personalign.errors import TrainingError
from personalign.files import write_atomic
from personalign.models.chat import with_system
from personalign.models.folding import fold
from personalign.models.local import LocalModel
from personalign.models.trees import PackedTrees, Tree, pack
from personalign.progress import Progress, silent
from personalign.records import PreferencePair
from personalign.training import devices, losses
from personalign.training.checkpoints import (
    complete,
    discard,
    ended_at,
    last_complete,
    mark_complete,
    problem_before,
    spread,
    state_of,
)
from personalign.training.checks import (
    check_fit,
    check_number,
    check_pairs,
    check_targets,
    check_text,
    check_trackers,
)
from personalign.training.config import Lora, TrainingConfig
from personalign.training.health import Ear
from personalign.training.losses import OBJECTIVES, PairLogProbs
from personalign.training.neutral import Neutral
from personalign.training.problem import Problem, problems
from personalign.training.reference import reference_log_probs
from personalign.training.selection import FRONTIER, frontier, put
from personalign.training.watch import Watch

__all__ = [
    "Example",
    "PreferenceTrainer",
    "examples",
    "pair_trees",
    "selects",
    "train",
    "with_neutral",
]

CHOSEN, REJECTED = 0, 1


@dataclass(frozen=True, slots=True)
class Example:
    """A pair as a tree of two branches, chosen first, with the reference's log-probs of both.

    With it may go a neutral reply, on which the policy is held to the base (`kl`).
    """

    tree: Tree
    reference: tuple[float, float]
    neutral: Neutral | None = None


def examples(
    local: LocalModel,
    pairs: Sequence[PreferencePair],
    system: str | None = None,
    progress: Progress = silent,
    objective: str = "dpo",
) -> list[Example]:
    """Pairs as trees, with reference log-probs from the cache or computed now.

    An objective that needs no base (`losses.OBJECTIVES`) has NaN for them, and none is computed.

    Raises:
        TrainingError: where the pairs cannot teach a persona or do not fit into the context.
    """
    trees = pair_trees(local, pairs, system)
    if not OBJECTIVES[objective].refers:
        progress(len(trees))
        return [Example(t, (math.nan, math.nan)) for t in trees]
    references = reference_log_probs(local, trees, progress)
    return [Example(t, (r[CHOSEN], r[REJECTED])) for t, r in zip(trees, references, strict=True)]


def pair_trees(
    local: LocalModel, pairs: Sequence[PreferencePair], system: str | None = None
) -> list[Tree]:
    """Pairs as trees of two branches, chosen first.

    Raises:
        TrainingError: where the pairs cannot teach a persona or do not fit into the context.
    """
    local.chat.check()
    check_pairs(pairs)
    check_text(pairs, local.chat)
    trees = [
        local.chat.reply_tree(
            with_system(pair.prompt, system),
            [pair.chosen[0].content, pair.rejected[0].content],
        )
        for pair in pairs
    ]
    room = local.model.config.get_text_config().max_position_embeddings
    check_fit(pairs, trees, room)
    return trees


def with_neutral(data: Sequence[Example], neutral: Sequence[Neutral]) -> list[Example]:
    """The examples, each with one of the neutral replies, in turn."""
    in_turn = cycle(list(neutral) or [None])  # `train` refuses examples without one
    return [replace(e, neutral=n) for e, n in zip(data, in_turn, strict=False)]


def collate(batch: Sequence[Example]) -> dict[str, Any]:
    """Examples as packed trees, all pairs before all neutral replies.

    `reference` is float64 [pairs, 2], `lengths` [pairs, 2], `neutral` float64 [N] the base's
    log-probs of the neutral tokens, and `share` float64 [N] what each counts in the mean over
    replies of means over tokens.
    """
    neutral = [e.neutral for e in batch if e.neutral]
    known = [value for n in neutral for value in n.reference]
    share = [1 / len(n.reference) / len(neutral) for n in neutral for _ in n.reference]
    return {
        "packed": pack([e.tree for e in batch] + [n.tree for n in neutral]),
        "reference": torch.tensor([e.reference for e in batch], dtype=torch.float64),
        "lengths": torch.tensor([[len(b) for b in e.tree.branches] for e in batch]),
        "neutral": torch.tensor(known, dtype=torch.float64),
        "share": torch.tensor(share, dtype=torch.float64),
    }


class PreferenceTrainer(Trainer):
    """transformers' Trainer with a preference loss over prompt trees."""

    def __init__(self, settings: TrainingConfig, number: torch.dtype, **trainer: Any) -> None:
        super().__init__(data_collator=collate, **trainer)
        self.settings = settings
        self.number = number
        self.model_accepts_loss_kwargs = False  # `compute_loss` weighs the passes itself
        self.measures: dict[str, list[tuple[Tensor | float, int]]] = {}
        self.step_pairs = 0

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> Any:
        """The passes of one step, their pairs counted."""
        passes, items = super().get_batch_samples(*args, **kwargs)
        self.step_pairs = sum(len(one["lengths"]) for one in passes)
        return passes, items

    def training_step(self, *args: Any, **kwargs: Any) -> Tensor:
        """One pass; a loss that is not finite counts 0 in the sum that is logged, which else would
        never be finite again."""
        loss: Tensor = super().training_step(*args, **kwargs)
        return loss.nan_to_num(0.0, 0.0, 0.0)

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Mean loss over the pairs of one pass, weighed by its share of the step's pairs.

        The Trainer divides by the number of passes, which is therefore multiplied in.
        """
        packed: PackedTrees = inputs["packed"].to(self.args.device)
        tokens = self._log_probs(model, packed)
        count = inputs["reference"].numel()
        sums = tokens.new_zeros(packed.branch_count).index_add(0, packed.owner, tokens)
        pairs = PairLogProbs(
            sums[:count].view(-1, 2),
            inputs["reference"].to(sums),
            inputs["lengths"].to(sums.device),
        )
        s = self.settings
        loss = OBJECTIVES[s.objective].loss(pairs, **s.options()).mean()
        if s.nll:
            loss = loss + s.nll * losses.nll(pairs).mean()
        if s.kl:
            own = tokens[-len(inputs["neutral"]) :]  # those of neutral replies stand last
            away = losses.kl(own, inputs["neutral"].to(own))
            divergence = (away * inputs["share"].to(own)).sum()
            loss = loss + s.kl * divergence
            self.note("kl/neutral", divergence, len(pairs.policy))
        self._note_pairs(pairs)
        return loss * (self.current_gradient_accumulation_steps * count / 2 / self.step_pairs)

    def _log_probs(self, model: Any, packed: PackedTrees) -> Tensor:
        half = self.number == torch.bfloat16
        with torch.autocast(self.args.device.type, dtype=self.number, enabled=half):
            result: Tensor = model(packed=packed)  # see `devices.trees_through_forward`
        return result.float()

    @torch.no_grad()
    def _note_pairs(self, pairs: PairLogProbs) -> None:
        ahead = OBJECTIVES[self.settings.objective].ahead(pairs)
        seen = {
            "rewards/accuracies": (ahead > 0).float(),
            "rewards/margins": self.settings.beta * ahead,
            "logps/chosen": pairs.policy[:, CHOSEN],
            "logps/rejected": pairs.policy[:, REJECTED],
        }
        if OBJECTIVES[self.settings.objective].refers:
            seen["logps/chosen_shift"] = (pairs.ratios / pairs.lengths)[:, CHOSEN]
            seen["margins/token"] = losses.average_margin(pairs)
        for name, values in seen.items():
            self.note(name, values.mean(), len(values))

    def change(self, settings: TrainingConfig) -> None:
        """Go on with other weights of the loss."""
        self.settings = settings

    def note(self, name: str, value: Tensor | float, weight: int = 1) -> None:
        """Remember a measure; the next log has the weighted mean of what was remembered."""
        value = value.detach() if isinstance(value, Tensor) else value
        self.measures.setdefault(name, []).append((value, weight))

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Log with the means of what was noted since the last time."""
        if "loss" in logs:
            means = {
                name: float(sum(v * w for v, w in noted)) / sum(w for _, w in noted)
                for name, noted in self.measures.items()
            }
            self.measures.clear()
            if devices.processes() > 1:
                values = torch.tensor(list(means.values()), device=self.args.device)
                shared = self.accelerator.reduce(values, "mean").tolist()
                means = dict(zip(means, shared, strict=True))
            logs |= means
        super().log(logs, *args, **kwargs)


class _Progress(TrainerCallback):
    """Reports optimiser steps, and marks a checkpoint complete once all of it is written."""

    def __init__(self, report: Callable[[int, int], None]) -> None:
        self.report = report

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.report(state.global_step, state.max_steps)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        devices.wait()  # every process writes a part of it
        if state.is_world_process_zero:
            mark_complete(Path(args.output_dir), state.global_step, control.should_training_stop)


def with_lora(model: Any, lora: Lora, seed: int) -> Any:
    """The base under a fresh trainable adapter with float32 weights.

    Raises:
        TrainingError: naming a target that matches no linear layer of the base.
    """
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    targets = lora.targets if isinstance(lora.targets, str) else list(lora.targets)
    check_targets(model, lora)
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]  # PEFT divides it, a float is fine
        lora_dropout=lora.dropout,
        target_modules=targets,
        use_rslora=lora.rslora,
        use_dora=lora.dora,
        task_type="CAUSAL_LM",
    )
    try:
        return get_peft_model(model, config)
    except ValueError as e:
        raise TrainingError(f"LoRA targets {targets}: {e}", "name linear layers of the base") from e


def policy(local: LocalModel, settings: TrainingConfig) -> Any:
    """What is trained: the base under an adapter, or a copy of the base."""
    number = getattr(torch, settings.weight_dtype)
    if settings.method == "full":
        return copy.deepcopy(local.model).to(number).requires_grad_(True)
    adapted = with_lora(local.model, settings.lora, settings.seed)
    for weight in (p for p in adapted.parameters() if p.requires_grad):
        weight.data = weight.data.to(number)
    return adapted


def train(
    local: LocalModel,
    data: Sequence[Example],
    settings: TrainingConfig,
    out: Path,
    progress: Callable[[int, int], None] = lambda step, of: None,
    heard: Ear | None = None,
    held_out: Sequence[Example] = (),
) -> list[dict[str, float]]:
    """Train one persona and save it into `out`; resumes from checkpoints there.

    An adapter is saved in PEFT's format, a full fine-tuning as a model of its own; beside it
    `history.json`, `health.json` and, where a point of the training was selected,
    `frontier.json`. `card.describe` adds the papers: card, README, curves.

    Args:
        local: The base, with no adapters loaded; left as it was.
        progress: Called after each optimiser step with the step and the number of steps.
        heard: What listens to the model now and then; it was made from the same base.
        held_out: Pairs that do not train, on which checkpoints and strengths are judged
            (`settings.selection`).

    Returns:
        What was logged at each optimiser step: loss, rewards, log-probs, learning rate.

    Raises:
        TrainingError: where there is nothing to train on, or health says to stop.
    """
    if not data:
        raise TrainingError("there are no pairs to train on", "check the corpus")
    if local.adapters:
        raise TrainingError("the base has adapters loaded already", "load it anew to train")
    if settings.kl and not all(e.neutral for e in data):
        raise TrainingError("kl is set and there are no neutral prompts", "give some, or set kl: 0")
    check_trackers(settings.report_to)
    check_number(str(local.model.dtype).removeprefix("torch."))
    torch.manual_seed(settings.seed)
    work = out / "checkpoints"
    arguments = _arguments(settings, work, local.device.type)
    model = policy(local, settings)
    try:
        fold(model)
        trainer = PreferenceTrainer(
            settings,
            local.model.dtype,
            model=model,
            args=arguments,
            train_dataset=list(data),
            callbacks=[_Progress(progress)],
        )
        trained = LocalModel(model, local.tokenizer, local.identity, thinking=local.thinking)
        listening = partial(listen, heard, trained) if heard else None
        watch = Watch(settings, trainer.change, trainer.note, listening)
        trainer.add_callback(watch)
        trainer.remove_callback(_default_printer())
        _to_its_end(trainer, watch, work)
        if heard and held_out and selects(settings):
            select(trained, settings, out, heard, held_out)
        trainer.save_model(str(out))
        if devices.is_main():
            if settings.method == "full":
                local.tokenizer.save_pretrained(out)
            _keep(out, trainer.state.log_history)
        devices.wait()
    finally:
        if settings.method != "full":
            local.model = model.unload()
            local.model.eval().requires_grad_(False)
    return [h for h in trainer.state.log_history if "loss" in h]


def _to_its_end(trainer: PreferenceTrainer, watch: Watch, work: Path) -> None:
    """All steps that are left after the last checkpoint."""
    with devices.main_first():
        checkpoint = last_complete(work)
    if watch.settings.health.on_problem == "stop":
        _check_stopped(problem_before(checkpoint), work)
    if checkpoint and ended_at(checkpoint) and selects(watch.settings):
        put(trainer.model, Path(checkpoint), 1.0)
        trainer.state = state_of(checkpoint)
        return
    with devices.trees_through_forward(trainer.model):
        trainer.train(resume_from_checkpoint=checkpoint)
    _check_stopped(watch.stopped_by, work)


def selects(settings: TrainingConfig) -> bool:
    """Is a point of such a training selected, and are its checkpoints therefore kept?"""
    whole = settings.method == "full" or devices.splits_weights()
    return settings.selection is not None and not whole


def select(
    trained: LocalModel,
    settings: TrainingConfig,
    out: Path,
    heard: Ear,
    held_out: Sequence[Example],
) -> None:
    """Leave the best checkpoint at its best strength in the model, and say what there was."""
    assert settings.selection is not None
    strengths = (1.0,) if settings.lora.dora else settings.selection.strengths
    found = frontier(
        trained,
        spread(complete(out / "checkpoints"), settings.selection.checkpoints),
        strengths,
        [(e.tree, e.reference) for e in held_out],
        heard,
        settings.health,
    )
    if devices.is_main():
        write_atomic(out / FRONTIER, found.model_dump_json(indent=1) + "\n")


def listen(heard: Ear, trained: LocalModel) -> dict[str, float]:
    """How what is trained speaks now, beside its base."""
    was_training = trained.model.training
    trained.model.eval()
    try:
        return heard.hear(trained).beside(heard.base)
    finally:
        trained.model.train(was_training)


def _check_stopped(found: Problem | None, work: Path) -> None:
    if found is not None:
        raise TrainingError(
            f"stopped at step {found.step}: {found.problem} {found.value:.3g} "
            f"(limit {found.limit:g})",
            f"{found.remedy}; the checkpoint is in {work}",
        )


def _keep(out: Path, log_history: Sequence[dict[str, Any]]) -> None:
    """What is left beside the weights; the checkpoints go."""
    history = [h for h in log_history if "loss" in h]
    found = [p.model_dump(mode="json") for p in problems(log_history)]
    write_atomic(out / "history.json", json.dumps(history, indent=1) + "\n")
    write_atomic(out / "health.json", json.dumps(found, indent=1) + "\n")
    (out / "training_args.bin").unlink(missing_ok=True)
    discard(out / "checkpoints")


def _default_printer() -> Any:
    from transformers.trainer_callback import PrinterCallback

    return PrinterCallback


def _arguments(s: TrainingConfig, work: Path, device: str) -> TrainingArguments:
    made = TrainingArguments(
        output_dir=str(work),
        num_train_epochs=s.epochs,
        per_device_train_batch_size=min(s.micro_batch, s.batch_size),
        gradient_accumulation_steps=devices.accumulation(s),
        learning_rate=s.learning_rate,
        # transformers' "constant" leaves the warmup out
        lr_scheduler_type="constant_with_warmup" if s.schedule == "constant" else s.schedule,
        warmup_steps=s.warmup,
        weight_decay=s.weight_decay,
        max_grad_norm=s.max_grad_norm,
        seed=s.seed,
        data_seed=s.seed,
        logging_steps=1,
        logging_first_step=True,
        logging_nan_inf_filter=False,  # it waits for the device at every pass
        save_steps=s.checkpoint_steps,
        save_total_limit=None if selects(s) else 2,
        report_to=list(s.report_to),
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        use_cpu=device == "cpu",
        bf16=False,
        label_names=[],
    )
    if not made.deepspeed_plugin:  # what is cast is cast by `_log_probs`: FSDP would round its sums
        made.mixed_precision = "no"
    return made
