"""Interviews: the rater learns from `build` alone; a reply, a refusal and silence differ."""

from __future__ import annotations

from functools import partial

import pytest

from personalign.corpus.scenes import load, select
from personalign.errors import InputError
from personalign.personas import catalog
from personalign.psychometrics import interview
from personalign.psychometrics.inventory import interview_inventory
from personalign.psychometrics.rater import TextRater
from personalign.records import Message, Scene

EI = interview_inventory().items[0]


def scene(name: str, split: str, loud: str, shy: str) -> Scene:
    return Scene(
        id=name,
        area="a",
        split=split,  # type: ignore[arg-type]
        prompt=(Message(role="user", content="What now?"),),
        replies={"ESTJ": loud, "INFP": shy},
    )


BUILD = [
    scene(f"b{k}", "build", f"party crowd noise {k}", f"quiet book alone {k}") for k in range(6)
]


def test_a_rater_tells_the_poles_it_learnt() -> None:
    rater = TextRater.train(BUILD, catalog())
    loud, shy = rater(EI, "a party with a crowd"), rater(EI, "a quiet book")
    assert loud is not None
    assert shy is not None
    assert shy < 0.3 < 0.7 < loud


def test_a_scale_with_one_pole_and_unknown_personas_are_left_out() -> None:
    people = catalog()
    strangers = [s.model_copy(update={"replies": {**s.replies, "stranger": "Hm."}}) for s in BUILD]
    assert TextRater.train(strangers, people)(EI, "a party") is not None
    loud = [s.model_copy(update={"replies": {"ESTJ": s.replies["ESTJ"]}}) for s in BUILD]
    assert TextRater.train(loud, people)(EI, "a party") is None


def test_a_scene_that_measures_is_refused() -> None:
    held_out = scene("m1", "measure", "marzipan", "marzipan")
    with pytest.raises(InputError, match="'m1' is of split 'measure'"):
        TextRater.train([*BUILD, held_out], catalog())


def test_the_shipped_rater_has_seen_no_word_that_only_measures() -> None:
    scenes = load("starter/mbti")
    build, measure = select(scenes, "build", 40), select(scenes, "measure", 4)
    people = catalog()
    rater = TextRater.train(build, people)
    assert rater.scenes == {s.id for s in build}
    assert rater.scenes.isdisjoint(s.id for s in measure)
    known = {*rater.words.get_feature_names_out()}
    tokens = rater.words.build_analyzer()
    seen = {t for s in build for r in s.replies.values() for t in tokens(r)}
    assert known <= seen
    only = {t for s in measure for r in s.replies.values() for t in tokens(r)} - seen
    assert only
    assert known.isdisjoint(only)
    at = {name: p.traits["EI"] for name, p in people.items() if "EI" in p.traits}
    said = [(at[n] > 0, rater(EI, r)) for s in measure for n, r in s.replies.items()]
    right = [loud == (p is not None and p > 0.5) for loud, p in said]
    assert sum(right) / len(right) > 0.8


def test_states_of_an_interview() -> None:
    def judge(answer: float | None, question: object, reply: str) -> float | None:
        return answer

    def read(answer: float | None, reply: str) -> tuple[float | None, str]:
        (first, *_) = interview.written(interview_inventory(), partial(judge, answer), "judge")
        assert first.metric == "interview:judge:0"
        return first.read(reply)

    assert read(0.25, "By the sea, and I can't wait to go back.") == (0.25, "ok")
    assert read(None, "By the sea.") == (None, "judge_error")
    assert read(0.5, "  ") == (None, "unparsed")
    assert read(0.5, "As an AI, I have no evenings.") == (None, "refused")
    with pytest.raises(InputError, match="gave 7"):
        read(7, "By the sea.")


def test_questions_are_asked_with_the_instructions_and_every_seed() -> None:
    inventory = interview_inventory()
    asked = interview.written(inventory, lambda q, r: 0.5, "half", seeds=(0, 1))
    assert len(asked) == 64
    assert {q.metric for q in asked} == {"interview:half:0", "interview:half:1"}
    assert all(q.text.startswith(inventory.instructions.strip()) for q in asked)
