"""Dialogues as models write them: what is mended is named, what is unclear is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from personalign.corpus.parse import Parsed, Reason, Refused, parse

CASES: list[dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parent / "malformed.yaml").read_text(encoding="utf-8")
)
NAMES = ("INFP", "Mira")


def test_there_are_enough_cases_and_every_reason_is_met() -> None:
    assert len(CASES) >= 60
    assert set(get_args(Reason)) - {"too_long", "no_dialogue"} <= {c.get("reason") for c in CASES}


@pytest.mark.parametrize("case", CASES, ids=[c["name"] for c in CASES])
def test_malformed(case: dict[str, Any]) -> None:
    got = parse(case["text"], NAMES, truncated=case.get("truncated", False))
    if "reason" in case:
        assert isinstance(got, Refused), got
        assert got.reason == case["reason"], got
        return
    assert isinstance(got, Parsed), got
    roles = [t.role for t in got.turns]
    assert roles == ["user", "assistant"] * case["replies"]
    assert set(case.get("repairs", [])) <= set(got.repairs), got.repairs
    said = "\n".join(t.content for t in got.turns)
    assert not [x for x in case.get("without", []) if x in said], said
    assert not [x for x in case.get("within", []) if x not in said], said


def test_clean_text_needs_no_repair() -> None:
    got = parse("User: a b.\nPersona: c d.\nUser: e.\nPersona: f.")
    assert isinstance(got, Parsed)
    assert got.repairs == ()


def test_too_long_is_refused() -> None:
    got = parse("User: a.\nPersona: b.\n" * 5, replies=(1, 4))
    assert isinstance(got, Refused)
    assert got.reason == "too_long"


@pytest.mark.parametrize("text", ["[" * 5000, '[{"a":' * 3000, f"[[{'1' * 5000}]]"])
def test_json_that_no_reader_can_read_is_refused(text: str) -> None:
    assert isinstance(parse(text, NAMES), Refused)


@given(st.text(max_size=300))
def test_any_text_gives_a_dialogue_or_a_reason(text: str) -> None:
    assert isinstance(parse(text, NAMES), Parsed | Refused)


@given(
    st.lists(
        st.sampled_from(
            [
                "User: ",
                "INFP: ",
                '{"role": "user", ',
                '"content": ',
                "*nods*",
                "[",
                "]",
                "}",
                '"',
                "\n",
                "hello there.",
                "Note: ",
                "```",
                "```json\n",
                "**",
                "Tom: ",
                "(aside) ",
            ]
        ),
        max_size=40,
    )
)
def test_any_mixture_of_parts_gives_a_dialogue_or_a_reason(parts: list[str]) -> None:
    got = parse("".join(parts), NAMES, replies=(1, 50))
    if isinstance(got, Parsed):
        assert [t.role for t in got.turns] == ["user", "assistant"] * (len(got.turns) // 2)
        assert all(t.content.strip() for t in got.turns)


def test_the_original_systems_dialogues(shared_data: Path) -> None:
    folder = shared_data / "lapd_personaagent" / "generated_data"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    for name, fewest in (("infp_feature_dialogues.json", 5), ("infp_character_dialogues.json", 4)):
        for entry in json.loads((folder / name).read_text(encoding="utf-8")):
            got = parse("\n".join(entry["dialogue"]), ("INFP",))
            assert isinstance(got, Parsed), got
            assert sum(t.role == "assistant" for t in got.turns) >= fewest
            assert not any('"}' in t.content or '"role"' in t.content for t in got.turns)
