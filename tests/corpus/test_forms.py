"""Pairs in forms: asked for, kept by both replies, and nothing else of them changed."""

from __future__ import annotations

import re

from personalign.corpus.forms import FORMS, in_forms
from personalign.corpus.pairs import opposite_pairs
from personalign.corpus.scenes import load, select
from personalign.judges.form import FORMS as RULES
from personalign.measures.speech import shipped
from personalign.records import PreferencePair

PAIRS = opposite_pairs(select(load("starter/mbti"), "build", 60), "INFP", "ESTJ")


def formed(pairs: list[PreferencePair]) -> list[PreferencePair]:
    return [pair for pair in pairs if "form" in pair.origin]


def test_a_share_is_asked_for_in_every_form_and_has_it() -> None:
    made = formed(in_forms(PAIRS, 0.2))
    assert len(made) == 12
    assert {pair.origin["form"] for pair in made} == {"list", "email", "json"}
    for pair in made:
        keeps = RULES[str(pair.origin["form"])]
        assert keeps(pair.chosen[0].content)
        assert keeps(pair.rejected[0].content)


def test_what_is_said_stays() -> None:
    def words(text: str) -> list[str]:
        return re.findall(r"[a-z']+", text.lower())

    for before, after in zip(PAIRS, in_forms(PAIRS, 0.5), strict=True):
        assert after.prompt[-1].content.startswith(before.prompt[-1].content)
        said = words(after.chosen[0].content)
        assert [w for w in words(before.chosen[0].content) if w not in said] == []
        assert ("form" in after.origin) or after == before


def test_none_and_all() -> None:
    assert in_forms(PAIRS, 0) == PAIRS
    assert len(formed(in_forms(PAIRS, 1))) == 60


def test_the_forms_that_measure_are_asked_for_in_other_words() -> None:
    asked = [way["text"] for way in shipped()["formats"]]
    for _, ask, _ in FORMS:
        words = ask.lower().split()
        runs = [" ".join(words[k : k + 4]) for k in range(len(words) - 3)]
        assert not [run for run in runs for text in asked if run in text.lower()]
