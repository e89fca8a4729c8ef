"""Replies of the base to neutral prompts, from which a persona should keep no distance.

They are the base's likeliest ones, run to their end: what a user who asks for a fact, a list or a
form would be given. On them the `kl` term (see `losses.kl`) is zero where the policy is the base,
and positive elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from personalign.models.local import LocalModel
from personalign.models.sampling import Sampling
from personalign.models.trees import Tree
from personalign.progress import Progress, silent
from personalign.records import Message
from personalign.training.replies import base_replies

__all__ = ["GREEDY", "PROMPTS", "Neutral", "neutral_replies"]

PROMPTS = Path(__file__).parent / "prompts" / "neutral.jsonl"
GREEDY = Sampling(max_new_tokens=256)


@dataclass(frozen=True, slots=True)
class Neutral:
    """A prompt and the base's reply as a tree of one branch, with its log-prob a token, nats."""

    tree: Tree
    reference: tuple[float, ...]


def neutral_replies(
    local: LocalModel,
    prompts: Sequence[Sequence[Message]],
    sampling: Sampling = GREEDY,
    progress: Progress = silent,
) -> list[Neutral]:
    """The base's reply to each prompt.

    `progress` is called with the number of replies that are ready.
    """
    replies = base_replies(local, prompts, sampling, [0] * len(prompts), progress)
    both = zip(prompts, replies, strict=True)
    trees = [Tree(local.chat.prompt(p), (r.ids,)) for p, r in both]
    scored = local.score(trees)
    return [Neutral(t, tuple(b[0].tolist())) for t, b in zip(trees, scored, strict=True)]
