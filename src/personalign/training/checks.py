"""What is refused before anything is loaded or computed: pairs that cannot teach a persona."""

from __future__ import annotations

from collections.abc import Sequence

from personalign.errors import TrainingError
from personalign.models.trees import Tree
from personalign.records import PreferencePair

__all__ = ["check_fit", "check_pairs"]

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
            raise TrainingError(
                f"pair of scene {_scene(pair)!r}: the chosen reply equals the rejected one but "
                "for white space",
                "give it two different replies",
            )
        if other is not None:
            raise TrainingError(
                f"scenes {_scene(other)!r} and {_scene(pair)!r} contradict each other: the reply "
                f"{_short(pair.rejected[0].content)!r} is chosen in one and rejected in the other",
                "train one persona at a time, or mend the pairs",
            )


def check_fit(pairs: Sequence[PreferencePair], trees: Sequence[Tree], room: int) -> None:
    """Refuse a pair that is longer than the context of `room` tokens, or whose tokens are equal.

    Raises:
        TrainingError: naming the pair's scene.
    """
    for pair, tree in zip(pairs, trees, strict=True):
        if tree.depth > room:
            raise TrainingError(
                f"pair of scene {_scene(pair)!r} has {tree.depth} tokens, more "
                f"than the context of {room}",
                "shorten it, or take a base with a longer context",
            )
        if tree.branches[0] == tree.branches[1]:
            raise TrainingError(
                f"pair of scene {_scene(pair)!r}: chosen and rejected are the same tokens",
                "give it two different replies",
            )


def _scene(pair: PreferencePair) -> str:
    return str(pair.origin.get("scene", "?"))


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:39]}…"
