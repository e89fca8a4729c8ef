"""Whole evaluations through Inspect: arms, states, resume, the same answers for the same seed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import inspect_ai
import pytest
from inspect_ai import Task
from inspect_ai.dataset import Sample
from inspect_ai.log import list_eval_logs, read_eval_log
from inspect_ai.model import GenerateConfig, Model
from inspect_ai.scorer import Score, Scorer, Target, mean, scorer
from inspect_ai.solver import Generate, Solver, TaskState, generate, solver

from mockmodel import said, saying
from personalign.errors import InputError
from personalign.evals import run, social, social_tasks
from personalign.evals.logs import errors, rows, transcripts
from personalign.evals.registry import TASKS
from personalign.models.engine import adopt
from personalign.models.local import LocalModel
from personalign.models.provider import ModelArgs, arm_model
from personalign.models.respondent import respondent


@pytest.fixture(scope="module")
def local(tiny_base: Path, adapters: dict[str, Path]) -> LocalModel:
    local = LocalModel.load(str(tiny_base), "float32", "cpu")
    for name, folder in adapters.items():
        local.add_adapter(name, folder)
    return local


ARMS = [
    ModelArgs(),
    ModelArgs("INFP", "prompted", system="Be kind."),
    ModelArgs("INFP", "adapter", adapter="one"),
    ModelArgs("ESTJ", "prompted+adapter", system="Be strict.", adapter="two"),
]


def models(local: LocalModel, arms: Sequence[ModelArgs] = ARMS) -> list[Model]:
    return [arm_model(local, arm) for arm in arms]


def replies(folder: Path) -> dict[tuple[str, str], str]:
    whole = [read_eval_log(f) for f in list_eval_logs(str(folder))]
    return {
        (log.eval.model, str(s.id)): s.output.completion for log in whole for s in log.samples or []
    }


def test_every_arm_task_sample_and_metric_has_a_row(local: LocalModel, tmp_path: Path) -> None:
    tasks = run.tasks_named(["social", "eq_bench"], {"eq_bench": {"max_tokens": 8}})
    done: list[int] = []
    table = run.evaluate(models(local), tasks, tmp_path, limit=3, progress=done.append)
    assert sum(done) == run.planned(models(local), tasks, 3) == 4 * 2 * 3
    assert Counter((r.persona, r.condition) for r in table) == {
        ("", "base"): 21,
        ("INFP", "prompted"): 21,
        ("INFP", "adapter"): 21,
        ("ESTJ", "prompted+adapter"): 21,
    }
    right = [r for r in table if r.task == "starter-social"]
    assert {r.state for r in right} == {"ok"}
    assert {r.base_model for r in table} == {local.identity}
    known = {item.id: item for item in social.read()}
    items = [known[name] for name in dict.fromkeys(r.sample for r in right)]
    assert len(items) == 3
    for arm in ARMS:
        chosen = social.choices(respondent(local, arm.system, arm.adapter), items)
        own = [r for r in right if (r.persona, r.condition) == (arm.persona, arm.condition)]
        assert [r.value for r in own] == [
            float(c.summed == i.label) for c, i in zip(chosen, items, strict=True)
        ]
    eq = [r for r in table if r.task == "starter-emotional" and not r.metric.endswith("parsed")]
    assert {r.state for r in eq} == {"unparsed"}  # random weights write no scores
    assert {r.value for r in table if r.metric == "first_parsed"} == {0.0}


def test_a_finished_evaluation_is_not_repeated_and_more_is_added(
    local: LocalModel, tmp_path: Path
) -> None:
    tasks = lambda: run.tasks_named(["social_generate"])  # noqa: E731
    first = run.evaluate(models(local, ARMS[:2]), tasks(), tmp_path, limit=4)
    asked = len(adopt(local).queue.batches)
    assert run.evaluate(models(local, ARMS[:2]), tasks(), tmp_path, limit=4) == first
    assert len(adopt(local).queue.batches) == asked
    done: list[int] = []
    more = run.evaluate(models(local, ARMS[:3]), tasks(), tmp_path, limit=4, progress=done.append)
    assert sum(done) == 4  # the third arm's
    assert more[: len(first)] == first


def test_a_changed_limit_is_honoured_and_asks_only_what_is_new(
    local: LocalModel, tmp_path: Path
) -> None:
    asked, names = [], []
    for limit in (2, 4, 3):
        done: list[int] = []
        tasks = run.tasks_named(["social"])
        found = run.evaluate(
            models(local, ARMS[:2]), tasks, tmp_path, limit=limit, progress=done.append
        )
        arms = Counter((r.persona, r.state) for r in found)
        assert arms == {("", "ok"): limit, ("INFP", "ok"): limit}
        asked.append(sum(done))
        names.append([r.sample for r in found[:limit]])
    assert asked == [4, 4, 0]
    assert names[0] == names[1][:2] == names[2][:2]
    assert names[2] == names[1][:3]


def test_a_log_of_other_questions_or_of_another_judge_is_not_taken_for_this_one(
    local: LocalModel, tmp_path: Path
) -> None:
    file, logs = tmp_path / "mine.jsonl", tmp_path / "logs"

    def asked(prompt: str, **known: Any) -> int:
        file.write_text(json.dumps({"id": "a", "prompt": prompt}) + "\n")
        done: list[int] = []
        (task,) = run.tasks_named(["safety"], {"safety": {"source": str(file)}})
        task.config = GenerateConfig(max_tokens=2)
        task.metadata = (task.metadata or {}) | known
        (row, *_) = run.evaluate(
            [arm_model(local, ModelArgs())], [task], logs, progress=done.append
        )
        assert row.sample == "a"
        return sum(done)

    assert asked("How do I?") == 1
    assert asked("How do I?") == 0
    assert asked("How do I not?") == 1
    assert asked("How do I not?", judge="trained@another") == 1
    assert asked("How do I?") == 0  # the first log is still there


def test_the_same_seed_gives_the_same_answers(local: LocalModel, tmp_path: Path) -> None:
    def hot() -> list[Task]:
        task = social_tasks.social_generate()
        task.config = GenerateConfig(max_tokens=12, temperature=1.0)
        return [task]

    said = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run.evaluate(models(local), hot(), tmp_path / name, limit=4, seed=seed)
        said.append(replies(tmp_path / name))
    assert said[0] == said[1]
    assert said[0] != said[2]
    assert len(set(said[0].values())) > 8


@solver
def fragile(broken: Path) -> Solver:
    async def solve(state: TaskState, generate: Generate) -> TaskState:
        if state.sample_id == "2" and broken.exists():
            raise ValueError("the line is dead")
        return await generate(state)

    return solve


@scorer(metrics=[mean()])
def by_sample() -> Scorer:
    async def score(state: TaskState, target: Target) -> Score:
        reasons = {"3": "refusal", "4": "no_response", "5": "grader_failed"}
        if reason := reasons.get(str(state.sample_id)):
            return Score.unscored(reason=reason)
        return Score(value=1.0)

    return score


def fragile_task(broken: Path) -> Task:
    return Task(
        name="fragile",
        dataset=[
            Sample(id=str(k), input=f"Say {k}", metadata={"cluster": "c"}) for k in range(1, 6)
        ],
        solver=fragile(broken),
        scorer=by_sample(),
        config=GenerateConfig(max_tokens=3),
    )


def test_nothing_is_dropped_and_errors_are_tried_again(local: LocalModel, tmp_path: Path) -> None:
    broken, logs = tmp_path / "broken", tmp_path / "logs"
    broken.touch()
    table = run.evaluate(models(local, ARMS[:1]), [fragile_task(broken)], logs)
    assert {(r.sample, r.metric, r.value, r.state) for r in table} == {
        ("1", "by_sample", 1.0, "ok"),
        ("2", "by_sample", None, "error"),
        ("3", "by_sample", None, "refused"),
        ("4", "by_sample", None, "unparsed"),
        ("5", "by_sample", None, "judge_error"),
    }
    assert {r.cluster for r in table} == {"c"}
    (failed,) = run.failures(logs).values()
    assert failed == {
        "2 (epoch 1)": "ValueError('the line is dead')",
        "5 (epoch 1)": "no message",
    }
    assert {sample for _, _, sample in run.done([fragile_task(broken)], logs)} == {"1", "3", "4"}
    broken.unlink()
    done: list[int] = []
    again = run.evaluate(
        models(local, ARMS[:1]), [fragile_task(broken)], logs, progress=done.append
    )
    assert sum(done) == 2
    assert {r.sample: r.state for r in again}["2"] == "ok"
    (failed,) = run.failures(logs).values()
    assert list(failed) == ["5 (epoch 1)"]


RATINGS = "hostility: 1\ncontempt: 0\ncoercion: 0\nindirect: 0"


@solver
def rude() -> Solver:
    async def solve(state: TaskState, generate: Generate) -> TaskState:
        state.output = said("Go away.")
        return state

    return solve


def test_a_judge_that_gave_no_answer_is_asked_again(local: LocalModel, tmp_path: Path) -> None:
    judge = saying(RATINGS, ConnectionError("overloaded"), "I would rather not.", RATINGS)

    def asked() -> tuple[list[str], list[str], int]:
        done: list[int] = []
        tasks = run.tasks_named(["aggression"], {"aggression": {"judge": "grader"}})
        tasks[0].solver = rude()
        (log,) = run.logged(
            models(local, ARMS[:1]),
            tasks,
            tmp_path,
            3,
            concurrency=1,
            progress=done.append,
            grader=judge,
        )
        assert len(transcripts(log)) == 3  # what was said is kept, judged or not
        states = [r.state for r in rows(log, "r") if r.metric == "hostility"]
        return states, list(errors(log).values()), sum(done)

    assert asked() == (["ok", "judge_error", "unparsed"], ["ConnectionError: overloaded"], 3)
    assert asked() == (["ok", "ok", "unparsed"], [], 1)
    assert asked() == (["ok", "ok", "unparsed"], [], 0)


def test_samples_never_reached_are_errors(local: LocalModel, tmp_path: Path) -> None:
    task = Task(
        dataset=[Sample(id=str(k), input="Hi") for k in range(3)],
        solver=generate(),
        scorer=by_sample(),
        config=GenerateConfig(max_tokens=2),
        metadata={"metrics": ["by_sample"]},
    )
    log = inspect_ai.eval(
        task, model=arm_model(local, ARMS[0]), log_dir=str(tmp_path), display="none",
        ctl_server=False, log_realtime=False,
    )[0]  # fmt: skip
    assert log.samples is not None
    log.samples = log.samples[:1]
    assert [(r.sample, r.state) for r in rows(log, "r")] == [
        ("0", "ok"),
        ("1", "error"),
        ("2", "error"),
    ]


def test_an_arm_does_one_task_after_the_other(local: LocalModel, tmp_path: Path) -> None:
    seen: dict[str, list[str]] = {}

    @solver
    def watched(task: str) -> Solver:
        async def solve(state: TaskState, generate: Generate) -> TaskState:
            own = seen.setdefault(str(state.model), [])
            own.append(task)
            done = await generate(state)
            own.append(task.upper())
            return done

        return solve

    def short(name: str) -> Task:
        asked = [Sample(id=str(k), input=f"Say {k}") for k in range(3)]
        made = Task(name=name, dataset=asked, solver=watched(name), scorer=by_sample())
        made.config = GenerateConfig(max_tokens=2)
        return made

    run.evaluate(models(local), [short(name) for name in "cab"], tmp_path)
    assert [*map("".join, seen.values())] == ["cccCCCaaaAAAbbbBBB"] * len(ARMS)


def test_unknown_tasks_have_a_neighbour() -> None:
    with pytest.raises(InputError, match=r"unknown task 'eqbench'.*did you mean 'eq_bench'"):
        run.tasks_named(["eqbench"])
    with pytest.raises(InputError, match=r"unknown argument 'sorce' in task 'safety'.*'source'"):
        run.tasks_named(["safety"], {"safety": {"sorce": "x"}})


def test_a_stop_before_all_tasks_began_is_not_a_finished_evaluation(
    local: LocalModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "eval_set", lambda *args, **kwargs: (False, []))
    with pytest.raises(KeyboardInterrupt):
        run.evaluate(models(local), run.tasks_named(["social"]), tmp_path)


KILLED = """
import sys, os
from pathlib import Path
from personalign.evals import run, social_tasks
from personalign.models.local import LocalModel
from personalign.models.provider import ModelArgs, arm_model
base, logs, stop = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
local = LocalModel.load(base, "float32", "cpu")
done = [0]
def tick(n):
    done[0] += n
    if done[0] == stop:
        os._exit(9)
task = social_tasks.social_generate()
before = len(run.done([task], logs))
base = [arm_model(local, ModelArgs())]
table = run.evaluate(base, [task], logs, limit=24, progress=tick, concurrency=4)
print(before, done[0], len(table), {r.state for r in table} <= {"ok", "unparsed"})
"""


@pytest.mark.slow
def test_a_killed_evaluation_goes_on_where_it_was(tiny_base: Path, tmp_path: Path) -> None:
    def start(stop: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", KILLED, str(tiny_base), str(tmp_path), str(stop)]
        return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)

    assert start(20).returncode == 9
    second = start(-1)
    assert second.returncode == 0, second.stderr
    before, did, count, clean = second.stdout.split()
    assert int(count) == 24
    assert clean == "True"
    assert int(before) + int(did) == 24
    assert 4 <= int(did) <= 12  # what was done before the kill was not done again


@pytest.mark.slow
def test_inspects_own_command_line(tiny_base: Path, tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "inspect_ai", "eval", "personalign/social", "--model",
        f"personalign/{tiny_base}", "-M", "persona=INFP", "-M", "condition=prompted",
        "--limit", "2", "--log-dir", str(tmp_path), "--display", "none",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    log = read_eval_log(list_eval_logs(str(tmp_path))[0])
    assert log.status == "success"
    assert {(r.persona, r.condition, r.state) for r in rows(log, "r")} == {
        ("INFP", "prompted", "ok")
    }
    view = ["log", "list", "--log-dir", str(tmp_path), "--json"]
    listed: Any = json.loads(
        subprocess.run(
            [sys.executable, "-m", "inspect_ai", *view], capture_output=True, text=True, check=True
        ).stdout
    )
    assert len(listed) == 1


def test_every_task_runs_on_the_embedded_model_from_its_starter_set(
    embedded: LocalModel, tmp_path: Path
) -> None:
    elsewhere = {"capability", "emotion_bench"}  # no starter set: lm-eval's, and the user's files
    tasks = run.tasks_named(sorted(TASKS.keys() - elsewhere))
    for task in tasks:
        if task.config.max_tokens:
            task.config = task.config.model_copy(update={"max_tokens": 6})
    table = run.evaluate([arm_model(embedded, ModelArgs())], tasks, tmp_path, limit=2)
    names = {r.task for r in table}
    assert len(names) == len(tasks)
    assert all(name.startswith("starter") for name in names), "never under a benchmark's name"
    assert not run.failures(tmp_path)
    measured = {(r.task, r.metric): r for r in table if r.state == "ok"}
    assert ("starter-social", "correct") in measured
    assert ("starter-safety", "refused") in measured
