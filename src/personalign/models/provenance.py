"""Which base an adapter was made for, as its card says."""

from __future__ import annotations

import json
from pathlib import Path

from personalign.errors import ModelError
from personalign.models.embedded import EMBEDDED

__all__ = ["CARD", "check_base"]

CARD = "card.json"


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


def _digest(identity: str) -> str:
    return identity.rpartition("@")[2].partition("+")[0]


def _by_content(identity: str) -> bool:
    name = identity.rpartition("@")[0]
    return name == EMBEDDED or Path(name).expanduser().is_dir()
