"""A LoRA adapter's weights into a base: all of them, or the base stays as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from personalign.errors import ModelError
from personalign.models.fitting import WEIGHTS

__all__ = ["loaded"]


def loaded(model: Any, folder: Path, handle: str) -> Any:
    """A PEFT model that has an adapter more, made of a base or of a PEFT model.

    Args:
        handle: A name that no adapter of this model ever had.

    Raises:
        ModelError: where it cannot be loaded whole; nothing of it stays.
    """
    from peft import LoraConfig, PeftModel, get_peft_model

    try:
        weights = _weights(folder)
        config = LoraConfig.from_pretrained(str(folder), inference_mode=True)
        if isinstance(model, PeftModel):
            model.add_adapter(handle, config, autocast_adapter_dtype=False)
            return _filled(model, weights, handle)
        made = get_peft_model(model, config, adapter_name=handle, autocast_adapter_dtype=False)
        return _filled(made, weights, handle)
    except Exception as e:
        _forget(model, handle)
        if isinstance(e, (MemoryError, ModelError)) or "memory" in str(e).lower():
            raise
        reason = (str(e).strip() or type(e).__name__).splitlines()[0]
        raise ModelError(
            f"adapter {folder} does not fit the base: {reason}", "load the base it was trained on"
        ) from e


def _weights(folder: Path) -> Any:
    from safetensors.torch import load_file

    weights = load_file(folder / WEIGHTS)
    if broken := [name for name, weight in weights.items() if not weight.isfinite().all()]:
        raise ModelError(
            f"adapter {folder} holds what is no number ({broken[0]})", "train it anew, more slowly"
        )
    return weights


def _filled(model: Any, weights: Any, handle: str) -> Any:
    from peft import set_peft_model_state_dict

    done: Any = set_peft_model_state_dict(model, weights, adapter_name=handle)
    lost = [*done.unexpected_keys, *(key for key in done.missing_keys if f".{handle}" in key)]
    if lost:
        raise ValueError(f"{len(lost)} weights found no place, such as {lost[0]}")
    return model


def _forget(model: Any, handle: str) -> None:
    """Take an adapter out, however far it came."""
    from peft import PeftModel
    from peft.tuners.tuners_utils import BaseTunerLayer

    wrapped = isinstance(model, PeftModel)
    for name, module in [*model.named_modules()]:
        if not isinstance(module, BaseTunerLayer):
            continue
        module.delete_adapter(handle)
        if not wrapped:
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, module.get_base_layer())
    if wrapped:
        model.peft_config.pop(handle, None)
    else:
        vars(model).pop("peft_config", None)
