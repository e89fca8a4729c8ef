"""Asking a model, in prompt trees: what would it say, and what does it say of itself?

Both measures are length-normalised log-probs in nats per token, so that a longer text is not a
worse one. Neither asks the model to choose a digit or a letter: on small models such answers
carry nothing (docs/log.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from personalign.models.respondent import Candidates, Respondent
from personalign.progress import Progress, silent
from personalign.psychometrics.inventory import PairInventory
from personalign.records import Message, Scene

__all__ = ["ASK", "Score", "behaviour", "statements"]

Score = tuple[str, str, float]
"""Sample, metric, value."""

ASK = (
    "Tell me something about yourself.",
    "How would you describe yourself?",
    "What are you like as a person?",
)
"""Ways of asking for a statement about oneself; each is one tree with all statements."""


def behaviour(
    who: Respondent,
    scenes: Sequence[Scene],
    progress: Progress = silent,
) -> Iterator[Score]:
    """Log-prob per token of every persona's reply to every scene: metric `reply:<persona>`."""
    asked = [Candidates(s.prompt, list(s.replies.values())) for s in scenes]
    for scene, branches in zip(scenes, who.score(asked, progress), strict=True):
        for name, log_probs in zip(scene.replies, branches, strict=True):
            yield scene.id, f"reply:{name}", float(log_probs.mean())


def statements(
    who: Respondent,
    inventory: PairInventory,
    asks: Sequence[str] = ASK,
    progress: Progress = silent,
) -> Iterator[Score]:
    """Log-prob per token of both statements of each item, as answers to each way of asking.

    The metric is `first:<k>` or `second:<k>`, where k counts the ways of asking.
    """
    texts = [text for item in inventory.items for text in (item.first, item.second)]
    asked = [Candidates([Message(role="user", content=ask)], texts) for ask in asks]
    for k, branches in enumerate(who.score(asked, progress)):
        values = iter(float(b.mean()) for b in branches)
        for item in inventory.items:
            yield item.id, f"first:{k}", next(values)
            yield item.id, f"second:{k}", next(values)
