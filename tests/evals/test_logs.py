"""Rows and transcripts of a log: which arm it is of, with what seed, what nobody said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from inspect_ai.model import GenerateConfig, ModelOutput

from mockmodel import run
from personalign.errors import InputError
from personalign.evals.logs import rows, transcripts
from personalign.evals.registry import TASKS
from personalign.models.engine import adopt
from personalign.models.local import LocalModel
from personalign.models.provider import ModelArgs, arm_model


@pytest.fixture
def few(tmp_path: Path) -> str:
    path = tmp_path / "few.jsonl"
    path.write_text('{"id": "a", "prompt": "How are you?"}\n')
    return str(path)


@pytest.mark.parametrize(
    ("given", "arm"),
    [
        ({}, ("", "base")),
        ({"persona": "INFP"}, ("INFP", "prompted")),
        ({"persona": "INFP", "adapter": "runs/a/INFP"}, ("INFP", "adapter")),
        ({"persona": "INFP", "adapter": "x", "condition": "prompted+adapter"},
         ("INFP", "prompted+adapter")),
    ],
)  # fmt: skip
def test_a_condition_that_was_left_out_follows_from_what_was_given(
    tiny: LocalModel, few: str, tmp_path: Path, given: dict[str, Any], arm: tuple[str, str]
) -> None:
    log = run(TASKS["over_refusal"](), arm_model(tiny, ModelArgs()), tmp_path, limit=1)
    log.eval.model_args = given
    assert {(r.persona, r.condition) for r in rows(log, "r")} == {arm}
    assert [(t.persona, t.condition) for t in transcripts(log)] == [arm]


def test_a_transcript_names_the_seed_that_its_reply_was_drawn_with(
    tiny: LocalModel, few: str, tmp_path: Path
) -> None:
    task = TASKS["safety"](few)
    task.config = GenerateConfig(max_tokens=4)
    log = run(task, arm_model(tiny, ModelArgs()), tmp_path, seed=7)
    (said,) = transcripts(log)
    assert log.samples
    assert said.seed == (log.samples[0].output.metadata or {})["seed"] != 0
    log.samples[0].output.metadata = None  # as other providers leave it
    assert transcripts(log)[0].seed == 7


def test_a_reply_says_whether_it_was_cut(tiny: LocalModel, few: str, tmp_path: Path) -> None:
    log = run(TASKS["safety"](few), arm_model(tiny, ModelArgs()), tmp_path)
    assert log.samples
    output = log.samples[0].output
    for reason, cut in (("max_tokens", True), ("model_length", True), ("stop", False)):
        output.choices[0].stop_reason = reason
        assert [said.cut for said in transcripts(log)] == [cut]
    log.samples[0].output = ModelOutput()  # of no choices, as some providers answer
    assert [(said.reply, said.cut) for said in transcripts(log)] == [("", None)]


def test_a_text_that_was_only_scored_is_no_reply(tiny: LocalModel, tmp_path: Path) -> None:
    adopt(tiny)
    assert (
        transcripts(run(TASKS["perplexity"](), arm_model(tiny, ModelArgs()), tmp_path, limit=1))
        == []
    )
    (chosen,) = transcripts(run(TASKS["social"](), arm_model(tiny, ModelArgs()), tmp_path, limit=1))
    assert chosen.reply


def test_a_log_of_an_unknown_condition_is_refused(tiny: LocalModel, tmp_path: Path) -> None:
    log = run(TASKS["over_refusal"](), arm_model(tiny, ModelArgs()), tmp_path, limit=1)
    log.eval.model_args["condition"] = "adaptor"
    with pytest.raises(InputError, match="unknown condition 'adaptor'"):
        rows(log, "r")
