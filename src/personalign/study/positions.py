"""Where an arm stands on each scale, measure by measure, from a study's table of scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from personalign import personas
from personalign.psychometrics.inventory import (
    Inventory,
    interview_inventory,
    statement_inventory,
)
from personalign.psychometrics.positions import (
    answer_positions,
    behaviour_positions,
    statement_positions,
)
from personalign.psychometrics.scoring import answers_of, key_of
from personalign.records import Arm

if TYPE_CHECKING:
    from personalign.study.steps import Study

__all__ = ["ANSWERED", "CENTRED", "answers", "key", "positions", "rows_of"]


@dataclass(frozen=True, slots=True)
class Answered:
    """A measure whose scores are answers to the items of an inventory, in one way of asking."""

    way: str
    inventory: Callable[[Study], Inventory]


ANSWERED = {
    "ratings": Answered("expected", lambda s: statement_inventory(s.config.measures.ratings)),
    "letters": Answered("letters", lambda s: s.inventory),
    "interview": Answered("interview", lambda s: interview_inventory(s.config.measures.interview)),
}
CENTRED = frozenset(ANSWERED)
"""Measures that have a midpoint between the poles; log-probs have none."""


def positions(
    study: Study, scores: pd.DataFrame, arm: Arm, measures: Sequence[str] | None = None
) -> dict[str, pd.DataFrame]:
    """Measure → unit × scale, of the study's measures of personas, or of those that are named."""
    wanted = study.config.measures.tasks if measures is None else measures
    found = {}
    if "behaviour" in wanted:
        rows = rows_of(scores, arm, "behaviour")
        found["behaviour"] = behaviour_positions(rows, personas.catalog())
    if "statements" in wanted:
        rows = rows_of(scores, arm, "statements")
        found["statements"] = statement_positions(rows, study.inventory)
    for measure in (m for m in wanted if m in ANSWERED):
        given = answers(scores, arm, measure)
        found[measure] = answer_positions(given, ANSWERED[measure].inventory(study))
    return found


def answers(scores: pd.DataFrame, arm: Arm, measure: str) -> pd.DataFrame:
    """An arm's answers to an inventory, as `psychometrics.scoring` reads them."""
    return answers_of(rows_of(scores, arm, measure), ANSWERED[measure].way)


def key(study: Study, measure: str) -> pd.DataFrame | None:
    """Item → `scale` and `sign`; None for a measure that asks no inventory."""
    if measure in ANSWERED:
        return key_of(ANSWERED[measure].inventory(study))
    return key_of(study.inventory) if measure == "statements" else None


def rows_of(scores: pd.DataFrame, arm: Arm, task: str) -> pd.DataFrame:
    """The rows of one task of one arm."""
    return scores[
        (scores["persona"] == arm.persona)
        & (scores["condition"] == arm.condition)
        & (scores["seed"] == arm.seed)
        & (scores["task"] == task)
    ]
