"""What an adapter is, by its files, and which base it was made for, by its card or its settings."""

from __future__ import annotations

import json
import re
from pathlib import Path

from personalign.errors import ModelError
from personalign.models import embedded
from personalign.models.embedded import EMBEDDED
from personalign.models.fitting import CONFIG, WEIGHTS, read_settings
from personalign.runs import content_hash, file_hash

__all__ = ["CARD", "FILES", "adapter_hash", "check_base"]

CARD = "card.json"
FILES = (WEIGHTS, CONFIG)
CACHED = re.compile(r"models--[^/]+?--(?P<name>[^/]+)/snapshots/(?P<commit>[0-9a-f]+)/?$")
QUANTISED = re.compile(r"(-unsloth)?(-bnb)?-[48]bit$")


def adapter_hash(adapter: Path) -> str:
    """What an adapter's answers depend on: its weights, and the settings that scale them.

    Raises:
        ModelError: where the folder holds no adapter in PEFT's format.
    """
    try:
        return content_hash([file_hash(adapter / name) for name in FILES])[:16]
    except OSError as e:
        if pickles := sorted(adapter.glob("adapter_model*.bin")):
            raise ModelError(
                f"{pickles[0]} is a pickle, which can run code and is not loaded",
                "convert it: safetensors.torch.save_file(torch.load(FILE, weights_only=True), "
                f"{WEIGHTS!r})",
            ) from e
        raise ModelError(f"no adapter in {adapter}", "train one, or check the path") from e


def check_base(adapter: Path, identity: str) -> None:
    """Refuse an adapter that was made for another base.

    A card of ours names its base's weights. Weights in a folder are known by their content and
    those of the Hub by their commit; one kind cannot be compared with the other, and passes. Where
    there is no card, `base_model_name_or_path` is compared: a folder that is there by its weights,
    everything else by the last part of its name, so that mirrors, copies in a folder of that name
    and quantised copies are the same base.

    Raises:
        ModelError: naming both bases.
    """
    if not (adapter / CARD).is_file():
        return _check_named(adapter, identity)
    card = adapter / CARD
    try:
        made_for = str(json.loads(card.read_text(encoding="utf-8"))["base_identity"])
    except (ValueError, KeyError, TypeError) as e:
        raise ModelError(f"{card} is no adapter card: {e!r}", "remove or restore it") from e
    if _by_content(made_for) == _by_content(identity) and _digest(made_for) != _digest(identity):
        raise ModelError(
            f"adapter {adapter} was trained on {made_for}, the base here is {identity}",
            f"load {made_for.rpartition('@')[0]!r} as base, or train the adapter anew",
        )
    return None


def _check_named(adapter: Path, identity: str) -> None:
    named = str(read_settings(adapter).get("base_model_name_or_path") or "")
    base = identity.rpartition("@")[0]
    if not named or named == base:
        return
    if _by_content(identity) and any(Path(named).expanduser().glob("*.safetensors")):
        same = _digest(embedded.identity(named)) == _digest(identity)
    elif (cached := CACHED.search(named)) and not _by_content(identity):
        same = cached["commit"].startswith(_digest(identity))
    else:
        here = str(embedded.resolve(base)) if base == EMBEDDED else base
        same = _last(named) == _last(here)
    if not same:
        raise ModelError(
            f"adapter {adapter} was trained on {named}, the base here is {identity}",
            f"load {named!r} as base, or mend base_model_name_or_path in its {CONFIG} where both "
            "are one",
        )


def _last(name: str) -> str:
    """The last part of a base's name, by which copies of it are known."""
    cached = CACHED.search(name)
    last = cached["name"] if cached else re.split(r"[/\\]", name.rstrip("/\\"))[-1]
    return QUANTISED.sub("", last.lower())


def _digest(identity: str) -> str:
    return identity.rpartition("@")[2].partition("+")[0]


def _by_content(identity: str) -> bool:
    name = identity.rpartition("@")[0]
    return name == EMBEDDED or Path(name).expanduser().is_dir()
