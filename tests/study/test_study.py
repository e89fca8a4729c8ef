"""A whole study on a tiny model: killed at any moment it ends with the same numbers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import yaml
from inspect_ai import Task
from inspect_ai.dataset import Sample
from inspect_ai.model import GenerateConfig
from inspect_ai.scorer import includes
from inspect_ai.solver import Generate, Solver, TaskState, solver
from safetensors.torch import load_file

from personalign.analysis.judges import agreement
from personalign.analysis.summary import NO_OUTCOMES
from personalign.corpus import scenes
from personalign.corpus.pairs import reply_pair
from personalign.errors import CorpusError, InputError
from personalign.evals import run
from personalign.files import read_records
from personalign.findings import read
from personalign.judges.calibration import Calibration
from personalign.records import Transcript, to_jsonl
from personalign.runs import Store, do_all
from personalign.study import Study, StudyConfig, read_config
from personalign.study.context import context
from personalign.study.evaluations import calibrations
from personalign.study.verdicts import verdicts

SMALL: dict[str, Any] = {
    "name": "small",
    "dtype": "float32",
    "personas": ["INFP"],
    "conditions": ["base", "prompted", "adapter"],
    "build_scenes": 6,
    "training": {
        "epochs": 2,
        "batch_size": 2,
        "micro_batch": 2,
        "learning_rate": 5e-3,
        "checkpoint_steps": 1,
        "health": {"samples": 2, "sample_tokens": 8},
    },
    "measures": {
        "tasks": ["behaviour", "statements", "social", "replies"],
        "scenes": 3,
        "asks": 1,
        "social_items": 4,
        "replies": 1,
        "max_new_tokens": 4,
    },
}

LAST = ("verify", "analyse", "report")


@pytest.fixture(scope="module")
def file(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("study") / "small.yaml"
    path.write_text(yaml.safe_dump(SMALL | {"base": str(tiny_base)}))
    return path


@pytest.fixture(scope="module")
def whole(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unbroken run, by the command line."""
    folder = tmp_path_factory.mktemp("whole")
    subprocess.run(command(file, folder), check=True, capture_output=True)
    return folder


def command(file: Path, out: Path, *more: str) -> list[str]:
    code = "from personalign.cli import main; main()"
    return [sys.executable, "-c", code, "study", "run", str(file), "--out", str(out), *more]


def kill_at(file: Path, out: Path, cache: Path, step: str) -> None:
    """Run until a step is announced, then kill -9."""
    env = {**os.environ, "PERSONALIGN_CACHE": str(cache)}
    process = subprocess.Popen(command(file, out), stderr=subprocess.PIPE, text=True, env=env)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(step):
            process.send_signal(signal.SIGKILL)
            break
    else:
        pytest.fail(f"{step} was never announced")
    assert process.wait() == -signal.SIGKILL


def test_killed_and_resumed_ends_with_the_same_numbers(
    file: Path, whole: Path, tmp_path: Path
) -> None:
    out, cache = tmp_path / "run", tmp_path / "cache"
    for step in ("train INFP", "behaviour INFP-adapter"):
        kill_at(file, out, cache, step)
    before = {done.name: done for done in Store(out).records()}
    assert "train:INFP" in before
    env = {**os.environ, "PERSONALIGN_CACHE": str(cache)}
    subprocess.run(command(file, out), check=True, capture_output=True, env=env)
    after = {done.name: done for done in Store(out).records()}
    assert all(after[name] == step for name, step in before.items()), "a finished step was redone"
    same = [pd.read_parquet(folder / "scores.parquet") for folder in (whole, out)]
    pd.testing.assert_frame_equal(*same, check_exact=True)
    name = "adapters/INFP/adapter_model.safetensors"
    first, second = load_file(whole / name), load_file(out / name)
    assert all(first[k].equal(second[k]) for k in first)
    for name in ("verification.json", "analysis.json", "replies/INFP-adapter.replies.jsonl"):
        assert (whole / name).read_text() == (out / name).read_text()


def test_a_finished_study_does_nothing(file: Path, whole: Path) -> None:
    seen: list[str] = []

    def announce(name: str, total: int) -> Any:
        seen.append(name)
        return lambda done: None

    before = (whole / "report" / "index.html").stat().st_mtime_ns
    Study(read_config(file), whole, announce).run()
    assert seen == []
    assert (whole / "report" / "index.html").stat().st_mtime_ns == before


def test_a_changed_input_redoes_what_depends_on_it(file: Path, whole: Path) -> None:
    config = read_config(file)
    more = config.measures.model_copy(update={"social_items": 5})
    seen: list[str] = []

    def announce(name: str, total: int) -> Any:
        seen.append(name.split()[0])
        return lambda done: None

    Study(config.model_copy(update={"measures": more}), whole, announce).run()
    assert set(seen) == {"load", "social"}
    Study(config, whole).run()


def test_scores_cover_every_arm_and_task(whole: Path) -> None:
    frame = pd.read_parquet(whole / "scores.parquet")
    arms = set(zip(frame["persona"], frame["condition"], strict=True))
    assert arms == {("", "base"), ("INFP", "prompted"), ("INFP", "adapter")}
    sizes = frame.groupby(["condition", "task"]).size().unstack()
    assert (sizes == sizes.iloc[0]).all().all()
    assert sizes.iloc[0].to_dict() == {"behaviour": 48, "starter-social": 3 * 4, "statements": 128}


def test_what_builds_a_persona_never_measures_it(whole: Path) -> None:
    frame = pd.read_parquet(whole / "scores.parquet")
    measured = set(frame.loc[frame["task"] == "behaviour", "sample"])
    pairs = (whole / "pairs" / "INFP.jsonl").read_text().splitlines()
    built = {json.loads(line)["origin"]["scene"] for line in pairs}
    assert built
    assert measured
    assert not built & measured


def generated(folder: Path, split: str, count: int) -> str:
    """Pairs on scenes of one split, as if a model had written them."""
    chosen = scenes.select(scenes.load("starter/mbti"), split, count)  # type: ignore[arg-type]
    pairs = [
        reply_pair(s.prompt, f"Brakes first. {s.replies['ISTP']}", s.replies["ENFJ"], {})
        for s in chosen
    ]
    file = folder / f"{split}.jsonl"
    file.write_text(to_jsonl(pairs))
    return str(file)


def test_a_custom_persona_is_trained_and_verified_on_generated_pairs(
    tiny_base: Path, tmp_path: Path
) -> None:
    files = {
        "build": generated(tmp_path, "build", 6),
        "measure": generated(tmp_path, "measure", 4),
    }
    change = {
        "base": str(tiny_base),
        "personas": ["INFP", "night_mechanic"],
        "conditions": ["base", "adapter"],
        "pairs": {"night_mechanic": files},
    }
    study = Study(StudyConfig.model_validate(SMALL | change), tmp_path / "run")
    study.run("persona", until="verify")
    infp, mechanic = verdicts(tmp_path / "run")
    assert infp.margin is not None
    assert infp.margin.scenes == 3
    assert mechanic.margin is not None
    assert mechanic.margin.scenes == 4
    assert {s.scale for s in mechanic.scales} == {"EI", "SN", "TF"}
    assert all(s.shifts for s in mechanic.scales)


def test_inspect_tasks_of_a_study_are_scored_beside_its_own(
    tiny_base: Path, tmp_path: Path
) -> None:
    measures = SMALL["measures"] | {"tasks": [], "evaluations": {"social": {}, "safety": {}}}
    change = {"base": str(tiny_base), "measures": measures | {"evaluation_limit": 3}}
    study = Study(StudyConfig.model_validate(SMALL | change), tmp_path / "run")
    do_all([s for s in study.steps() if s.name not in LAST], study.store)
    frame = pd.read_parquet(tmp_path / "run" / "scores.parquet")
    arms = frame.groupby(["persona", "condition"])["sample"].nunique().to_dict()
    assert arms == {("", "base"): 6, ("INFP", "prompted"): 6, ("INFP", "adapter"): 6}
    assert len(list((tmp_path / "run" / "logs").glob("*.eval"))) == 6
    said = read_records(tmp_path / "run" / "replies" / "evaluations.jsonl", Transcript)
    assert {(t.persona, t.condition) for t in said} == set(arms)
    assert {t.task for t in said} == {"starter-social", "starter-safety"}
    assert all(t.prompt[-1].role == "user" and t.prompt[-1].content for t in said)
    told = read(tmp_path / "run").transcripts  # where the report looks
    assert len(told) == len(said) == 18


def test_samples_that_raised_are_errors_and_asked_again_by_the_next_run(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken"
    broken.touch()

    @solver
    def fragile() -> Solver:
        async def solve(state: TaskState, generate: Generate) -> TaskState:
            if broken.exists() and state.sample_id == "2":
                raise ValueError("the line is dead")
            return await generate(state)

        return solve

    def task() -> Task:
        samples = [Sample(id=str(k), input=f"Say {k}", target="x") for k in (1, 2)]
        settings = GenerateConfig(max_tokens=2)
        return Task(name="fragile", dataset=samples, solver=fragile(), scorer=includes(),
                    config=settings)  # fmt: skip

    monkeypatch.setitem(run.TASKS, "fragile", task)
    measures = SMALL["measures"] | {"tasks": [], "evaluations": {"fragile": {}}}
    change = {"base": str(tiny_base), "conditions": ["base"], "measures": measures}
    config = StudyConfig.model_validate(SMALL | change)

    def states() -> list[str]:
        study = Study(config, tmp_path / "run")
        do_all([s for s in study.steps() if s.name not in LAST], study.store)
        return sorted(pd.read_parquet(tmp_path / "run" / "scores.parquet")["state"])

    assert states() == ["error", "ok"]
    broken.unlink()
    assert states() == ["ok", "ok"]
    done = Store(tmp_path / "run").record("evaluations")
    assert done
    assert not done.partial


def test_a_study_without_a_task_that_scores_is_refused(tiny_base: Path, tmp_path: Path) -> None:
    change = {"base": str(tiny_base), "measures": SMALL["measures"] | {"tasks": ["replies"]}}
    study = Study(StudyConfig.model_validate(SMALL | change), tmp_path / "run")
    with pytest.raises(InputError, match="no measure of persona or change"):
        study.run()
    assert not (tmp_path / "run" / "adapters").exists()


def test_the_error_of_a_calibrated_judge_reaches_the_analysis(
    tiny_base: Path, tmp_path: Path
) -> None:
    study = Study(StudyConfig.model_validate(SMALL | {"base": str(tiny_base)}), tmp_path / "run")
    known = Calibration(
        judge="j", data="d", how="new to the judge", rows=4, unjudged={},
        overall=agreement([1, 1, 0, 0], [1, 0, 1, 0]),
    ).model_dump(mode="json")  # fmt: skip
    made = [
        SimpleNamespace(eval=SimpleNamespace(task=task, metadata={"calibration": calibration}))
        for task, calibration in (("starter-safety", known), ("starter-social", None))
    ]
    (path,) = calibrations(tmp_path / "run", made)  # type: ignore[arg-type]
    assert path.name == "starter-safety.json"
    found = context(tmp_path / "run", study.content.personas, {})
    assert found.judges["starter-safety"].overall.sensitivity.value == 0.5


def test_an_unknown_evaluation_is_named_before_anything_is_trained(
    tiny_base: Path, tmp_path: Path
) -> None:
    measures = SMALL["measures"] | {"evaluations": {"safty": {}}}
    change = {"base": str(tiny_base), "measures": measures}
    study = Study(StudyConfig.model_validate(SMALL | change), tmp_path / "run")
    with pytest.raises(InputError, match=r"unknown task 'safty'.*'safety'"):
        study.run()
    assert not (tmp_path / "run" / "adapters").exists()


@pytest.mark.slow
def test_other_ways_of_asking_are_tasks_too(tiny_base: Path, tmp_path: Path) -> None:
    tasks = ["ratings", "letters", "interview"]
    change = {
        "base": str(tiny_base),
        "conditions": ["base", "prompted"],
        "measures": SMALL["measures"] | {"tasks": tasks},
    }
    study = Study(StudyConfig.model_validate(SMALL | change), tmp_path / "run")
    do_all([s for s in study.steps() if s.name not in LAST], study.store)
    frame = pd.read_parquet(tmp_path / "run" / "scores.parquet")
    assert set(frame["task"]) == set(tasks)
    assert set(frame["cluster"]) == {"EI", "SN", "TF", "JP"}
    assert (frame["value"].notna() == (frame["state"] == "ok")).all()


def test_a_study_of_personas_alone_ends_in_a_report(tiny_base: Path, tmp_path: Path) -> None:
    change = {
        "base": str(tiny_base),
        "conditions": ["base", "prompted"],
        "measures": SMALL["measures"] | {"tasks": ["behaviour", "statements"]},
    }
    folder = Study(StudyConfig.model_validate(SMALL | change), tmp_path / "run").run()
    found = read(folder)
    assert len(found.verifications) == 1
    assert not found.estimates
    page = (folder / "report" / "index.html").read_text(encoding="utf-8")
    assert NO_OUTCOMES in page


def test_pairs_that_ask_what_measures_are_refused(tiny_base: Path, tmp_path: Path) -> None:
    change = {
        "base": str(tiny_base),
        "personas": ["night_mechanic"],
        "pairs": {"night_mechanic": {"build": generated(tmp_path, "measure", 4)}},
    }
    study = Study(StudyConfig.model_validate(SMALL | change), tmp_path / "run")
    with pytest.raises(CorpusError, match="pair 1 asks what measures"):
        study.train("night_mechanic")


def test_without_an_adapter_to_ask_nothing_is_trained(tiny_base: Path, tmp_path: Path) -> None:
    change = {"base": str(tiny_base), "conditions": ["base", "prompted"]}
    change["personas"] = ["night_mechanic"]  # has no replies in the corpus
    study = Study(StudyConfig.model_validate(SMALL | change), tmp_path / "run")
    study.run("persona", "verify")
    assert not (tmp_path / "run" / "adapters").exists()
    assert [v.condition for v in verdicts(tmp_path / "run")] == ["prompted"]


def test_every_persona_and_condition_gets_a_verdict(whole: Path) -> None:
    found = verdicts(whole)
    assert [(v.persona, v.condition) for v in found] == [("INFP", "prompted"), ("INFP", "adapter")]
    assert all(len(v.scales) == 4 and v.margin is not None for v in found)


def test_report_is_there_and_asks_nothing_of_the_network(whole: Path) -> None:
    page = (whole / "report" / "index.html").read_text()
    assert "INFP" in page
    assert "trademark" in page
    assert 'src="http' not in page


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"personnas": ["INFP"]}, r"unknown key 'personnas' in .*did you mean 'personas'"),
        ({"training": {"epoch": 1}}, r"unknown key 'epoch' in .*training.*did you mean 'epochs'"),
        ({"measures": {"tasks": ["behavior"]}}, r"unknown measure 'behavior'.*'behaviour'"),
        (
            {"measures": {"tasks": ["behaviour", "replies"], "equivalence": {"correct": 0.05}}},
            r"measures\.equivalence names 'correct', and nothing but the persona is measured",
        ),
        (
            {"measures": {"tasks": ["behaviour"], "primary": ["correct"]}},
            r"measures\.primary names 'correct', and nothing but the persona is measured",
        ),
        (
            {"measures": {"tasks": ["social"], "primary": ["corect"]}},
            r"unknown metric 'corect' in measures\.primary.*did you mean 'correct'",
        ),
        ({"conditions": ["base", "adaptor"]}, r"unknown condition 'adaptor'.*'adapter'"),
        ({"training": {"beta": -1}}, r"training\.beta: .*greater than 0"),
        ({"name": "a/b"}, "name: "),
        ({"strength": 2.5}, r"strength: .*less than or equal to 2"),
        ({"pairs": {"INFP": {"buildd": "x", "build": "y"}}}, r"unknown key 'buildd'.*'build'"),
    ],
)
def test_bad_keys_and_values_are_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump(SMALL | change))
    with pytest.raises(InputError, match=said):
        read_config(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"personas": ["INPF"]}, r"unknown persona 'INPF'.*did you mean 'IN"),
        ({"pairs": {"INFJ": {"build": "x"}}}, r"unknown persona 'INFJ' in pairs.*'INFP'"),
        ({"adapters": {"INFJ": "x"}}, r"unknown persona 'INFJ' in adapters.*'INFP'"),
        ({"corpus": "starter/mbtj"}, r"unknown corpus 'starter/mbtj'.*'starter/mbti'"),
    ],
)
def test_names_that_do_not_exist(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Study(StudyConfig.model_validate(SMALL | change), tmp_path)


def test_shipped_recipes_are_valid() -> None:
    recipes = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))
    assert recipes
    for path in recipes:
        Study(read_config(path), path.parent / "nowhere")
