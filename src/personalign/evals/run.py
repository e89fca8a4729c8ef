"""Several tasks for several arms of one base, in one go, with logs that `inspect view` opens.

The same call again does only what is missing: tasks without a log, and of the others the samples
that were not reached, that raised, or whose judge gave no answer. A log counts only if it is of the
same questions, judge and version of this package: a hash of these is the version of a task that has
none of its own. All arms are asked at the same time, so that one batch of the engine holds replies
through different adapters, and each arm does one task after the other, so that the first is whole
early.
"""

from __future__ import annotations

import inspect
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from inspect_ai import Task, eval_set
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.hooks import Hooks, SampleEnd, hooks
from inspect_ai.log import (
    EvalLog,
    ProvenanceData,
    invalidate_samples,
    read_eval_log,
    read_eval_log_sample_summaries,
    write_eval_log,
)
from inspect_ai.model import Model

from personalign import __version__
from personalign.errors import RunError, unknown
from personalign.evals.emotion_bench import with_changes
from personalign.evals.logs import errors, rows, unjudged
from personalign.evals.registry import TASKS
from personalign.evals.strata import interleaved
from personalign.models.engine import BATCH
from personalign.progress import Progress, silent
from personalign.records import ScoreRow
from personalign.runs import content_hash

__all__ = [
    "Asked",
    "content",
    "done",
    "evaluate",
    "failures",
    "logged",
    "measured",
    "planned",
    "tasks_named",
]

LOG_EVERY = 8  # samples; what a killed evaluation may lose of each task

Asked = tuple[str, str, str]
"""A sample by its task, the name of the model that was asked, and its own."""

_listener: list[Progress] = []


@hooks(name="progress", description="Tells personalign how many samples are done.")
class _Progress(Hooks):
    def enabled(self) -> bool:
        return bool(_listener)

    async def on_sample_end(self, data: SampleEnd) -> None:
        for tick in _listener:
            tick(1)


@contextmanager
def _heard(progress: Progress) -> Iterator[None]:
    _listener.append(progress)
    try:
        yield
    finally:
        _listener.remove(progress)


def tasks_named(
    names: Sequence[str], args: Mapping[str, Mapping[str, Any]] = {}, seed: int = 0
) -> list[Task]:
    """Tasks by name, each with its own arguments where `args` has some.

    Samples are laid out so that the first so many have each kind of question by its share.

    Raises:
        InputError: for a task or an argument that does not exist, with the nearest one.
    """
    for name in [*names, *args]:
        if name not in TASKS:
            raise unknown("task", name, TASKS)
    return [_laid_out(_made(name, args.get(name, {})), seed) for name in names]


def _laid_out(task: Task, seed: int) -> Task:
    task.dataset = MemoryDataset(interleaved(list(task.dataset), _kind, seed))
    return task


def _kind(sample: Sample) -> str:
    about = sample.metadata or {}
    return str(about.get("kind") or about.get("cluster"))


def _made(name: str, args: Mapping[str, Any]) -> Task:
    known = inspect.signature(TASKS[name]).parameters
    for key in args:
        if key not in known:
            raise unknown("argument", key, known, f"task {name!r}")
    return TASKS[name](**args)


def planned(models: Sequence[Model], tasks: Sequence[Task], limit: int | None = None) -> int:
    """How many samples an evaluation has, done ones included."""
    return len(models) * sum(min(len(t.dataset), limit or len(t.dataset)) for t in tasks)


def done(tasks: Sequence[Task], log_dir: Path) -> set[Asked]:
    """What earlier calls have done of these tasks, and `logged` does not ask again."""
    versions = {(task.name, task.version or content(task)) for task in tasks}
    found: set[Asked] = set()
    for file in map(str, log_dir.glob("*.eval")):
        log = read_eval_log(file, header_only=True).eval
        if (log.task, log.task_version) in versions:
            whole = (s for s in read_eval_log_sample_summaries(file) if not s.error)
            found |= {(log.task, log.model, str(s.id)) for s in whole if unjudged(s) is None}
    return found


def evaluate(
    models: Sequence[Model],
    tasks: Sequence[Task],
    log_dir: Path,
    run: str = "run",
    limit: int | None = None,
    seed: int = 0,
    concurrency: int = 2 * BATCH,
    progress: Progress = silent,
) -> list[ScoreRow]:
    """Measure every arm by every task; the rows of `logged`, whose arguments these are."""
    return measured(logged(models, tasks, log_dir, limit, seed, concurrency, progress), run)


def measured(logs: Sequence[EvalLog], run: str) -> list[ScoreRow]:
    """The rows of these logs, with what EmotionBench's situations changed."""
    return with_changes(row for log in logs for row in rows(log, run))


def logged(
    models: Sequence[Model],
    tasks: Sequence[Task],
    log_dir: Path,
    limit: int | None = None,
    seed: int = 0,
    concurrency: int = 2 * BATCH,
    progress: Progress = silent,
    grader: str | Model | None = None,
) -> list[EvalLog]:
    """Ask every arm every task; what an earlier call left is finished, not repeated.

    Args:
        models: Who is measured; see `provider.model`.
        tasks: What is measured; see `tasks_named`.
        log_dir: Folder of the logs. It may hold those of other evaluations.
        limit: First samples of each task, as `tasks_named` lays them out; all where None.
        seed: Decides every draw, together with prompt and epoch.
        concurrency: Samples of a task that are under way at the same time; as many as two batches,
            so that one waits whole while the other is answered.
        progress: Called with the number of samples done since.
        grader: Inspect model that answers where a task's judge is `grader`.

    Returns:
        A log with its samples for each model and task, in the order of the models.

    Raises:
        KeyboardInterrupt: where it was stopped; what is done is in the logs.
    """
    for task in tasks:
        task.version = task.version or content(task)
    with _heard(progress), redirect_stdout(io.StringIO()):  # where Inspect greets and says goodbye
        _, headers = eval_set(
            list(tasks),
            log_dir=str(log_dir),
            model=list(models),
            model_roles={"grader": grader} if grader else None,
            limit=limit,
            seed=seed,
            max_connections=concurrency,
            max_samples=concurrency,
            max_tasks=len(models),  # Inspect gives one to each
            fail_on_error=True,  # after all samples were tried: the next call tries those again
            continue_on_fail=True,
            retry_attempts=1,
            retry_immediate=False,
            log_dir_allow_dirty=True,
            log_buffer=LOG_EVERY,
            log_realtime=False,
            display="none",
            ctl_server=False,
        )
    if len(headers) < len(models) * len(tasks):  # Inspect tells so of a stop before all had begun
        raise KeyboardInterrupt
    places = {str(m): k for k, m in enumerate(models)}
    headers.sort(key=lambda h: (places[h.eval.model], h.eval.task))
    return [_whole(header, limit) for header in headers]


def content(task: Task) -> str:
    """A hash of what a task asks, of what is known of its judge, and of this package's version."""
    asked = [(s.id, _said(s), s.choices, s.target, s.metadata) for s in task.dataset]
    return content_hash([__version__, asked, task.metadata])[:16]


def _said(sample: Sample) -> Any:
    if isinstance(sample.input, str):
        return sample.input
    return [(m.role, m.text) for m in sample.input]


def _whole(header: EvalLog, limit: int | None) -> EvalLog:
    """A log with its samples, less those that an earlier call asked beyond this one's limit."""
    if not header.location:
        raise RunError(f"no log of {header.eval.task} was written", "run the same command again")
    log = _reopened(read_eval_log(header.location))
    if limit is not None:
        asked = (log.eval.dataset.sample_ids or [])[:limit]
        names = {str(name) for name in asked}
        log.eval.dataset.sample_ids = asked
        log.samples = [s for s in log.samples or [] if str(s.id) in names]
    return log


def _reopened(log: EvalLog) -> EvalLog:
    """The log, where samples without an answer of their judge are marked to be asked again."""
    failed = [s.uuid for s in log.samples or [] if s.uuid and unjudged(s) is not None]
    if failed:
        why = ProvenanceData(author="personalign", reason="the judge gave no answer")
        log = invalidate_samples(log, failed, why)
        write_eval_log(log)
    return log


def failures(log_dir: Path) -> dict[str, dict[str, str]]:
    """Samples that raised or were not judged: log file → sample → first line of the error."""
    files = sorted(log_dir.glob("*.eval"))
    found = {file.name: errors(read_eval_log(str(file))) for file in files}
    return {name: failed for name, failed in found.items() if failed}
