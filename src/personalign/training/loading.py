"""The base, loaded for training: as it is, in 4 bits, or by unsloth."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any

from personalign.errors import TrainingError
from personalign.models import embedded
from personalign.models.compatibility import check_apart, check_servable
from personalign.models.local import LocalModel, best_device, best_dtype
from personalign.models.thoughts import Thinking
from personalign.records import PreferencePair
from personalign.training import devices
from personalign.training.checks import check_number, check_trackers
from personalign.training.config import TrainingConfig
from personalign.training.memory import check_memory, estimate, free_memory

__all__ = ["check_machine", "check_settings", "load_base", "needs_own_base"]

LETTERS_A_TOKEN = 3  # English has about four; fewer is the safe side


def needs_own_base(settings: TrainingConfig) -> bool:
    """Is the base loaded in another way for training than for measuring?"""
    return settings.method == "qlora" or settings.loader == "unsloth"


def check_settings(settings: TrainingConfig, device: str | None = None) -> None:
    """Refuse what this machine cannot do, before anything is loaded.

    Raises:
        TrainingError: with what to do instead.
    """
    device = device or best_device()
    check_trackers(settings.report_to)
    extras = {"bitsandbytes": "gpu", "unsloth": "unsloth"}
    wanted = {
        "bitsandbytes": ("method qlora", settings.method == "qlora"),
        "unsloth": ("loader unsloth", settings.loader == "unsloth"),
    }
    for package, (setting, asked) in wanted.items():
        if not asked:
            continue
        if device != "cuda":
            raise TrainingError(
                f"{setting} needs a CUDA device, and there is none",
                "take method lora with loader transformers",
            )
        if importlib.util.find_spec(package) is None:
            raise TrainingError(
                f"{setting} needs the package {package!r}, which is not installed",
                f"pip install 'personalign[{extras[package]}]'",
            )


def check_machine(
    base: str, dtype: str, settings: TrainingConfig, pairs: Sequence[PreferencePair]
) -> str:
    """Refuse a training that this machine cannot do; loads nothing. Returns the number type.

    Raises:
        TrainingError: naming what is missing, or how much memory is.
    """
    device = best_device()
    check_settings(settings, device)
    number = str(best_dtype(device)).removeprefix("torch.") if dtype == "auto" else dtype
    check_number(number)
    tokens, shards = _tokens(settings, pairs), devices.shards()
    need = estimate(embedded.resolve(base), number, settings, tokens, shards)
    check_memory(need, device, free_memory(device))
    return number


def load_base(
    base: str,
    dtype: str,
    settings: TrainingConfig,
    pairs: Sequence[PreferencePair],
    thinking: Thinking = "off",
) -> LocalModel:
    """The base for training these pairs, after `check_machine`."""
    number = check_machine(base, dtype, settings, pairs)
    if settings.loader == "unsloth":
        return _unsloth(base, number, settings, thinking)
    if settings.method == "qlora":
        return _four_bit(base, number, thinking)
    return LocalModel.load(base, dtype, thinking=thinking)


def _tokens(settings: TrainingConfig, pairs: Sequence[PreferencePair]) -> int:
    """Tokens of the largest forward pass, guessed from the letters."""

    def letters(pair: PreferencePair) -> int:
        return sum(len(m.content) for m in (*pair.prompt, *pair.chosen, *pair.rejected))

    longest = sorted(map(letters, pairs))[-settings.micro_batch :]
    return sum(longest) // LETTERS_A_TOKEN


def _four_bit(base: str, dtype: str, thinking: Thinking) -> LocalModel:
    """NF4 with double quantisation (Dettmers et al. 2023, QLoRA, arXiv 2305.14314, section 3)."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

    path = embedded.resolve(base)
    how: Any = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=getattr(torch, dtype),
    )
    own = devices.local_rank()  # each process its own GPU
    model: Any = AutoModelForCausalLM.from_pretrained(
        path, quantization_config=how, dtype=getattr(torch, dtype), device_map={"": own}
    )
    check_servable(model)
    model.eval().requires_grad_(False)
    name = f"{embedded.identity(base)}+nf4"
    return LocalModel(model, AutoTokenizer.from_pretrained(path), name, thinking=thinking)


def _unsloth(base: str, dtype: str, settings: TrainingConfig, thinking: Thinking) -> LocalModel:
    import torch
    from unsloth import FastLanguageModel

    model, tokenizer = FastLanguageModel.from_pretrained(
        str(embedded.resolve(base)),
        dtype=getattr(torch, dtype),
        load_in_4bit=settings.method == "qlora",
        full_finetuning=settings.method == "full",
    )
    check_servable(model)
    model.eval().requires_grad_(False)
    check_apart(model)  # it brings an attention of its own
    suffix = "+unsloth-4bit" if settings.method == "qlora" else ""
    name = f"{embedded.identity(base)}{suffix}"
    return LocalModel(model, tokenizer, name, thinking=thinking)
