"""What is measured: each task asks one arm and yields scores.

A task has a *subject*, the content that is asked (a change of it redoes the step), and a way of
asking. A score is sample, cluster, metric, value; no value has a state that says why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from personalign.evals import social
from personalign.models.respondent import Respondent
from personalign.personas import catalog
from personalign.psychometrics import administer, drawn, interview, letters, likert
from personalign.psychometrics.answers import Answer
from personalign.psychometrics.inventory import interview_inventory, statement_inventory
from personalign.psychometrics.rater import TextRater
from personalign.psychometrics.wording import CHOICES, FAKE_GOOD, RATINGS
from personalign.records import Arm, State

if TYPE_CHECKING:
    from personalign.study.steps import Study

__all__ = ["FORMS", "SCORED", "Scored", "Task"]

FORMS = 4
"""Both orders of the options in two wordings; twelve forms take three times as long."""

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
    scored = administer.behaviour(study.respondent(arm), asked, tick)
    for sample, metric, value in scored:
        yield sample, sample, metric, value, "ok"


def _statements(study: Study, arm: Arm) -> Iterator[Scored]:
    tick = study.announce(f"statements {arm.slug}", len(study.asks))
    scale = {item.id: item.scale for item in study.inventory.items}
    scored = administer.statements(study.respondent(arm), study.inventory, study.asks, tick)
    for sample, metric, value in scored:
        yield sample, scale[sample], metric, value, "ok"


def _social(study: Study, arm: Arm) -> Iterator[Scored]:
    items = study.social_items
    tick = study.announce(f"social {arm.slug}", len(items))
    chosen = social.choices(study.respondent(arm), items, progress=tick)
    for item, choice in zip(items, chosen, strict=True):
        yield item.id, item.id, "correct", float(choice == item.label), "ok"


def _answers(answers: Iterable[Answer], scale: Mapping[str, str]) -> Iterator[Scored]:
    return ((a.sample, scale[a.sample], a.metric, a.value, a.state) for a in answers)


def _ratings(study: Study, arm: Arm) -> Iterator[Scored]:
    return _rated(study, arm, "ratings", study.respondent(arm))


def _fake_good(study: Study, arm: Arm) -> Iterator[Scored]:
    """The ratings again, under an instruction to make a good impression."""
    return _rated(study, arm, "fake_good", study.respondent(arm, FAKE_GOOD))


def _rated(study: Study, arm: Arm, name: str, who: Respondent) -> Iterator[Scored]:
    asked = statement_inventory(study.config.measures.ratings)
    tick = study.announce(f"{name} {arm.slug}", len(asked.items) * FORMS)
    given = likert.expected(who, asked, RATINGS[:FORMS], tick)
    return _answers(given, {item.id: item.scale for item in asked.items})


def _letters(study: Study, arm: Arm) -> Iterator[Scored]:
    asked = study.inventory
    tick = study.announce(f"letters {arm.slug}", len(asked.items) * FORMS)
    given = letters.letters(study.respondent(arm), asked, CHOICES[:FORMS], tick)
    return _answers(given, {item.id: item.scale for item in asked.items})


def _interview(study: Study, arm: Arm) -> Iterator[Scored]:
    asked = interview_inventory(study.config.measures.interview)
    rater = TextRater.train([s for s in study.scenes if s.split == "build"], catalog())
    questions = interview.written(asked, rater, "words", (study.config.seed,))
    tick = study.announce(f"interview {arm.slug}", len(questions))
    given = drawn.draw(study.respondent(arm), questions, interview.AT_LENGTH, tick)
    return _answers(given, {item.id: item.scale for item in asked.items})


def _social_name(study: Study) -> str:
    return social.task_name(study.config.measures.social)


SCORED = {
    "behaviour": Task(lambda study, arm: study.scenes_for(arm), _behaviour),
    "statements": Task(lambda study, arm: [study.inventory, study.asks], _statements),
    "ratings": Task(
        lambda study, arm: statement_inventory(study.config.measures.ratings), _ratings
    ),
    "fake_good": Task(
        lambda study, arm: [statement_inventory(study.config.measures.ratings), FAKE_GOOD],
        _fake_good,
    ),
    "letters": Task(lambda study, arm: study.inventory, _letters),
    "interview": Task(
        lambda study, arm: [interview_inventory(study.config.measures.interview), study.scenes],
        _interview,
    ),
    "social": Task(
        lambda study, arm: study.social_items,
        _social,
        _social_name,
    ),
}
"""The tasks that score, by name."""
