"""How long an evaluation may take."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from inspect_ai import Task
from inspect_ai.model import GenerateConfig, Model

from personalign.evals import forecast, run
from personalign.models.engine import BATCH, TOKENS
from personalign.models.local import LocalModel
from personalign.models.provider import ModelArgs, arm_model

BASE, PROMPTED = ModelArgs(), ModelArgs("INFP", "prompted", system="Be kind. " * 80)


def models(local: LocalModel, *arms: ModelArgs) -> list[Model]:
    return [arm_model(local, arm) for arm in arms]


@pytest.fixture
def asked(tiny: LocalModel, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """A token is read in a millisecond and a step takes half a second; rows and contexts asked."""
    steps: list[tuple[int, int]] = []

    def step(local: LocalModel, rows: int, context: int, config: GenerateConfig) -> float:
        steps.append((rows, context))
        return 0.5

    monkeypatch.setattr(forecast, "_reading", lambda local: 0.001)
    monkeypatch.setattr(forecast, "_step", step)
    return steps


def eq_bench(longest: int) -> list[Task]:
    return run.tasks_named(["eq_bench"], {"eq_bench": {"max_tokens": longest}})


def read_by(task: Task) -> float:
    """Seconds in which base reads a task's prompts."""
    return sum(len(str(s.input)) for s in task.dataset) / forecast.CHARACTERS / 1000


def test_steps_are_of_batches_that_fit_the_engine(
    tiny: LocalModel, asked: list[tuple[int, int]]
) -> None:
    (task,) = eq_bench(4000)
    found = forecast.seconds_by_task(tiny, models(tiny, BASE), [task])
    read = read_by(task)
    prompt = math.ceil(1000 * read / len(task.dataset))
    rows = TOKENS // (prompt + 4000)
    assert 1 < rows < len(task.dataset)
    assert asked == [(rows, prompt + 2000)]
    batches = math.ceil(len(task.dataset) / rows)
    assert found == {"starter-emotional": pytest.approx(read + batches * 4000 * 0.5)}
    few = forecast.seconds_by_task(tiny, models(tiny, BASE, PROMPTED), eq_bench(8), limit=3)
    assert asked[-1][0] == BATCH
    assert 8 * 0.5 < few["starter-emotional"] < 8 * 0.5 + read  # both arms in one batch


def test_each_arm_reads_its_system_prompt_and_plain_text_is_read_once(
    tiny: LocalModel, asked: list[tuple[int, int]]
) -> None:
    social, plain = tasks = run.tasks_named(["social", "perplexity"])
    alone = forecast.seconds_by_task(tiny, models(tiny, BASE), tasks)
    both = forecast.seconds_by_task(tiny, models(tiny, BASE, PROMPTED), tasks)
    system = len(PROMPTED.system or "") / forecast.CHARACTERS / 1000
    more = both["starter-social"] - 2 * alone["starter-social"]
    assert more == pytest.approx(len(social.dataset) * system)
    assert alone["starter-social"] > read_by(social)  # its answers too
    assert alone["starter-neutral"] == pytest.approx(read_by(plain))
    assert both["starter-neutral"] == pytest.approx(2 * alone["starter-neutral"])
    assert asked == []


def test_what_is_done_is_not_forecast(
    tiny: LocalModel, tmp_path: Path, asked: list[tuple[int, int]]
) -> None:
    tasks: Any = lambda: run.tasks_named(["social"])  # noqa: E731
    assert run.done(tasks(), tmp_path) == set()
    run.evaluate(models(tiny, BASE), tasks(), tmp_path, limit=2)
    done = run.done(tasks(), tmp_path)
    assert {name for _, name, _ in done} == {str(arm_model(tiny, BASE))}
    left = forecast.seconds_by_task(tiny, models(tiny, BASE, PROMPTED), tasks(), 2, done)
    assert left == forecast.seconds_by_task(tiny, models(tiny, PROMPTED), tasks(), 2)
    assert forecast.seconds_by_task(tiny, models(tiny, BASE), tasks(), 2, done) == {
        "starter-social": 0
    }


def test_speed_is_measured(tiny: LocalModel, adapters: dict[str, Path], tiny_base: Path) -> None:
    adapted = LocalModel.load(str(tiny_base), "float32", "cpu")
    adapted.add_adapter("one", adapters["one"])
    hot = GenerateConfig(temperature=0.7, top_p=0.9, top_k=5)
    for local in (tiny, adapted):
        assert 0 < forecast._reading(local) < 1
        assert 0 < forecast._step(local, 3, 40, hot) < 60
    assert forecast._step(tiny, 64, 1000, GenerateConfig()) > forecast._step(
        tiny, 1, 1, GenerateConfig()
    )


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "1 s"), (59, "59 s"), (90, "2 min"), (3540, "59 min"), (4800, "1 h 20 min")],
)
def test_durations_for_people(seconds: float, said: str) -> None:
    assert forecast.spoken(seconds) == said
