"""What a study's scores say of its own measures, on scores with planted positions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from personalign import personas
from personalign.corpus import scenes
from personalign.errors import InputError
from personalign.measures import Measures, chosen
from personalign.personas import DICHOTOMIES
from personalign.psychometrics.inventory import (
    interview_inventory,
    pair_inventory,
    statement_inventory,
)
from personalign.psychometrics.validity import Validity
from personalign.psychometrics.verify import Verification
from personalign.psychometrics.wording import CHOICES, FORMS, RATINGS
from personalign.records import Arm, Scene
from personalign.study import Study, StudyConfig
from personalign.study.validity import validity
from personalign.study.verdicts import reach

GOOD = 0.3
"""How far answers for a good impression move towards every positive pole."""

MEASURES = ("behaviour", "statements", "ratings", "letters", "interview")
STRENGTH = {"base": 0.0, "prompted": 0.3, "adapter": 0.6, "prompted+adapter": 0.7}
LEANING = 0.2
"""What the answers lean to whatever is asked: acquiescence of the ratings."""


def known_of(study: Study, scores: pd.DataFrame) -> Validity:
    return validity(study.content.arms, study.content.measures, scores, 0)


def reached(study: Study, scores: pd.DataFrame) -> Iterator[Verification]:
    c = study.content
    return reach(c.personas, c.arms, c.measures, c.counterparts, scores, 0)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    config = StudyConfig.model_validate(
        {
            "name": "planted",
            "personas": ["INFP", "ESTJ"],
            "measures": {"tasks": [*MEASURES, "fake_good"]},
        }
    )
    return Study(config, tmp_path_factory.mktemp("planted"))


@pytest.fixture(scope="module")
def scores(study: Study) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    found = [
        {"persona": arm.persona, "condition": arm.condition, "seed": 0, "task": task,
         "sample": sample, "metric": metric, "value": value, "state": "ok"}
        for arm in study.content.arms
        for task, sample, metric, value in rows(study, arm, rng)
    ]  # fmt: skip
    return pd.DataFrame(found)


@pytest.fixture(scope="module")
def known(study: Study, scores: pd.DataFrame) -> Validity:
    return known_of(study, scores)


def situations(study: Study) -> list[Scene]:
    return scenes.select(study.content.scenes, "measure", study.config.measures.scenes)


def at(arm: Arm, scale: str) -> float:
    """Where an arm stands on a scale."""
    if not arm.persona:
        return 0.0
    return STRENGTH[arm.condition] * (1 if DICHOTOMIES[scale][0] in arm.persona else -1)


def rows(study: Study, arm: Arm, rng: np.random.Generator) -> Iterator[tuple[str, str, str, float]]:
    def noise() -> float:
        return float(rng.normal(0, 0.1))

    types = [p for p in personas.catalog().values() if p.letters()]
    inventory = pair_inventory()
    for scene in situations(study):
        for p in (p for p in types if p.name in scene.replies):
            leans = sum(at(arm, s) * t for s, t in p.traits.items())
            yield "behaviour", scene.id, f"reply:{p.name}", leans + noise()
    for item in inventory.items:
        signed = at(arm, item.scale) * inventory.sign(item)
        for ask in ("a", "b"):
            yield "statements", item.id, f"first:{ask}", signed + noise()
            yield "statements", item.id, f"second:{ask}", noise()
        for form in CHOICES[:FORMS]:
            value = float(np.clip(0.5 + signed / 2 + noise(), 0, 1))
            yield "letters", item.id, f"letters:{form.name}", value
    asked = statement_inventory()
    for single in asked.items:
        for form in RATINGS[:FORMS]:
            raw = at(arm, single.scale) * asked.sign(single) + LEANING + noise()
            yield "ratings", single.id, f"expected:{form.name}", float(np.clip(4 + 3 * raw, 1, 7))
            raw += GOOD * asked.sign(single)
            yield "fake_good", single.id, f"expected:{form.name}", float(np.clip(4 + 3 * raw, 1, 7))
    for question in interview_inventory().items:
        value = float(np.clip(0.5 + at(arm, question.scale) / 2 + noise(), 0, 1))
        yield "interview", question.id, "interview:words:0", value


def figures(known: Validity, name: str, measure: str, arm: str = "") -> list[float | None]:
    return [
        f.value for f in known.reliability if (f.name, f.measure, f.arm) == (name, measure, arm)
    ]


def test_measures_of_one_construct_agree(known: Validity) -> None:
    assert known.agreement
    assert known.agreement.convergent is not None
    assert known.agreement.convergent > 0.95
    assert {c.n for c in known.agreement.correlations} == {7}


@pytest.mark.parametrize("measure", MEASURES)
def test_items_of_a_scale_go_together_over_arms(known: Validity, measure: str) -> None:
    found = figures(known, "alpha", measure)
    assert len(found) == 4
    assert min(v for v in found if v is not None) > 0.9


def test_what_cannot_be_computed_has_a_reason(known: Validity) -> None:
    omegas = [f for f in known.reliability if f.name == "omega" and f.measure == "ratings"]
    assert all(f.value is None and "7 complete respondents" in str(f.reason) for f in omegas)


def test_acquiescence_is_found_and_does_not_move_the_verdict(known: Validity) -> None:
    (leaning,) = figures(known, "acquiescence", "ratings", "base")
    assert leaning == pytest.approx(LEANING, abs=0.02)
    (none,) = figures(known, "acquiescence", "letters", "base")
    assert none == pytest.approx(0, abs=0.02)


def test_a_good_impression_is_a_shift_of_the_ratings(known: Validity) -> None:
    moved = figures(known, "social-desirability shift", "ratings", "base")
    assert moved == pytest.approx([GOOD] * 4, abs=0.03)


def test_a_good_impression_needs_an_honest_one() -> None:
    with pytest.raises(InputError, match="name both"):
        chosen(Measures(tasks=("fake_good",)))


def test_losses_are_counted(study: Study, scores: pd.DataFrame) -> None:
    asked = scores["metric"].eq("interview:words:0") & scores["condition"].eq("base")
    lost = scores.copy()
    first = lost.index[asked][:4]
    lost.loc[first, "value"] = np.nan
    lost.loc[first, "state"] = "refused"
    assert figures(known_of(study, lost), "refusal rate", "interview", "base") == [4 / 32]


def test_every_measure_that_a_study_names_has_a_voice(study: Study, scores: pd.DataFrame) -> None:
    verdict = {(v.persona, v.condition): v for v in reached(study, scores)}
    adapter = verdict["INFP", "adapter"]
    assert adapter.criterion("moved").verdict == "confirmed"
    assert all({s.measure for s in scale.shifts} == set(MEASURES) for scale in adapter.scales)
    against = scores.copy()
    turned = against["task"].eq("letters") & against["condition"].eq("adapter")
    against.loc[turned, "value"] = 1 - against.loc[turned, "value"]
    verdict = {(v.persona, v.condition): v for v in reached(study, against)}
    assert verdict["INFP", "adapter"].word == "indeterminate"


@pytest.mark.parametrize("gone", MEASURES)
def test_a_measure_that_was_not_asked_is_left_out(
    study: Study, scores: pd.DataFrame, gone: str
) -> None:
    first = next(reached(study, scores[scores["task"] != gone]))
    measured = {s.measure for scale in first.scales for s in scale.shifts}
    assert measured == set(MEASURES) - {gone}


def test_two_arms_have_no_correlations(tmp_path: Path) -> None:
    config = StudyConfig.model_validate(
        {"name": "five", "personas": ["high_openness"], "corpus": "starter/big_five",
         "conditions": ["base", "adapter"],
         "measures": {"tasks": ["behaviour"], "scenes": 4}}
    )  # fmt: skip
    study = Study(config, tmp_path)
    rng = np.random.default_rng(0)
    made = [
        {"persona": arm.persona, "condition": arm.condition, "seed": 0, "task": "behaviour",
         "sample": scene.id, "metric": f"reply:{name}", "value": float(rng.normal()),
         "state": "ok"}
        for arm in study.content.arms for scene in situations(study) for name in scene.replies
    ]  # fmt: skip
    found = known_of(study, pd.DataFrame(made))
    assert found.agreement is not None
    assert all(c.value is None and c.reason for c in found.agreement.correlations)
