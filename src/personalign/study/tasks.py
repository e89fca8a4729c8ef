"""What is measured: each task asks one arm and yields scores.

A task has a *subject*, the content that is asked (a change of it redoes the step), and a way of
asking. A score is sample, cluster, metric, value; no value has a state that says why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from personalign.evals import social
from personalign.psychometrics import administer
from personalign.records import State
from personalign.study.arms import Arm

if TYPE_CHECKING:
    from personalign.study.steps import Study

__all__ = ["SCORED", "Scored", "Task"]

Scored = tuple[str, str, str, float | None, State]
"""Sample, cluster, metric, value, state."""


@dataclass(frozen=True, slots=True)
class Task:
    """One construct, measured in one way."""

    subject: Callable[[Study, Arm], Any]
    ask: Callable[[Study, Arm], Iterator[Scored]]
    label: Callable[[Study], str] | None = None
    """The name in the table of scores, where it depends on the study."""


def _behaviour(study: Study, arm: Arm) -> Iterator[Scored]:
    asked = study.scenes_for(arm)
    tick = study.announce(f"behaviour {arm.slug}", len(asked))
    scored = administer.behaviour(study.local, asked, study.system(arm), study.adapter(arm), tick)
    for sample, metric, value in scored:
        yield sample, sample, metric, value, "ok"


def _statements(study: Study, arm: Arm) -> Iterator[Scored]:
    tick = study.announce(f"statements {arm.slug}", len(study.asks))
    scale = {item.id: item.scale for item in study.inventory.items}
    scored = administer.statements(
        study.local, study.inventory, study.system(arm), study.adapter(arm), study.asks, tick
    )
    for sample, metric, value in scored:
        yield sample, scale[sample], metric, value, "ok"


def _social(study: Study, arm: Arm) -> Iterator[Scored]:
    items = study.social_items
    tick = study.announce(f"social {arm.slug}", len(items))
    chosen = social.choices(
        study.local, items, study.system(arm), study.adapter(arm), progress=tick
    )
    for item, choice in zip(items, chosen, strict=True):
        yield item.id, item.id, "correct", float(choice == item.label), "ok"


def _social_name(study: Study) -> str:
    return social.task_name(study.config.measures.social)


SCORED = {
    "behaviour": Task(lambda study, arm: study.scenes_for(arm), _behaviour),
    "statements": Task(lambda study, arm: [study.inventory, study.asks], _statements),
    "social": Task(
        lambda study, arm: study.social_items,
        _social,
        _social_name,
    ),
}
"""The tasks that score, by name."""
