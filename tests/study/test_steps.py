"""The plan of a study lists the steps that then run, and each can be done by itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from personalign.cli import app
from personalign.errors import InputError, RunError
from personalign.models.local import LocalModel
from personalign.runs import Store, code_hash, states
from personalign.study import Study

SMALL: dict[str, Any] = {
    "name": "small",
    "dtype": "float32",
    "personas": ["INFP", "ESTJ"],
    "conditions": ["base", "adapter"],
    "build_scenes": 2,
    "training": {"epochs": 1, "batch_size": 2, "micro_batch": 2, "health": {"samples": 0}},
    "measures": {"tasks": ["behaviour", "social"], "scenes": 2, "social_items": 3},
}
ARMS = ("base", "INFP-adapter", "ESTJ-adapter")
TRAINED = ["pairs:INFP", "pairs:ESTJ", "reference", "train:INFP", "train:ESTJ"]
MEASURED = [f"measure:{arm}:{m}" for arm in ARMS for m in ("behaviour", "social")]
CONCLUDED = ["collect", "verify", "analyse", "report"]


@pytest.fixture
def file(tiny_base: Path, tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(SMALL | {"base": str(tiny_base)}))
    return path


def planned(*arguments: object) -> list[dict[str, Any]]:
    asked = ["study", "plan", *map(str, arguments), "--steps", "--json"]
    said = CliRunner().invoke(app, asked, catch_exceptions=False)
    return [json.loads(line) for line in said.output.splitlines()]


def test_the_plan_is_what_runs(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "runs" / "one"
    with monkeypatch.context() as patch:
        patch.setattr(LocalModel, "load", lambda *a, **k: pytest.fail("a model was loaded"))
        before = planned(file, "--out", out)
    assert not out.exists()
    assert [s["id"] for s in before] == TRAINED + MEASURED + CONCLUDED
    assert [s["id"] for s in before if s["state"] == "due"] == [
        "pairs:INFP", "pairs:ESTJ", *MEASURED[:2],
    ]  # fmt: skip
    sizes = {s["id"]: (s["size"], s["unit"]) for s in before}
    assert sizes["train:INFP"] == (2, "pair")
    assert sizes["measure:base:social"] == (3, "sample")
    assert {s["seconds"] for s in before} == {None}
    study = Study.read(file, out)
    study.run()
    assert {done.name for done in study.store.records()} == {s["id"] for s in before}
    assert {s["state"] for s in planned(file, "--out", out)} == {"done"}
    again = planned(file, "--out", tmp_path / "runs" / "two")
    assert all(s["seconds"] is not None for s in again)  # from the run beside it
    said = CliRunner().invoke(app, ["study", "plan", str(file), "--steps"]).output
    assert "measure:base:behaviour" in said


def test_each_step_is_a_command(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    Study.read(file, out).begin()
    for name in ("pairs:INFP", "train:INFP", "measure:INFP-adapter:behaviour"):
        CliRunner().invoke(app, ["study", "step", str(out), name], catch_exceptions=False)
    assert {d.name for d in Store(out).records()} == {
        "pairs:INFP", "train:INFP", "measure:INFP-adapter:behaviour",
    }  # fmt: skip
    done = CliRunner().invoke(app, ["study", "step", str(out), "train:ESTJ"])
    assert "train:ESTJ needs pairs:ESTJ" in str(done.exception)


def test_a_step_of_another_study_is_named(file: Path, tmp_path: Path) -> None:
    study = Study.read(file, tmp_path / "run")
    with pytest.raises(InputError, match=r"unknown step 'measure:base:behavior'.*did you mean"):
        study.step("measure:base:behavior")
    with pytest.raises(RunError, match="collect needs measure:base:behaviour"):
        study.step("collect")


def test_a_changed_measure_redoes_its_answers_and_what_follows(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = Study.read(file, tmp_path / "run")
    study.run()
    monkeypatch.setattr(
        "personalign.runs.store.code_hash",
        lambda *names: "changed" if "personalign.measures.social" in names else code_hash(*names),
    )
    steps = Study.read(file, tmp_path / "run").steps()
    found = states(steps, study.store)
    due = [name for name, state in found.items() if state == "due"]
    assert due == [f"measure:{arm}:social" for arm in ARMS]
    waiting = [name for name, state in found.items() if state == "waiting"]
    assert waiting == CONCLUDED
