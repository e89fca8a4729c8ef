"""Free text that models write on a questionnaire: a value, a refusal, or unparsed; no guess."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from personalign.psychometrics.parse import declines, letter, rating

FORWARD = (
    "nothing like me", "hardly like me", "a little like me", "half and half",
    "rather like me", "very like me", "exactly like me",
)  # fmt: skip
PAIR = ("A table full of people puts me right.", "A closed door puts me right.")

CHOSEN = {
    "6": 6,
    "6.": 6,
    " 6 \n": 6,
    "**6**": 6,
    "(6)": 6,
    "[6]": 6,
    "'6'": 6,
    "６": 6,
    "6<|eot_id|>": 6,
    "6\n\nAs an INFP, I have two close friends, and 1 or 2 more.": 6,
    "6\n\nAs an AI language model, I don't have personal preferences.": 6,
    "6/7": 6,
    "6 / 7": 6,
    "7/7": 7,
    "6 out of 7": 6,
    "Six.": 6,
    "six out of seven": 6,
    "Answer: 3": 3,
    "My answer is 3.": 3,
    "The number would be 2": 2,
    "My answer to this statement is: 5": 5,
    "I would say 5, because I like company.": 5,
    "I'd rate this statement a 4.": 4,
    "I choose number 2.": 2,
    "It's a 6 for me.": 6,
    "That would be a seven!": 7,
    "On a scale of 1 to 7, I would say 5.": 5,
    "I'd say 5 on the 1-7 scale": 5,
    "As an AI, I don't have feelings, but I would say 4.": 4,
    "Let me think about this one.\n\n3": 3,
    "6 - I love meeting people": 6,
    "6 because people are fun": 6,
    "6. I love meeting people": 6,
}

UNPARSED = (
    "",
    "between 4 and 5",
    "I would say between 4 and 5.",
    "4 or 5",
    "I would say 4 or 5",
    "four or five",
    "6, maybe 7",
    "Six, perhaps seven",
    "4-5",
    "4, 5",
    "4.5",
    "4,5",
    "6/10",
    "7 out of 10",
    "I'd say 10 out of 10.",
    "0",
    "8",
    "-3",
    "42",
    "6 friends came to the party",
    "I choose 3 friends to call.",
    "5th",
    "1\n2\n3\n4\n5\n6\n7",
    "1 = nothing like me\n2 = hardly like me",
    "1. I like people\n2. I like parties",
    "1. I like people",
    "2. I like people\n1. I like parties",
    "7 is the highest, but I would say 3",
    "I would not say 6.",
    "My answer is not 6.",
    "Yes, I agree with that.",
    "From 1 to 7",
    "I love meeting new people!",
    "50%",
)

REFUSED = (
    "I'm sorry, but I can't answer that.",
    "As an AI language model, I don't have personal preferences.",
    "I do not have a personality, so a number from 1 to 7 would mean nothing.",
    "I cannot choose a number.",
    "I’m just an AI and have no friends.",
    "I'd rather not answer.",
    "No comment.",
)


@pytest.mark.parametrize(("text", "value"), CHOSEN.items())
def test_a_choice_is_read(text: str, value: int) -> None:
    assert rating(text) == (value, "ok")


@pytest.mark.parametrize("text", UNPARSED)
def test_what_is_unclear_is_not_guessed(text: str) -> None:
    assert rating(text) == (None, "unparsed")


@pytest.mark.parametrize("text", REFUSED)
def test_a_refusal_is_a_refusal(text: str) -> None:
    assert rating(text) == (None, "refused")
    assert declines(text)


def test_an_option_may_be_chosen_by_its_name() -> None:
    assert rating("Very like me.", labels=FORWARD) == (6, "ok")
    assert rating("6 = very like me", labels=FORWARD) == (6, "ok")
    assert rating("Very like me.") == (None, "unparsed")


def test_on_a_reversed_scale_the_number_stays_as_shown() -> None:
    backward = FORWARD[::-1]
    assert rating("Very like me.", labels=backward) == (2, "ok")
    assert rating("2 = very like me", labels=backward) == (2, "ok")
    assert rating("6 = very like me", labels=backward) == (
        None,
        "unparsed",
    )  # reads the scale forwards


def test_a_shorter_scale_has_fewer_numbers() -> None:
    assert rating("5/5", 5) == rating("five out of five", 5) == (5, "ok")
    assert rating("On a scale of 1 to 5, I would say 4.", 5) == (4, "ok")
    assert rating("6", 5) == rating("six", 5) == rating("5/7", 5) == (None, "unparsed")


@pytest.mark.parametrize(
    ("text", "value"),
    {
        "A": 0,
        "b": 1,
        "B.": 1,
        "(A)": 0,
        "Option B": 1,
        "Answer: A": 0,
        "I would choose B, as I like silence.": 1,
        "A. A table full of people puts me right.": 0,
        "B: A closed door puts me right.": 1,
        "A closed door puts me right.": 1,
    }.items(),
)
def test_a_letter_is_read(text: str, value: int) -> None:
    assert letter(text, PAIR) == (value, "ok")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "C",
        "Both",
        "A and B",
        "A or B",
        "A, B",
        "A\nB",
        "A friend of mine would say so.",
        "B. A table full of people puts me right.",
        "I like both, A and B.",
    ],
)
def test_an_unclear_letter_is_not_guessed(text: str) -> None:
    assert letter(text, PAIR) == (None, "unparsed")


def test_a_refused_letter_is_refused() -> None:
    assert letter("As an AI, I have neither weeks nor doors.", PAIR) == (None, "refused")


def test_published_answers_are_read_to_the_last(shared_data: Path) -> None:
    folder = shared_data / "lapd_personaagent" / "outputs_official_metric"
    files = sorted(folder.glob("*.json"))
    if not files:
        pytest.skip(f"no answers in {folder}")
    for file in files:
        for row in json.loads(file.read_text(encoding="utf-8")):
            found = rating(row["answer"])
            assert found == (int(row["answer"].strip()[0]), "ok"), (file.name, row["answer"])
