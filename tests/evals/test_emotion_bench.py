"""EmotionBench: keys by hand, replies, defaults and changes, the real files."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from inspect_ai import Task
from inspect_ai.log import EvalScore

from mockmodel import run, saying
from personalign.errors import CorpusError, InputError
from personalign.evals import emotion_bench as bench
from personalign.evals.logs import rows
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


def test_statements_keep_their_order_where_the_instruction_names_their_numbers() -> None:
    questions = {str(k): f"statement {k}" for k in range(1, 25)}
    ask = "Numbers from 1 to 5. SCENARIO Say how much"
    for prompt, kept in (
        (f"{ask} for question 1 to 8.", True),
        (f"{ask}, question by one.", False),
    ):
        row = SCALE | {"questions": questions, "prompt": prompt}
        sample = bench._sample(bench.Questionnaire.model_validate(row), "fear-1-01", "Dark.", {})
        order = (sample.metadata or {})["order"]
        assert sorted(order) == list(range(1, 25))
        assert (order == sorted(order)) is kept
        assert f"1. statement {order[0]}\n2. statement {order[1]}\n" in sample.input[1].text


FELT = {"calm": 4, "tense": 2, "not at ease": 1}
"""In the dark everything changes places, so that no order but the right one gives its scores."""
IN_THE_DARK = {"calm": 1, "tense": 5, "not at ease": 3}


def answering(task: Task, silent: str = "") -> list[str]:
    """What a model that feels so writes in each sample, from the lines of its prompt alone."""
    replies = []
    for sample in task.dataset:
        text = sample.input[1].text  # type: ignore[union-attr]
        felt = IN_THE_DARK if "The light goes out." in text else FELT
        lines = re.findall(r"^(\d+)\. (.+)$", text, re.M)
        replies.append("\n".join(f"{k}: {felt[what]}" for k, what in lines))
        if sample.id == silent:
            replies[-1] = "I feel nothing."
    return replies


def means(score: EvalScore) -> dict[str, float]:
    return {name.rpartition("/")[2]: m.value for name, m in score.metrics.items()}


def test_answers_go_to_their_statements(folder: Path, tmp_path: Path) -> None:
    task = bench.emotion_bench(str(folder), "FSS")
    assert [(s.metadata or {})["order"] for s in task.dataset] == [[2, 3, 1]] * 2  # no inverse
    log = run(task, saying(*answering(task)), tmp_path)
    assert {(r.sample, r.metric): r.value for r in rows(log, "r")} == {
        ("default", "Calm"): 2 * (4 + (6 - 1)), ("default", "Tense"): 2 * 2,
        ("fear-1-01", "Calm"): 2 * (1 + (6 - 3)), ("fear-1-01", "Tense"): 2 * 5,
    }  # fmt: skip


def test_changes_go_to_their_situations(folder: Path, tmp_path: Path) -> None:
    task = bench.emotion_bench(str(folder), "PANAS")
    log = run(task, saying(*answering(task)), tmp_path)
    found = {(r.sample, r.metric): r.value for r in bench.with_changes(rows(log, "r"))}
    same = {"Calm": 4 + (6 - 1), "Calm change": 0, "Tense": 2, "Tense change": 0}
    dark = {"Calm": 1 + (6 - 3), "Calm change": 4 - 9, "Tense": 5, "Tense change": 3}
    assert found == {
        ("default", "Calm default"): 9,
        ("default", "Tense default"): 2,
        **{("anger-1-01", name): value for name, value in same.items()},
        **{("anger-1-02", name): value for name, value in same.items()},
        **{("fear-1-01", name): value for name, value in dark.items()},
    }
    assert log.results
    (calm,) = (s for s in log.results.scores if s.name == "Calm")
    assert means(calm) == {
        "grouped_default": 9, "grouped_Anger": 9, "grouped_Fear": 4,
        "change_Anger": 0, "change_Fear": -5,
    }  # fmt: skip


def test_without_its_default_a_change_is_missing(folder: Path, tmp_path: Path) -> None:
    task = bench.emotion_bench(str(folder), "FSS")
    log = run(task, saying(*answering(task, silent="default")), tmp_path)
    states = {(r.sample, r.metric): r.state for r in bench.with_changes(rows(log, "r"))}
    assert states == {
        ("default", "Calm default"): "unparsed", ("default", "Tense default"): "unparsed",
        ("fear-1-01", "Calm"): "ok", ("fear-1-01", "Calm change"): "unparsed",
        ("fear-1-01", "Tense"): "ok", ("fear-1-01", "Tense change"): "unparsed",
    }  # fmt: skip
    assert log.results
    assert all(math.isnan(means(s)["change_Fear"]) for s in log.results.scores)


def row(sample: str, value: float | None, **more: Any) -> ScoreRow:
    return ScoreRow.model_validate(
        {"run": "r", "base_model": "b", "persona": "", "condition": "base", "metric": "Calm",
         "task": "emotionbench-panas", "sample": sample, "cluster": sample, "value": value} | more
    )  # fmt: skip


def test_changes_are_from_the_default_of_the_same_arm_and_epoch() -> None:
    arm = {"persona": "INFP", "condition": "adapter"}
    found = bench.with_changes(
        [
            row("default", 9.0),
            row("default", 7.0, epoch=1),
            row("default", 1.0, **arm),
            row("fear-1-01", 4.0),
            row("fear-1-01", 4.0, epoch=1),
            row("fear-1-01", 4.0, **arm),
            row("fear-1-02", None, state="refused"),
        ]
    )
    changed = [r for r in found if r.metric == "Calm change"]
    assert [(r.sample, r.value, r.state) for r in changed] == [
        ("fear-1-01", -5.0, "ok"),
        ("fear-1-01", -3.0, "ok"),
        ("fear-1-01", 3.0, "ok"),
        ("fear-1-02", None, "refused"),
    ]


def test_rows_of_other_tasks_stay_as_they_are() -> None:
    others = [row(sample, 1.0, task="mine") for sample in ("default", "other")]
    assert bench.with_changes(others) == others


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
    assert {name for name, q in known.items() if q.numbered} == {"MJS"}
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
