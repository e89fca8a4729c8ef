"""What an adapter is, by its files, and which base it was made for, by its card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from personalign.errors import ModelError
from personalign.models.embedded import EMBEDDED
from personalign.runs import content_hash, file_hash

__all__ = ["CARD", "FILES", "adapter_hash", "check_base", "check_update"]

CARD = "card.json"
FILES = ("adapter_model.safetensors", "adapter_config.json")


def adapter_hash(adapter: Path) -> str:
    """What an adapter's answers depend on: its weights, and the settings that scale them.

    Raises:
        ModelError: where the folder holds no adapter in PEFT's format.
    """
    try:
        return content_hash([file_hash(adapter / name) for name in FILES])[:16]
    except OSError as e:
        raise ModelError(f"no adapter in {adapter}", "train one, or check the path") from e


def check_base(adapter: Path, identity: str) -> None:
    """Refuse an adapter whose card names other weights than the base's.

    Weights in a folder are known by their content and those of the Hub by their commit; one kind
    cannot be compared with the other, and passes.

    Raises:
        ModelError: naming both bases.
    """
    card = adapter / CARD
    if not card.is_file():
        return
    try:
        made_for = str(json.loads(card.read_text(encoding="utf-8"))["base_identity"])
    except (ValueError, KeyError, TypeError) as e:
        raise ModelError(f"{card} is no adapter card: {e!r}", "remove or restore it") from e
    if _by_content(made_for) == _by_content(identity) and _digest(made_for) != _digest(identity):
        raise ModelError(
            f"adapter {adapter} was trained on {made_for}, the base here is {identity}",
            f"load {made_for.rpartition('@')[0]!r} as base, or train the adapter anew",
        )


def check_update(adapter: Path) -> dict[str, Any]:
    """An adapter's settings in PEFT's format.

    Raises:
        ModelError: where it is more than an update of linear layers, which PEFT's switches would
            not turn off.
    """
    path = adapter / "adapter_config.json"
    try:
        settings = dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as e:
        raise ModelError(f"no adapter in {adapter}: {e}", "train one, or check the path") from e
    for key in ("modules_to_save", "trainable_token_indices", "bias"):
        if settings.get(key) not in (None, [], {}, "none"):
            raise ModelError(
                f"adapter {adapter} is more than an update of layers ({key}: {settings[key]})",
                "merge it with PEFT's merge_and_unload, and take the result as base",
            )
    return settings


def _digest(identity: str) -> str:
    return identity.rpartition("@")[2].partition("+")[0]


def _by_content(identity: str) -> bool:
    name = identity.rpartition("@")[0]
    return name == EMBEDDED or Path(name).expanduser().is_dir()
