"""Replies of the base to neutral prompts, from which a persona should keep no distance.

The divergence from the base is estimated on what the base itself says there (see `losses.kl`),
so the replies are drawn at temperature 1 from its whole distribution.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from personalign.models.local import LocalModel, Sampling
from personalign.models.trees import Tree
from personalign.records import Message

__all__ = ["Neutral", "neutral_replies"]


@dataclass(frozen=True, slots=True)
class Neutral:
    """A prompt and the base's reply as a tree of one branch, with its log-prob a token, nats."""

    tree: Tree
    reference: tuple[float, ...]


def neutral_replies(
    local: LocalModel,
    prompts: Sequence[Sequence[Message]],
    seed: int = 0,
    max_new_tokens: int = 48,
    progress: Callable[[int], None] = lambda done: None,
) -> list[Neutral]:
    """One drawn reply of the base a prompt; the same seed gives the same replies.

    `progress` is called with the number of replies drawn since.
    """
    sampling = Sampling(max_new_tokens=max_new_tokens, temperature=1.0)
    seeds = [seed + k for k in range(len(prompts))]
    drawn = local.generate(prompts, [None] * len(prompts), sampling, seeds, progress=progress)
    trees = []
    for prompt, reply in zip(prompts, drawn, strict=True):
        if reply.text:
            trees.append(Tree(local.chat.prompt(prompt), (reply.ids,)))
    scored = local.score(trees)
    return [Neutral(t, tuple(b[0].tolist())) for t, b in zip(trees, scored, strict=True)]
