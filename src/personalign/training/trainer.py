"""Preference training of a LoRA adapter over prompt trees, on transformers' Trainer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import Trainer, TrainerCallback, TrainingArguments

from personalign.errors import TrainingError
from personalign.models.chat import reply_tree, with_system
from personalign.models.folding import fold
from personalign.models.local import LocalModel
from personalign.models.trees import PackedTrees, Tree, log_probs, pack
from personalign.records import PreferencePair
from personalign.runs import write_atomic
from personalign.training import losses
from personalign.training.config import Lora, TrainingConfig
from personalign.training.reference import reference_log_probs

__all__ = ["Example", "PreferenceTrainer", "examples", "train"]

CHOSEN, REJECTED = 0, 1
COMPLETE = "complete"  # written into a checkpoint when all of it is there


@dataclass(frozen=True, slots=True)
class Example:
    """A pair as a tree of two branches, chosen first, with the reference's log-probs of both."""

    tree: Tree
    reference: tuple[float, float]


def examples(
    local: LocalModel,
    pairs: Sequence[PreferencePair],
    system: str | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> list[Example]:
    """Pairs as trees, with reference log-probs from the cache or computed now.

    Raises:
        TrainingError: where a pair does not fit into the model's context.
    """
    trees = [
        reply_tree(
            local.tokenizer,
            with_system(pair.prompt, system),
            [pair.chosen[0].content, pair.rejected[0].content],
        )
        for pair in pairs
    ]
    room = local.model.config.get_text_config().max_position_embeddings
    for pair, tree in zip(pairs, trees, strict=True):
        if tree.depth > room:
            raise TrainingError(
                f"pair of scene {pair.origin.get('scene', '?')!r} has {tree.depth} tokens, more "
                f"than the context of {room}",
                "shorten it, or take a base with a longer context",
            )
    references = reference_log_probs(local, trees, progress)
    return [Example(t, (r[CHOSEN], r[REJECTED])) for t, r in zip(trees, references, strict=True)]


def collate(batch: Sequence[Example]) -> dict[str, Any]:
    """Examples as packed trees, and reference log-probs float64 [pairs, 2]."""
    reference = torch.tensor([e.reference for e in batch], dtype=torch.float64)
    return {"packed": pack([e.tree for e in batch]), "reference": reference}


class PreferenceTrainer(Trainer):
    """transformers' Trainer with a preference loss over prompt trees."""

    def __init__(self, settings: TrainingConfig, **trainer: Any) -> None:
        super().__init__(data_collator=collate, **trainer)
        self.settings = settings
        self.model_accepts_loss_kwargs = False  # the loss is a mean over the pairs of one pass
        self.measures: dict[str, list[float]] = {}

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Mean loss over the pairs of one pass."""
        packed: PackedTrees = inputs["packed"].to(model.device)
        with torch.autocast(model.device.type, dtype=model.dtype, enabled=_is_half(model)):
            tokens = log_probs(model, packed)
        sums = tokens.new_zeros(packed.branch_count).index_add(0, packed.owner, tokens)
        policy = sums.view(-1, 2)
        reference = inputs["reference"].to(policy)
        margins = losses.margin(*policy.T, *reference.T)
        loss = losses.dpo(margins, self.settings.beta).mean()
        self._note(policy.detach(), reference, margins.detach())
        return loss

    def _note(self, policy: Tensor, reference: Tensor, margins: Tensor) -> None:
        seen = {
            "rewards/accuracies": (margins > 0).float().mean(),
            "rewards/margins": self.settings.beta * margins.mean(),
            "logps/chosen": policy[:, CHOSEN].mean(),
            "logps/rejected": policy[:, REJECTED].mean(),
        }
        for name, value in seen.items():
            self.measures.setdefault(name, []).append(float(value))

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Log with the means of what was noted since the last time."""
        if "loss" in logs:
            logs |= {name: sum(v) / len(v) for name, v in self.measures.items()}
            self.measures.clear()
        super().log(logs, *args, **kwargs)


def _is_half(model: Any) -> bool:
    return model.dtype in (torch.bfloat16, torch.float16)


class _Progress(TrainerCallback):
    """Reports optimiser steps, and marks a checkpoint complete once all of it is written."""

    def __init__(self, report: Callable[[int, int], None]) -> None:
        self.report = report

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.report(state.global_step, state.max_steps)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        write_atomic(folder / COMPLETE, "")


def with_lora(model: Any, lora: Lora, seed: int) -> Any:
    """The base under a fresh trainable adapter with float32 weights."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    targets = lora.targets if isinstance(lora.targets, str) else list(lora.targets)
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]  # PEFT divides it, a float is fine
        lora_dropout=lora.dropout,
        target_modules=targets,
        task_type="CAUSAL_LM",
    )
    try:
        return get_peft_model(model, config)
    except ValueError as e:
        raise TrainingError(f"LoRA targets {targets}: {e}", "name linear layers of the base") from e


def train(
    local: LocalModel,
    data: Sequence[Example],
    settings: TrainingConfig,
    out: Path,
    progress: Callable[[int, int], None] = lambda step, of: None,
) -> list[dict[str, float]]:
    """Train one adapter and save it in PEFT's format into `out`; resumes from checkpoints there.

    Args:
        local: The base, with no adapters loaded; left as it was.
        progress: Called after each optimiser step with the step and the number of steps.

    Returns:
        What was logged at each optimiser step: loss, rewards, log-probs, learning rate.

    Raises:
        TrainingError: where there is nothing to train on, or the loss is not finite.
    """
    if not data:
        raise TrainingError("there are no pairs to train on", "check the corpus")
    if local.adapters:
        raise TrainingError("the base has adapters loaded already", "load it anew to train")
    torch.manual_seed(settings.seed)
    model = with_lora(local.model, settings.lora, settings.seed)
    fold(model)
    work = out / "checkpoints"
    trainer = PreferenceTrainer(
        settings,
        model=model,
        args=_arguments(settings, work, len(data), local.device.type),
        train_dataset=list(data),
        callbacks=[_Progress(progress)],
    )
    try:
        trainer.remove_callback(_default_printer())
        trainer.train(resume_from_checkpoint=_last_complete(work))
        history = [h for h in trainer.state.log_history if "loss" in h]
        if not all(torch.isfinite(torch.tensor(h["loss"])) for h in history):
            raise TrainingError("the loss is not finite", "lower the learning rate")
        model.save_pretrained(out)
        write_atomic(out / "history.json", json.dumps(history, indent=1) + "\n")
        shutil.rmtree(work, ignore_errors=True)
    finally:
        local.model = model.unload()
        local.model.eval().requires_grad_(False)
    return history


def _default_printer() -> Any:
    from transformers.trainer_callback import PrinterCallback

    return PrinterCallback


def _arguments(s: TrainingConfig, work: Path, pairs: int, device: str) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(work),
        num_train_epochs=s.epochs,
        per_device_train_batch_size=min(s.micro_batch, s.batch_size),
        gradient_accumulation_steps=s.accumulation(),
        learning_rate=s.learning_rate,
        lr_scheduler_type=s.schedule,
        warmup_steps=s.warmup,
        weight_decay=s.weight_decay,
        seed=s.seed,
        data_seed=s.seed,
        logging_steps=1,
        logging_first_step=True,
        save_steps=s.checkpoint_steps,
        save_total_limit=2,
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        use_cpu=device == "cpu",
        bf16=False,
        label_names=[],
    )


def _last_complete(work: Path) -> str | None:
    """The last checkpoint that was written to its end; torn ones are removed."""
    found = sorted(work.glob("checkpoint-*"), key=lambda p: int(p.name.rsplit("-", 1)[1]))
    for torn in [p for p in found if not (p / COMPLETE).exists()]:
        shutil.rmtree(torn)
    whole = [p for p in found if p.exists()]
    return str(whole[-1]) if whole else None
