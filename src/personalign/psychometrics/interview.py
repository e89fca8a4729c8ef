"""Open questions, answered in free text; the replies are rated by a classifier or a judge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from personalign.errors import InputError
from personalign.models.sampling import Sampling
from personalign.psychometrics.inventory import InterviewInventory, OpenQuestion
from personalign.psychometrics.parse import declines
from personalign.psychometrics.written import Question
from personalign.records import State

__all__ = ["AT_LENGTH", "Rater", "written"]

AT_LENGTH = Sampling(max_new_tokens=96, temperature=0.2, top_p=0.9)
"""A few sentences, at LAPD's temperature and nucleus."""

Rater = Callable[[OpenQuestion, str], float | None]
"""Rates a reply: 0 (negative pole of the question's scale) to 1 (positive); None where it fails."""


def written(
    inventory: InterviewInventory, rater: Rater, by: str, seeds: Sequence[int] = (0,)
) -> list[Question]:
    """Every question under every seed, for `draw` or `remote`: metric `interview:<by>:<seed>`.

    Args:
        rater: A classifier, or whatever asks a judge model.
        by: What the rater is called in the metric.
    """
    return [
        Question(
            item.id,
            f"interview:{by}:{seed}",
            f"{inventory.instructions}\n\n{item.text}",
            seed,
            partial(_rate, rater, item),
        )
        for seed in seeds
        for item in inventory.items
    ]


def _rate(rater: Rater, item: OpenQuestion, reply: str) -> tuple[float | None, State]:
    if not reply.strip():
        return None, "unparsed"
    if declines(reply):
        return None, "refused"
    value = rater(item, reply)
    if value is None:
        return None, "judge_error"
    if not 0 <= value <= 1:
        raise InputError(f"a rater gave {value} for {item.id}", "let it give 0 to 1")
    return value, "ok"
