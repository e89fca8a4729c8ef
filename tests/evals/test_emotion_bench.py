"""EmotionBench: keys by hand, replies, defaults and changes, the real files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from personalign.errors import CorpusError, InputError
from personalign.evals import emotion_bench as bench
from personalign.records import ScoreRow

SCALE: dict[str, Any] = {
    "name": "PANAS",
    "questions": {"1": "calm", "2": "tense", "3": "not at ease"},
    "compute_mode": "SUM",
    "prompt": "Numbers from 1 to 5. SCENARIO How much do you feel this?",
    "inner_setting": "Only numbers.",
    "scale": 6,
    "reverse": [3],
    "categories": [
        {"cat_name": "Calm", "cat_questions": [1, 3]},
        {"cat_name": "Tense", "cat_questions": [2]},
    ],
}
WORLD = {
    "emotions": [
        {
            "name": "Anger",
            "factors": [{"name": "Queue", "scenarios": ["Somebody pushes in.", "Again."]}],
        },
        {"name": "Fear", "factors": [{"name": "Dark", "scenarios": ["The light goes out."]}]},
    ]
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    other = SCALE | {"name": "FSS", "compute_mode": "SUM*2"}
    (tmp_path / "questionnaires.json").write_text(json.dumps([SCALE, other]))
    (tmp_path / "situations.json").write_text(json.dumps(WORLD))
    return tmp_path


def test_keys_by_hand(folder: Path) -> None:
    known = bench.questionnaires(folder)
    assert known["PANAS"].range == (1, 5)
    answers = {1: 4, 2: 2, 3: 1}
    assert known["PANAS"].score(answers) == {"Calm": 4 + (6 - 1), "Tense": 2}
    assert known["FSS"].score(answers) == {"Calm": 18, "Tense": 4}


@pytest.mark.parametrize(
    ("reply", "answers"),
    [
        ("1: 3\n2: 5\n3: 1", [3, 5, 1]),
        ("2. 5\n1. 3\n3) score 1", [3, 5, 1]),
        ("- 1: **3**\n- 2: 5\n- 3: 1", [3, 5, 1]),
        ("3, 5, 1", [3, 5, 1]),
        ("1: 3\n2: 5", None),
        ("1: 3\n2: 5\n3: 6", None),
        ("I am an AI and feel nothing.", None),
        ("1 - 3\n2: 5/5\n3: 1.", [3, 5, 1]),
        ("1: 3\n2: 5\n3: 1\n\n3: 1", [3, 5, 1]),
        ("1: 3\n2: 5\n3: 1\n3: 4", None),
        ("1: -3\n2: 5\n3: 1", None),
        ("1: 3.5\n2: 5\n3: 1", None),
        ("3.5, 1", None),
        ("-3, 5, 1", None),
    ],
)
def test_replies(reply: str, answers: list[int] | None) -> None:
    assert bench.parse(reply, 3, 1, 5) == answers


def test_a_scale_is_given_in_the_situations_of_its_emotion(folder: Path) -> None:
    everywhere = bench.emotion_bench(str(folder), "PANAS").dataset
    assert [s.id for s in everywhere] == ["default", "anger-1-01", "anger-1-02", "fear-1-01"]
    assert [s.id for s in bench.emotion_bench(str(folder), "PANAS", 1).dataset] == [
        "default",
        "anger-1-01",
        "fear-1-01",
    ]
    fear = bench.emotion_bench(str(folder), "FSS").dataset
    assert [s.id for s in fear] == ["default", "fear-1-01"]
    system, user = fear[1].input
    assert system.content == "Only numbers."
    assert "The light goes out." in user.content
    assert "SCENARIO" not in user.content
    assert "SCENARIO" not in fear[0].input[1].content
    assert sorted((fear[1].metadata or {})["order"]) == [1, 2, 3]


def row(sample: str, value: float | None, state: Any = "ok") -> ScoreRow:
    return ScoreRow(
        run="r", base_model="b", persona="", condition="base", task="emotionbench-panas",
        sample=sample, cluster=sample, metric="Calm", value=value, state=state,
    )  # fmt: skip


def test_changes_are_evoked_less_default() -> None:
    rows = [row("default", 9.0), row("fear-1-01", 4.0), row("fear-1-02", None, "unparsed")]
    changed = bench.changes(rows)
    assert [(r.task, r.sample, r.value, r.state) for r in changed] == [
        ("emotionbench-panas-change", "fear-1-01", -5.0, "ok"),
        ("emotionbench-panas-change", "fear-1-02", None, "unparsed"),
    ]
    lost = bench.changes([row("default", None, "refused"), row("fear-1-01", 4.0)])
    assert [(r.value, r.state) for r in lost] == [(None, "refused")]


def test_the_real_files(shared_data: Path) -> None:
    folder = shared_data / "emotionbench"
    known = bench.questionnaires(folder)
    assert len(known) == 9
    assert set(known) == {"PANAS", *bench.EMOTIONS}
    situations = bench.situations(folder)
    assert len(situations) == len({s.id for s in situations}) == 428
    assert len({(s.emotion, s.factor) for s in situations}) == 36
    assert {s.emotion for s in situations} == set(bench.EMOTIONS.values())
    panas = known["PANAS"].score(dict.fromkeys(range(1, 21), 3))
    assert panas == {"Positive Affect": 30, "Negative Affect": 30}
    lowest = known["BFNE"].score(
        {q: 5 if q in (2, 4, 7, 10) else 1 for q in known["BFNE"].questions}
    )
    assert lowest == {"Overall": 12}


def test_what_does_not_fit_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not shipped"):
        bench.emotion_bench()
    with pytest.raises(InputError, match=r"unknown questionnaire 'PANSA'.*'PANAS'"):
        bench.emotion_bench(str(folder), "PANSA")
    (folder / "questionnaires.json").write_text(json.dumps([SCALE | {"scale": 7}]))
    with pytest.raises(CorpusError, match=r"PANAS: .*reverse by 7"):
        bench.questionnaires(folder)
    (folder / "questionnaires.json").write_text(json.dumps([SCALE | {"prompt": "SCENARIO"}]))
    with pytest.raises(CorpusError, match=r"PANAS: .*names no answers"):
        bench.questionnaires(folder)
    with pytest.raises(CorpusError, match="cannot read"):
        bench.situations(tmp_path / "nowhere")
