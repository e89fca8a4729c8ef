"""The Inspect tasks of a study: all arms at once, with logs in the run folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from personalign import analysis
from personalign.files import write_atomic
from personalign.progress import Announce
from personalign.records import Arm, to_jsonl
from personalign.study.respondents import Respondents

if TYPE_CHECKING:
    from inspect_ai import Task
    from inspect_ai.log import EvalLog
    from inspect_ai.model import Model

    from personalign.evals import run

__all__ = ["calibrations", "contents", "evaluate"]


def contents(tasks: Sequence[Task]) -> list[str]:
    """Hashes of what the tasks ask and of what is known of their judges."""
    from personalign.evals import run

    return [run.content(task) for task in tasks]


def evaluate(
    who: Respondents, arms: Sequence[Arm], tasks: Sequence[Task], folder: Path, announce: Announce
) -> tuple[list[Path], int]:
    """Run the tasks for all arms; their logs go into logs/.

    Returns:
        The files, and how many samples raised or were not judged: they are asked again next time.
    """
    from personalign.evals import logs, run

    measures, seed = who.config.measures, who.config.seed
    models = [_asked(who, arm) for arm in arms]
    limit, kept = measures.evaluation_limit, folder / "logs"
    title = _title(who, models, tasks, run.done(tasks, kept), announce)
    made = run.logged(
        models,
        tasks,
        kept,
        limit,
        seed,
        progress=announce(title, run.planned(models, tasks, limit)),
        grader=measures.grader,
    )
    failed = sum(len(logs.errors(log)) for log in made)
    if failed:
        announce("samples that raised or were not judged, asked again by the next run", failed)
    rows = run.measured(made, who.config.name)
    scores = analysis.write(analysis.to_frame(rows), folder / "scores" / "evaluations.parquet")
    spoken = to_jsonl([said for log in made for said in logs.transcripts(log)])
    replies = write_atomic(folder / "replies" / "evaluations.jsonl", spoken)
    return [scores, replies, *calibrations(folder, made)], failed


def _asked(who: Respondents, arm: Arm) -> Model:
    from personalign.models import provider

    told = {"system": who.system(arm)} | arm.model_dump(exclude_defaults=True)
    return provider.model(who.of(arm), **{key: value for key, value in told.items() if value})


def _title(
    who: Respondents,
    models: Sequence[Model],
    tasks: Sequence[Task],
    done: set[run.Asked],
    announce: Announce,
) -> str:
    """What is about to be done, and a guess how long it takes if replies run to their limits."""
    from personalign.evals import forecast

    tick = announce("time replies", 1)
    limit = who.config.measures.evaluation_limit
    found = forecast.seconds_by_task(who.base, models, tasks, limit, done)
    tick(1)
    parts = ", ".join(f"{name} {forecast.spoken(s)}" for name, s in found.items())
    whole = forecast.spoken(sum(found.values()))
    return f"evaluations, about {whole} if replies run to their limits: {parts}"


def calibrations(folder: Path, made: Sequence[EvalLog]) -> Iterator[Path]:
    """What is known of each task's judge, where the analysis looks for it."""
    known = {log.eval.task: (log.eval.metadata or {}).get("calibration") for log in made}
    for task, calibration in known.items():
        path = folder / "calibrations" / f"{task}.json"
        path.unlink(missing_ok=True)  # an earlier judge's
        if calibration:
            yield write_atomic(path, json.dumps(calibration, indent=1) + "\n")
