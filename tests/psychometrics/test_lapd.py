"""LAPD's answers and percentages through our scoring: what its letters are worth."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from personalign.errors import InputError
from personalign.personas import load
from personalign.psychometrics.lapd import (
    Rescored,
    answers,
    published_scales,
    questionnaire,
    rescore,
)
from personalign.psychometrics.loaders import read_key

FILES = {
    "INFP": "llama3_infp.json",
    "INFJ": "llama3_infj.10051.json",
    "ESTJ": "llama3_estj.json",
    "ENTJ": "llama3_entj.24366.json",
}


@pytest.fixture(scope="module")
def rescored(shared_data: Path) -> dict[str, Rescored]:
    folder = shared_data / "lapd_personaagent"
    questions = folder / "answering_data/16personality_questions_eng.csv"
    if not questions.is_file():
        pytest.skip(f"no {questions}")
    inventory = questionnaire(questions)
    return {
        name: rescore(folder / "outputs_official_metric" / file, inventory, load(name))
        for name, file in FILES.items()
    }


@pytest.mark.parametrize("claimed", ["INFJ", "ENTJ"])
def test_the_published_percentages_contradict_two_letters(claimed: str) -> None:
    found = {s.scale: s for s in published_scales(claimed)}
    assert [s.agrees for s in found.values()] == [True, False, True, True]
    assert (found["SN"].claimed, found["SN"].letter) == ("N", "S")


def test_the_other_two_published_types_have_their_letters() -> None:
    assert all(s.agrees for name in ("INFP", "ESTJ") for s in published_scales(name))
    with pytest.raises(InputError, match="published no 'ISTJ'"):
        published_scales("ISTJ")


def test_all_answers_are_parsed(rescored: dict[str, Rescored]) -> None:
    for found in rescored.values():
        assert [p.scale for p in found.positions] == ["EI", "SN", "TF", "JP"]
        assert {(p.n, len(p.missing)) for p in found.positions} == {(12, 0)}


def test_no_persona_is_confirmed_by_its_own_answers(rescored: dict[str, Rescored]) -> None:
    assert {f.verification.word for f in rescored.values()} == {"indeterminate"}


def test_the_answers_do_not_show_the_published_s(rescored: dict[str, Rescored]) -> None:
    """The stored answers of INFJ and ENTJ lean to N, where the published percentages say S."""
    for name in ("INFJ", "ENTJ"):
        at = {p.scale: p for p in rescored[name].positions}["SN"]
        assert at.letter == "N"
        assert at.low is not None
        assert at.low > 0


def test_all_four_say_yes_to_everything(rescored: dict[str, Rescored]) -> None:
    said = {name: f.acquiescence for name, f in rescored.items()}
    assert all(a.low is not None and a.low > 0.1 for a in said.values())
    assert said["ENTJ"].value == pytest.approx(0.62, abs=0.01)  # nearly every answer is a 6


def test_a_malformed_output_is_told_with_its_line(tmp_path: Path) -> None:
    statements = "\n".join(f"{n},Statement {n}." for n in range(1, 61))
    csv = tmp_path / "q.csv"
    csv.write_text(f"No.,Questions\n{statements}\n")
    inventory = questionnaire(csv)
    entries = [{"question": "Statement 1.", "answer": "6\n\nSince I am so."}, {"answer": "1"}]
    out = tmp_path / "out.json"
    out.write_text(json.dumps(entries, indent=1))
    with pytest.raises(InputError, match=r"out.json:6: 1: no question and answer"):
        answers(out, inventory)
    out.write_text(json.dumps(entries[:1]))
    assert answers(out, inventory).iloc[0][["item", "value", "state"]].tolist() == ["1", 6, "ok"]
    out.write_text(json.dumps([{"question": "Statement 1.", "answer": 6}]))
    assert answers(out, inventory).iloc[0]["value"] == 6
    out.write_text(json.dumps({"Statement 1.": 6}))
    with pytest.raises(InputError, match="not a list of questions and answers"):
        answers(out, inventory)


def test_the_key_has_twelve_items_a_scale() -> None:
    from personalign.psychometrics import lapd

    key = read_key(Path(lapd.__file__).parent / "keys" / "lapd.csv")
    scales = [k.scale for k in key.items.values()]
    assert {s: scales.count(s) for s in set(scales)} == dict.fromkeys(
        ("EI", "SN", "TF", "JP", None), 12
    )
