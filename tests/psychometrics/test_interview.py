"""Interviews: a reply, a refusal and silence differ."""

from __future__ import annotations

from functools import partial

import pytest

from personalign.errors import InputError
from personalign.psychometrics import interview
from personalign.psychometrics.inventory import interview_inventory


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
