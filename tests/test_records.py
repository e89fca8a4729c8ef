"""Records refuse what would be wrong later, and say where it stands."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from personalign.errors import CorpusError
from personalign.files import read_records
from personalign.records import PreferencePair, Scene, ScoreRow, to_jsonl

GOOD = (
    '{"id": "a-1", "area": "a", "split": "build",'
    ' "prompt": [{"role": "user", "content": "Hello"}], "replies": {"INFP": "Hi"}}'
)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "not JSON"),
        (GOOD.replace('"build"', '"bulid"'), "split"),
        (GOOD.replace('"area": "a",', ""), "area"),
        (GOOD.replace('"user"', '"assistant"'), "last message"),
        (GOOD.replace('"Hi"', '" "'), "reply is empty"),
        (GOOD.replace('"id"', '"extra": 1, "id"'), "extra"),
    ],
)
def test_a_malformed_line_is_named(tmp_path: Path, line: str, said: str) -> None:
    file = tmp_path / "scenes.jsonl"
    file.write_text(f"{GOOD}\n\n{line}\n", encoding="utf-8")
    with pytest.raises(CorpusError, match=rf"scenes\.jsonl:3: .*{said}"):
        read_records(file, Scene)


def test_not_utf8(tmp_path: Path) -> None:
    file = tmp_path / "scenes.jsonl"
    file.write_bytes(b"\n{\xe9}")
    with pytest.raises(CorpusError, match=r":2: not UTF-8 at byte 1.* CP1252 it says '{é}'"):
        read_records(file, Scene)


def test_round_trip_keeps_line_separators_inside_text(tmp_path: Path) -> None:
    scene = Scene.model_validate_json(GOOD.replace("Hello", "one\\u2028two"))
    file = tmp_path / "scenes.jsonl"
    file.write_text(to_jsonl([scene, scene]), encoding="utf-8")
    assert read_records(file, Scene) == [scene, scene]


def test_a_pair_needs_two_replies() -> None:
    said = [{"role": "assistant", "content": "same"}]
    prompt = [{"role": "user", "content": "Hello"}]
    with pytest.raises(ValidationError, match="equals the rejected"):
        PreferencePair.model_validate({"prompt": prompt, "chosen": said, "rejected": said})


@pytest.mark.parametrize(
    ("part", "value", "said"),
    [
        ("rejected", [" \n"], "rejected reply is blank"),
        ("chosen", ["\u200b\ufeff"], "chosen reply is blank"),
        ("chosen", ["one", "two"], "chosen must be one message"),
        ("prompt", ["I answer"], "must be the user's"),
    ],
)
def test_a_pair_is_one_message_a_side(part: str, value: list[str], said: str) -> None:
    data = {
        "prompt": [{"role": "user", "content": "Hello"}],
        "chosen": [{"role": "assistant", "content": "a"}],
        "rejected": [{"role": "assistant", "content": "b"}],
    }
    data[part] = [{"role": "assistant", "content": text} for text in value]
    with pytest.raises(ValidationError, match=said):
        PreferencePair.model_validate(data)


@pytest.mark.parametrize(("value", "state"), [(None, "ok"), (1.0, "refused")])
def test_only_ok_has_a_value(value: float | None, state: str) -> None:
    row = {"run": "r", "base_model": "b", "persona": "", "condition": "base", "task": "t"}
    row |= {"sample": "s", "cluster": "s", "metric": "m"}
    with pytest.raises(ValidationError, match="do not go together"):
        ScoreRow.model_validate(row | {"value": value, "state": state})
