"""The Inspect tasks of a study: all arms at once, with logs in the run folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from personalign import analysis
from personalign.errors import InputError
from personalign.files import write_atomic
from personalign.records import Arm, to_jsonl

if TYPE_CHECKING:
    from inspect_ai import Task
    from inspect_ai.log import EvalLog
    from inspect_ai.model import Model

    from personalign.evals import run
    from personalign.study.steps import Study

__all__ = ["contents", "evaluate", "planned_tasks"]


def planned_tasks(study: Study) -> list[Task]:
    """What is named under `measures.evaluations`, with its data read; before anything is trained.

    Raises:
        InputError: for an unknown task, or where the adapter is a whole model.
    """
    from personalign.evals import run

    asked = study.config.measures.evaluations
    if asked and study.config.training.method == "full":
        raise InputError(
            "evaluations of a full fine-tuning are not run inside a study",
            "run `inspect eval personalign/TASK --model personalign/FOLDER` for it",
        )
    return run.tasks_named(list(asked), asked, study.config.seed)


def contents(study: Study) -> list[str]:
    """Hashes of what the planned tasks ask and of what is known of their judges."""
    from personalign.evals import run

    return [run.content(task) for task in study.inspect_tasks]


def evaluate(study: Study) -> list[Path]:
    """Run the planned tasks for all arms; their logs go into logs/."""
    from personalign.evals import logs, run
    from personalign.models import provider

    def asked(arm: Arm) -> Model:
        told = {"system": study.system(arm)} | arm.model_dump(exclude_defaults=True)
        given = {key: value for key, value in told.items() if value}
        return provider.model(study.respondent(arm), **given)

    measures = study.config.measures
    tasks = study.inspect_tasks
    models = [asked(arm) for arm in study.arms]
    limit, folder = measures.evaluation_limit, study.folder.path / "logs"
    title = _title(study, models, tasks, run.done(tasks, folder))
    made = run.logged(
        models,
        tasks,
        folder,
        limit,
        study.config.seed,
        progress=study.announce(title, run.planned(models, tasks, limit)),
        grader=measures.grader,
    )
    study.failed = sum(len(logs.errors(log)) for log in made)
    if study.failed:
        study.announce(
            "samples that raised or were not judged, asked again by the next run", study.failed
        )
    scores = study.folder.path / "scores" / "evaluations.parquet"
    rows = run.measured(made, study.config.name)
    analysis.write(analysis.to_frame(rows), scores)
    spoken = to_jsonl([said for log in made for said in logs.transcripts(log)])
    replies = write_atomic(study.folder.path / "replies" / "evaluations.jsonl", spoken)
    return [scores, replies, *_calibrations(study, made)]


def _title(study: Study, models: list[Model], tasks: list[Task], done: set[run.Asked]) -> str:
    """What is about to be done, and a guess how long it takes if replies run to their limits."""
    from personalign.evals import forecast

    tick = study.announce("time replies", 1)
    limit = study.config.measures.evaluation_limit
    found = forecast.seconds_by_task(study.base_model, models, tasks, limit, done)
    tick(1)
    parts = ", ".join(f"{name} {forecast.spoken(s)}" for name, s in found.items())
    whole = forecast.spoken(sum(found.values()))
    return f"evaluations, about {whole} if replies run to their limits: {parts}"


def _calibrations(study: Study, made: list[EvalLog]) -> Iterator[Path]:
    """What is known of each task's judge, where the analysis looks for it."""
    known = {log.eval.task: (log.eval.metadata or {}).get("calibration") for log in made}
    for task, calibration in known.items():
        path = study.folder.path / "calibrations" / f"{task}.json"
        path.unlink(missing_ok=True)  # an earlier judge's
        if calibration:
            yield write_atomic(path, json.dumps(calibration, indent=1) + "\n")
