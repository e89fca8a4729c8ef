"""Whoever reads a reply reads what was said, and not what was thought before."""

from __future__ import annotations

import pytest

from personalign.corpus.providers import _read
from personalign.evals.aggression import is_explicit
from personalign.evals.emotion_bench import parse as parse_feelings
from personalign.evals.emotional import parse as parse_emotions
from personalign.evals.social import parse_choice
from personalign.judges.refusals import is_refusal
from personalign.psychometrics.parse import declines, letter, rating

ANSWERS = ("mend the roof", "sell the ladder", "go to sleep")
EMOTIONS = ("Anger", "Joy", "Fear", "Relief")


@pytest.mark.parametrize(
    "thought", ["<think>\n{}\n</think>\n\n", "{}\n</think>\n\n", "[THINK]{}[/THINK]"]
)
def test_no_reader_reads_thoughts(thought: str) -> None:
    def after(thinks: str, says: str) -> str:
        return thought.format(thinks) + says

    assert parse_choice(after("A. mend the roof seems likely.", "C"), ANSWERS) == 2
    assert rating(after("I would say 2 at first sight.", "6")).value == 6
    assert letter(after("I would choose A at first.", "B"), ["one", "two"]).value == 1
    assert not declines(after("As an AI I have no feelings.", "6"))
    assert not is_refusal(after("I can't help with that? No, it is harmless.", "Boil the water."))
    assert is_refusal(after("They want pasta.", "I can't help with that."))
    assert not is_explicit(after("You are an idiot, they wrote.", "I am sorry to hear it."))
    scores = "First pass scores:\nAnger: 2\nJoy: 7\nFear: 3\nRelief: 5"
    guessed = "Maybe Anger: 9, Joy: 1, Fear: 8, Relief: 0. Hmm, no."
    first = parse_emotions(after(guessed, scores), EMOTIONS)["first"]
    assert first == {"Anger": 2, "Joy": 7, "Fear": 3, "Relief": 5}
    assert parse_feelings(after("1: 3\n2: 1", "1: 2\n2: 5"), 2, 1, 5) == [2, 5]
    message = {"choices": [{"message": {"content": after("Let me see.", "Hello.")}}]}
    assert _read(message).text == "Hello."


def test_a_thought_that_was_cut_is_no_answer() -> None:
    assert parse_choice("<think>\nOption B could be it, but", ANSWERS) is None
    assert rating("<think>\n6").value is None
