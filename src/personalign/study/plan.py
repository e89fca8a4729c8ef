"""What a study would measure, and what so many samples can show, before anything is run."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from statistics import median

from personalign.analysis import detectable_proportion
from personalign.records import Record
from personalign.runs import MANIFEST, Done, State, Step, Store, states
from personalign.study.config import StudyConfig
from personalign.study.content import Content
from personalign.study.study import Study

__all__ = ["DISCORDANCE", "PlannedStep", "PlannedTask", "plan_of", "steps_of"]

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
    content = Content(config)
    return [_planned(task, n, len(content.arms)) for task, n in _sizes(content) if n]


def _sizes(content: Content) -> Iterator[tuple[str, int]]:
    measures = content.config.measures
    yield from ((measure.name, measure.size) for measure in content.measures)
    if measures.evaluations:
        for name, task in zip(measures.evaluations, content.inspect_tasks, strict=True):
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


class PlannedStep(Record):
    """One step of a study.

    Attributes:
        id: As `personalign study step` names it.
        needs: Steps that must be done before.
        state: Done, due now, or waiting for what it needs.
        size: How much is to be done, in `unit`s.
        seconds: What it may take, from steps of its kind on the same base in this run folder and
            those beside it; None where there was none yet, 0 where it is done.
    """

    id: str
    needs: tuple[str, ...]
    state: State
    size: int
    unit: str
    seconds: float | None


def steps_of(study: Study) -> list[PlannedStep]:
    """What `Study.run` would do, and what of it is done; nothing is loaded, nobody asked.

    Raises:
        InputError: as `Study.run` before its first step.
    """
    steps = study.steps()
    known, pace = states(steps, study.store), _pace(study)
    return [
        PlannedStep(
            id=step.name,
            needs=step.needs,
            state=known[step.name],
            size=step.size,
            unit=step.unit,
            seconds=0.0 if known[step.name] == "done" else _seconds(step, pace),
        )
        for step in steps
    ]


def _seconds(step: Step, pace: Mapping[str, float]) -> float | None:
    return round(pace[step.kind] * step.size, 1) if step.kind in pace else None


def _pace(study: Study) -> dict[str, float]:
    """Seconds a unit, by kind of step: the median over what was done on the same base."""
    found = defaultdict[str, list[float]](list)
    for done in _done_beside(study):
        found[done.kind].append(done.seconds / max(done.size, 1))
    return {kind: median(paces) for kind, paces in found.items()}


def _done_beside(study: Study) -> Iterator[Done]:
    for manifest in study.store.path.parent.glob(f"*/{MANIFEST}"):
        with suppress(ValueError, OSError):
            base = json.loads(manifest.read_text(encoding="utf-8")).get("base_model")
            if base == study.who.identity:
                yield from Store(manifest.parent).records()
