"""What a study would measure, and what so many samples can show, before anything is run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from personalign.analysis import detectable_proportion
from personalign.records import Record
from personalign.study.config import StudyConfig
from personalign.study.steps import Study

__all__ = ["DISCORDANCE", "PlannedTask", "plan_of"]

DISCORDANCE = (0.1, 0.2, 0.4)
"""Shares of samples that change from base; what a study will have is not known before."""


class PlannedTask(Record):
    """One task of a study: how many samples each arm answers, and what they can show.

    The last three are the smallest true differences between an arm and base that an exact McNemar
    test on so many yes/no samples shows with 80 % power at the 5 % level, uncorrected, where 10, 20
    or 40 % of the samples change; `None` where no difference would show.
    """

    task: str
    samples: int
    arms: int
    answers: int
    detectable_at_10: float | None
    detectable_at_20: float | None
    detectable_at_40: float | None


def plan_of(config: StudyConfig) -> list[PlannedTask]:
    """Every task that a study names, Inspect tasks last. Reads the corpus, the item files and the
    data of Inspect tasks, never the model.

    Raises:
        InputError: as `Study`, or as `planned_tasks`.
    """
    study = Study(config, Path("runs") / config.name)
    return [_planned(task, n, len(study.arms)) for task, n in _sizes(study) if n]


def _sizes(study: Study) -> Iterator[tuple[str, int]]:
    measures = study.config.measures
    yield from ((measure.name, measure.size) for measure in study.measures)
    if measures.evaluations:
        for name, task in zip(measures.evaluations, study.inspect_tasks, strict=True):
            size = len(task.dataset)
            yield name, min(size, measures.evaluation_limit or size)


def _planned(task: str, samples: int, count: int) -> PlannedTask:
    seen = [detectable_proportion(samples, share) for share in DISCORDANCE]
    rounded = [None if x is None else round(x, 3) for x in seen]
    return PlannedTask(
        task=task,
        samples=samples,
        arms=count,
        answers=samples * count,
        detectable_at_10=rounded[0],
        detectable_at_20=rounded[1],
        detectable_at_40=rounded[2],
    )
