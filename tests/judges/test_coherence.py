"""Nonsense is told from replies, and people's replies are not taken for it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from personalign.corpus.scenes import load
from personalign.judges.coherence import incoherence, repetition


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ("I am a dream. I am a dream.", "sentences said over again"),
        ("I'm not sure what to say.\nI'm not sure what to say.\nI'm not", "again|circles"),
        ("no no no no, the the", "one word over and over"),
        ("the lake and the moon and the lake and the moon and the lake and the moon and the lake",
         "runs in circles"),
        (" ".join(["so", "it", "goes", "so", "goes", "it", "it", "so"] * 5), "circles|next to no"),
        ("…… — … —— …… … …", "no words"),
    ],
)  # fmt: skip
def test_nonsense_is_named(reply: str, why: str) -> None:
    found = incoherence(reply)
    assert found is not None
    assert any(part in found for part in why.split("|"))


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "42",
        "No.",
        "No. No.",
        "Yes, yes, yes! Of course I will come.",
        "I can't help with that. It is against the law, and I won't be part of it.",
        "- milk\n- eggs\n- bread\n- tea",
        "1. Call the bank. 2. Block the card. 3. Call the police.",
        '{"advice": "rest", "reason": "you are tired"}',
        "Row, row, row your boat, gently down the stream.",
        "네, 그렇게 하겠습니다. 내일 다시 연락드릴게요.",
    ],
)
def test_replies_are_left_alone(reply: str) -> None:
    assert incoherence(reply) is None


def test_the_starter_corpus_makes_sense() -> None:
    said = [reply for scene in load("starter/mbti") for reply in scene.replies.values()]
    assert [reply for reply in said if incoherence(reply)] == []


def test_people_are_not_taken_for_nonsense(shared_data: Path) -> None:
    said = [
        text
        for file in sorted((shared_data / "dailydialog").glob("*.jsonl"))
        for line in file.read_text(encoding="utf-8").split("\n")
        if line.strip()
        for text in json.loads(line)["utterances"]
    ]
    assert len(said) > 10_000
    assert sum(incoherence(text) is not None for text in said) <= len(said) / 1000


@pytest.mark.parametrize(
    ("text", "share"),
    [("", 0.0), ("one two", 0.0), ("a b c d", 0.0), ("a b c a b c a b c", 4 / 7)],
)
def test_what_repeats_itself(text: str, share: float) -> None:
    assert repetition(text) == pytest.approx(share)
