"""Whether a LoRA adapter fits a base: told from its files, before a weight is read.

Adapters come from many tools. What PEFT does not understand it passes over, and what an adapter
brings beside its updates it writes over the base's own. So a folder is loaded exactly or refused,
by `adapter_config.json` (what kind it is, which layers, which rank) and by the header of
`adapter_model.safetensors` (names, shapes, number types). Nothing here knows how weights are held
in memory afterwards.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from personalign.errors import ModelError

__all__ = [
    "CONFIG",
    "WEIGHTS",
    "Tensors",
    "check_files",
    "check_fit",
    "check_strength",
    "layers_of",
    "read_settings",
]

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"

PREFIX = "base_model.model."
MAGNITUDE = "lora_magnitude_vector"
PARTS = ("lora_A.weight", "lora_B.weight", "lora_B.bias", MAGNITUDE)
NUMBERS = ("F16", "BF16", "F32", "F64")
READ = """
task_type peft_type auto_mapping peft_version base_model_name_or_path revision inference_mode
r target_modules exclude_modules lora_alpha lora_dropout fan_in_fan_out bias use_rslora
init_lora_weights layers_to_transform layers_pattern rank_pattern alpha_pattern megatron_core
loftq_config eva_config use_dora qalora_group_size runtime_config lora_bias ensure_weight_tying
""".split()  # noqa: SIM905 -- settings with which an update is what it says
CHANGE_THE_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")  # ways of starting that do
MERGE = "merge it where it was trained (PEFT's merge_and_unload), and take the result as base"
PLAIN = "save it anew from the base and the PEFT with which it was trained"


@dataclass(frozen=True, slots=True)
class Tensors:
    """What the header of a file of weights says.

    Attributes:
        shapes: Of every tensor, by the name of its layer in the base and of its part, as
            `("model.layers.0.mlp.up_proj", "lora_A.weight")`.
    """

    shapes: Mapping[tuple[str, str], tuple[int, ...]]

    @property
    def layers(self) -> set[str]:
        """The layers that are updated."""
        return {layer for layer, _ in self.shapes}


def layers_of(model: Any) -> dict[str, tuple[int, int] | str]:
    """A base's modules by name: [out, in] of a linear layer, and of others what they are."""
    from torch import nn

    named = {model.get_output_embeddings(): "head", model.get_input_embeddings(): "embeddings"}
    found: dict[str, tuple[int, int] | str] = {}
    for name, module in model.named_modules():
        if module not in named and isinstance(module, nn.Linear):
            found[name] = (module.out_features, module.in_features)
        else:
            found[name] = named.get(module, type(module).__name__)
    return found


def read_settings(adapter: Path) -> dict[str, Any]:
    """An adapter's settings in PEFT's format.

    Raises:
        ModelError: where it is anything but an update of linear layers by LoRA or DoRA.
    """
    path = adapter / CONFIG
    try:
        settings = dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as e:
        raise ModelError(f"no adapter in {adapter}: {e}", "train one, or check the path") from e
    for what, remedy in _other_than_lora(settings):
        raise ModelError(f"adapter {adapter} {what}", remedy)
    return settings


def _other_than_lora(settings: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """What there is to say against settings, with a remedy."""
    if (kind := settings.get("peft_type")) != "LORA":
        yield f"is of kind {kind}, not LORA", MERGE
    if (task := settings.get("task_type")) not in (None, "CAUSAL_LM"):
        yield f"is for another task (task_type: {task})", "train one for CAUSAL_LM"
    for key, value in settings.items():
        if key not in READ and value not in (None, False, "", [], {}):
            yield f"is more than an update of layers ({key}: {value})", MERGE
    if (bias := settings.get("bias", "none")) != "none":
        yield f"is more than an update of layers (bias: {bias})", MERGE
    start = settings.get("init_lora_weights")
    if isinstance(start, str) and start.lower().startswith(CHANGE_THE_BASE):
        yield (
            f"was trained on a base that its start had changed (init_lora_weights: {start})",
            "save it as plain LoRA (path_initial_model_for_weight_conversion of PEFT)",
        )
    if not settings.get("target_modules"):
        yield "names no target_modules", PLAIN
    patterns = [settings.get(key) or {} for key in ("rank_pattern", "alpha_pattern")]
    numbers = {"r": [settings.get("r", 8), *patterns[0].values()]}
    numbers["lora_alpha"] = [settings.get("lora_alpha", 8), *patterns[1].values()]
    for key, values in numbers.items():
        for value in values:
            if not _is_number(value) or (key == "r" and (value < 1 or value != int(value))):
                yield f"has {key} {value}", PLAIN


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def check_files(adapter: Path) -> tuple[dict[str, Any], Tensors]:
    """An adapter's settings and the header of its weights.

    Raises:
        ModelError: where it can be told without a base that it cannot be loaded exactly.
    """
    settings = read_settings(adapter)
    return settings, _header(adapter)


def _header(adapter: Path) -> Tensors:
    from safetensors import SafetensorError, safe_open

    shapes: dict[tuple[str, str], tuple[int, ...]] = {}
    strange, kinds = list[str](), set[str]()
    try:
        with safe_open(adapter / WEIGHTS, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 -- not a mapping
                tensor = file.get_slice(name)
                kinds.add(tensor.get_dtype())
                if (known := _placed(name)) is None:
                    strange.append(name)
                else:
                    shapes[known] = tuple(tensor.get_shape())
    except (OSError, SafetensorError) as e:
        raise ModelError(f"{adapter / WEIGHTS} cannot be read: {e}", "fetch it anew") from e
    if strange:
        raise ModelError(
            f"adapter {adapter} brings weights that are no update of a linear layer: "
            + _some(strange),
            MERGE,
        )
    if other := kinds - {*NUMBERS}:
        raise ModelError(f"adapter {adapter} has numbers of type {_some(other)}", PLAIN)
    if not shapes:
        raise ModelError(f"adapter {adapter} holds no weights", "train it anew")
    return Tensors(shapes)


def _placed(name: str) -> tuple[str, str] | None:
    """Layer and part of an update, by a tensor's name."""
    for part in PARTS:
        suffix = "." + part
        if name.startswith(PREFIX) and name.endswith(suffix):
            return name[len(PREFIX) : -len(suffix)], part
    return None


def check_fit(adapter: Path, layers: Mapping[str, tuple[int, int] | str]) -> dict[str, Any]:
    """The settings of an adapter that fits a base in every weight.

    Args:
        adapter: Its folder.
        layers: The base's, by `layers_of`.

    Raises:
        ModelError: naming what does not fit.
    """
    settings, tensors = check_files(adapter)
    for what, remedy in _misfits(adapter, settings, tensors, layers):
        raise ModelError(f"adapter {adapter} {what}", remedy)
    return settings


def check_strength(adapter: Path, settings: Mapping[str, Any], strength: float) -> None:
    """Refuse a strength that the update cannot be scaled by.

    DoRA replaces a weight's length by one that it learnt, whatever the update is scaled by: at
    strength 0 it would still not be the base.

    Raises:
        ModelError: for DoRA at another strength than 1.
    """
    if settings.get("use_dora") and strength != 1:
        raise ModelError(
            f"adapter {adapter} is DoRA, which has no strength {strength}",
            "answer through it at strength 1, or train it without dora",
        )


def _misfits(
    adapter: Path,
    settings: Mapping[str, Any],
    tensors: Tensors,
    layers: Mapping[str, tuple[int, int] | str],
) -> Iterable[tuple[str, str]]:
    base = "load the base it was trained on"
    held = tensors.layers
    if lost := held - layers.keys():
        yield (
            f"does not fit: {len(lost)} of the {len(held)} layers that it updates are not in the "
            f"base ({_some(lost)})",
            f"{base}, or rename its weights to this base's layers",
        )
    for layer in sorted(held):
        if isinstance(kind := layers[layer], str):
            yield (
                f"updates the {kind} of the model ({layer})",
                f"train one on linear layers below the head, or {MERGE}",
            )
    config = _config(adapter)
    asked = _targets(config, layers)
    if missing := asked - held:
        yield (
            f"is not whole: {len(missing)} of the {len(asked)} layers that its target_modules name "
            f"have no weights ({_some(missing)})",
            f"{base}, or fetch the adapter anew",
        )
    if more := held - asked:
        yield f"has weights of layers that its target_modules do not name ({_some(more)})", PLAIN
    for layer in sorted(held):
        wanted = _shapes(config, layer, layers[layer])
        found = {part: shape for (name, part), shape in tensors.shapes.items() if name == layer}
        if found != wanted:
            yield f"does not fit: {layer} has {found}, the base takes {wanted}", base


def _config(adapter: Path) -> Any:
    from peft import LoraConfig

    try:
        return LoraConfig.from_pretrained(str(adapter))
    except (TypeError, ValueError) as e:
        reason = str(e).splitlines()[0]
        raise ModelError(f"settings of adapter {adapter} cannot be read: {reason}", PLAIN) from e


def _targets(config: Any, layers: Mapping[str, tuple[int, int] | str]) -> set[str]:
    """The layers that `target_modules` name, by PEFT's own rule."""
    from peft.tuners.tuners_utils import check_target_module_exists

    if config.target_modules == "all-linear":
        return {name for name, kind in layers.items() if not isinstance(kind, str)}
    return {name for name in layers if check_target_module_exists(config, name)}


def _shapes(config: Any, layer: str, size: Any) -> dict[str, tuple[int, ...]]:
    """The shape of every part of a layer's update."""
    from peft.utils.other import get_pattern_key

    out, into = size
    rank = config.rank_pattern.get(get_pattern_key(config.rank_pattern.keys(), layer), config.r)
    shapes: dict[str, tuple[int, ...]] = {
        "lora_A.weight": (rank, into),
        "lora_B.weight": (out, rank),
    }
    if config.lora_bias:
        shapes["lora_B.bias"] = (out,)
    if config.use_dora:
        shapes[MAGNITUDE] = (out,)
    return shapes


def _some(names: Iterable[str]) -> str:
    """A few names, and how many more there are."""
    first, *rest = sorted(names)
    return f"{first} and {len(rest)} more" if rest else first
