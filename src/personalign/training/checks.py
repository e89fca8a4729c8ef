"""What is refused before anything is computed: pairs that cannot teach a persona, and settings
that the base or this machine has nothing for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from personalign.errors import TrainingError, unknown
from personalign.models.chat import Chat
from personalign.models.thoughts import without_thoughts
from personalign.models.trees import Tree
from personalign.records import PreferencePair
from personalign.training.config import Lora

__all__ = [
    "PairError",
    "check_fit",
    "check_number",
    "check_pairs",
    "check_targets",
    "check_text",
    "check_trackers",
]

FEW = 3  # so many pairs may share a reply by chance


def check_pairs(pairs: Sequence[PreferencePair]) -> None:
    """Refuse an empty corpus, one whose two sides are not two, and one that contradicts itself.

    Raises:
        TrainingError: naming the scene that shows it.
    """
    if not pairs:
        raise TrainingError("there are no pairs to train on", "check the corpus")
    for side in ("chosen", "rejected"):
        texts = {getattr(p, side)[0].content.strip() for p in pairs}
        if len(pairs) > FEW and len(texts) == 1:
            raise TrainingError(
                f"the corpus is one-sided: the {side} reply of all {len(pairs)} pairs is "
                f"{_short(texts.pop())!r}",
                "give every scene a reply of its own",
            )
    preferred = {(p.prompt, p.chosen[0].content.strip()): p for p in pairs}
    for pair in pairs:
        other = preferred.get((pair.prompt, pair.rejected[0].content.strip()))
        if other is pair:
            raise PairError(
                pair,
                "has a chosen reply that equals the rejected one but for white space",
                "give it two different replies",
            )
        if other is not None:
            raise PairError(
                pair,
                f"contradicts {_named(other)}: the reply {_short(pair.rejected[0].content)!r} is "
                "rejected in one and chosen in the other",
                "train one persona at a time, or mend the pairs",
            )


def check_fit(pairs: Sequence[PreferencePair], trees: Sequence[Tree], room: int) -> None:
    """Refuse a pair that is longer than the context of `room` tokens, or whose tokens are equal.

    Raises:
        TrainingError: naming the pair's scene.
    """
    for pair, tree in zip(pairs, trees, strict=True):
        if tree.depth > room:
            raise PairError(
                pair,
                f"has {tree.depth} tokens, more than the context of {room}",
                "shorten it, or take a base with a longer context",
            )
        if tree.branches[0] == tree.branches[1]:
            raise PairError(
                pair,
                "has the same tokens chosen and rejected",
                "give it two different replies",
            )


def check_text(pairs: Sequence[PreferencePair], chat: Chat) -> None:
    """Refuse replies with an end of turn of their own, which would stand twice, and with thoughts.

    Other control tokens within a text are trained as the text that they are.

    Raises:
        TrainingError: naming the pair's scene and what was found.
    """
    for pair in pairs:
        for side in ("chosen", "rejected"):
            for text in (m.content for m in getattr(pair, side)):
                if found := chat.ending(text):
                    raise PairError(
                        pair,
                        f"has a {side} reply that ends in {found!r}, a control token of the base",
                        "take it out: the chat template ends the turn",
                    )
                if without_thoughts(text) != text:
                    raise PairError(
                        pair,
                        f"has a thought in its {side} reply: {_short(text)!r}",
                        "take it out: replies are trained as they follow a thought",
                    )


def check_targets(model: Any, lora: Lora) -> None:
    """Refuse targets by name that are no linear layers below the head, which is read without LoRA.

    Raises:
        TrainingError: naming the target, and those that there are.
    """
    from torch import nn

    if isinstance(lora.targets, str):
        return
    head = model.get_output_embeddings()
    named = [(n, m) for n, m in model.named_modules() if m is not head]
    linear = {n for n, m in named if isinstance(m, nn.Linear)}
    for target in lora.targets:
        if not any(name == target or name.endswith(f".{target}") for name in linear):
            known = sorted({name.rsplit(".", 1)[-1] for name in linear})
            raise TrainingError(
                f"LoRA target {target!r} matches no linear layer below the head of the base",
                f"take some of {', '.join(known)}, or all-linear",
            )


def check_trackers(names: Sequence[str]) -> None:
    """Refuse a tracker that transformers does not know, or that is not installed.

    Raises:
        TrainingError: naming what to install.
    """
    from transformers.integrations.integration_utils import (
        INTEGRATION_TO_CALLBACK,
        get_available_reporting_integrations,
    )

    installed = get_available_reporting_integrations()
    for name in names:
        if name not in INTEGRATION_TO_CALLBACK:
            raise unknown("tracker", name, INTEGRATION_TO_CALLBACK, "report_to")
        if name not in installed:
            raise TrainingError(
                f"tracker {name!r} is not installed",
                "install its package, or take it out of report_to",
            )


class PairError(TrainingError):
    """A pair that cannot be trained on; whoever read it from a file adds the place."""

    def __init__(self, pair: PreferencePair, what: str, remedy: str) -> None:
        self.pair = pair
        super().__init__(f"{_named(pair)} {what}", remedy)


def _named(pair: PreferencePair) -> str:
    """A pair by its scene, or by how its prompt's last message begins."""
    scene = pair.origin.get("scene")
    return f"pair of scene {scene!r}" if scene else f"pair {_short(pair.prompt[-1].content)!r}"


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:39]}…"


def check_number(number: str) -> None:
    """Refuse float16: its small gradients vanish unless the loss is scaled, and none is here.

    Micikevicius et al. 2018, Mixed Precision Training, arXiv 1710.03740, section 3.2.
    """
    if number == "float16":
        raise TrainingError(
            "float16 loses small gradients (no loss scaling here)",
            "train with dtype: bfloat16, or float32",
        )
