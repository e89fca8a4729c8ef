"""A study as a list of steps: what there is to do, in order, and what each depends on.

Nothing is loaded and nobody is asked while the list is made; the steps do that, when they are
due.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from personalign import report
from personalign.errors import InputError
from personalign.files import write_atomic
from personalign.measures import Measure
from personalign.models.provenance import adapter_hash
from personalign.progress import Announce
from personalign.records import BASE, Arm, PreferencePair, to_jsonl
from personalign.runs import Resources, Step, Store, file_hash
from personalign.study import conclusions, measuring, training
from personalign.study.content import Content
from personalign.study.evaluations import contents, evaluate
from personalign.study.respondents import Respondents
from personalign.training import neutral
from personalign.training.adapters import check, copy
from personalign.training.persona import training_prompt
from personalign.training.replies import read_prompts
from personalign.training.selection import FRONTIER

__all__ = ["Until", "Work"]

Until = Literal["verify", "analyse", "report"]
LAST: tuple[Until, ...] = ("verify", "analyse", "report")
MODEL = Resources(cpus=2, memory_gib=4, gpus=1)
TRAINING = ("personalign.training.persona", "personalign.study.training")
VERDICTS = ("personalign.study.verdicts", "personalign.study.validity")


@dataclass(frozen=True)
class Work:
    """A study, what answers in it, and where its results go: what steps are made of."""

    content: Content
    who: Respondents
    store: Store
    announce: Announce

    def steps(self, about: str | None = None, until: Until = "report") -> list[Step]:
        """Every step, up to a last one.

        Args:
            about: Only measures that tell this (see `Measure.about`); all where None.

        Raises:
            InputError: where nothing asked tells that, or a task is unknown.
        """
        measures = [m for m in self.content.measures if about in (None, m.about)]
        evaluated = until != "verify" and bool(self.content.inspect_tasks)
        if all(m.about == "quality" for m in measures) and not evaluated:
            raise InputError(
                f"no measure of {about or 'persona or change'} in the study",
                "name some under `measures.tasks`",
            )
        asked = [self.measure(arm, m) for arm in self.content.arms for m in measures]
        asked += [self.evaluations()] if evaluated else []
        return [*self.training(), *asked, *self.concluding(asked, until)]

    # Training.

    def training(self) -> Iterator[Step]:
        """Every adapter that an arm asks; what several personas share is computed once."""
        named = dict.fromkeys(arm.adapter for arm in self.content.arms if arm.adapter)
        taken = [name for name in named if name in self.content.config.adapters]
        trained = [name for name in named if name not in taken]
        yield from map(self.take, taken)
        yield from map(self.pairs, trained)
        if training.shares_reference(self.who, trained):
            yield self.reference(trained)
        yield from map(self.train, trained)

    def take(self, name: str) -> Step:
        """The adapter of a persona that the study does not train."""
        config = self.content.config
        source, out = config.adapters[name], self._adapter(name)
        check(source, self.who.identity, config.strength)
        return Step(
            f"train:{name}",
            lambda: copy(source, out),
            inputs=lambda: self._inputs(adapter=adapter_hash(source)),
        )

    def pairs(self, name: str) -> Step:
        """What a persona is trained on, written down."""
        file = self.store.path / "pairs" / f"{name}.jsonl"
        return Step(
            f"pairs:{name}",
            lambda: [write_atomic(file, to_jsonl(self.content.pairs(name)))],
            inputs=lambda: {"pairs": self.content.pairs(name)},
        )

    def reference(self, names: Sequence[str]) -> Step:
        """What the base makes of all replies that train; it goes into the cache, not the run."""

        def work() -> Iterable[Path]:
            pairs = {name: self.content.pairs(name) for name in names}
            training.compute_references(self.who, pairs, self.announce)
            return []

        return Step(
            "reference",
            work,
            needs=tuple(f"pairs:{name}" for name in names),
            inputs=lambda: self._inputs(
                systems={n: self._trained_under(n) for n in names},
            ),
            code=("personalign.training.reference",),
            resources=MODEL,
            size=sum(len(self.content.pairs(name)) for name in names),
            unit="pair",
        )

    def train(self, name: str) -> Step:
        """The adapter of one persona."""
        settings, made = self.content.config.training, self.content.pairs(name)
        return Step(
            f"train:{name}",
            partial(self._train, name, made),
            needs=(f"pairs:{name}",),
            inputs=partial(self._train_inputs, name),
            code=TRAINING,
            resources=MODEL,
            size=len(made) * settings.epochs,
            unit="pair",
        )

    def _train_inputs(self, name: str) -> dict[str, Any]:
        config = self.content.config
        asked = read_prompts(config.neutral or neutral.PROMPTS) if config.training.kl else None
        return self._inputs(
            settings=config.training, system=self._trained_under(name), neutral=asked
        )

    def _train(self, name: str, made: Sequence[PreferencePair]) -> Iterable[Path]:
        out, key = self._adapter(name), self.store.key(self.train(name))
        stamp = out / "inputs"
        if not stamp.exists() or stamp.read_text() != key:
            shutil.rmtree(out, ignore_errors=True)  # what is there is of other settings
        write_atomic(stamp, key)
        training.train(self.who, name, made, out, self.announce)
        kept = [*sorted(out.glob("*.safetensors")), out / "history.json"]
        return kept + [f for n in ("adapter_config.json", FRONTIER) if (f := out / n).exists()]

    def _trained_under(self, name: str) -> str | None:
        return training_prompt(self.content.personas[name], self.content.config.training)

    # Measuring.

    def measure(self, arm: Arm, measure: Measure) -> Step:
        """An arm's answers to a measure."""
        config = self.content.config

        def work() -> Iterable[Path]:
            who, told = self.who.of(arm), self.announce(f"{measure.name} {arm.slug}", measure.size)
            return measuring.ask(
                who, arm, measure, self.store.path, config.name, self.who.identity, told
            )

        return Step(
            f"measure:{arm.slug}:{measure.name}",
            work,
            needs=(f"train:{arm.adapter}",) if arm.adapter else (),
            inputs=lambda: self._inputs(
                arm=arm.slug,
                subject=measure.subject(arm),
                system=self.who.system(arm),
                strength=config.strength if arm.adapter else None,
                seed=config.seed,
            ),
            code=(type(measure).__module__, "personalign.study.measuring"),
            resources=MODEL,
            size=measure.size,
            unit="sample",
            together=f"whole {arm.persona}" if self.who.is_whole(arm) else "base",
            prepare=lambda: self.who.of(arm),
        )

    def evaluations(self) -> Step:
        """The Inspect tasks, for all arms."""
        config, arms, tasks = self.content.config, self.content.arms, self.content.inspect_tasks
        failed = [0]

        def work() -> Iterable[Path]:
            files, failed[0] = evaluate(self.who, arms, tasks, self.store.path, self.announce)
            return files

        return Step(
            "evaluations",
            work,
            needs=tuple(dict.fromkeys(f"train:{a.adapter}" for a in arms if a.adapter)),
            inputs=lambda: self._inputs(
                tasks=config.measures.evaluations,
                content=contents(tasks),
                grader=config.measures.grader,
                limit=config.measures.evaluation_limit,
                arms={arm.slug: self.who.system(arm) for arm in arms},
                strength=config.strength,
                seed=config.seed,
            ),
            code=("personalign.evals.run", "personalign.evals.registry"),
            resources=MODEL,
            size=len(arms) * sum(len(task.dataset) for task in tasks),
            unit="sample",
            partial=lambda: failed[0] > 0,
        )

    # Conclusions.

    def concluding(self, asked: Sequence[Step], until: Until) -> list[Step]:
        """What follows once everything was measured, up to a last step."""
        steps = [self.collect(asked), self.verify(), self.analyse(), self.report()]
        return steps[: LAST.index(until) + 2]

    def collect(self, asked: Sequence[Step]) -> Step:
        """The scores of all the study's steps that are done, in one long table."""
        folder = self.store.path

        def work() -> Iterable[Path]:
            return [conclusions.collect(folder, self._measured(".parquet"))]

        return Step(
            "collect",
            work,
            needs=tuple(step.name for step in asked),
            inputs=lambda: {"files": self._measured(".parquet")},
            code=("personalign.analysis.table",),
        )

    def verify(self) -> Step:
        """A verdict for every persona under every condition."""
        measures = self.content.measures
        return Step(
            "verify",
            lambda: conclusions.verify(self.store.path, self.content),
            needs=("collect",),
            inputs=lambda: {
                "personas": self.content.personas,
                "keys": {m.name: m.subject(BASE) for m in measures if m.key is not None},
                "seed": self.content.config.seed,
                "strength": self.content.config.strength,
            },
            code=(*VERDICTS, *dict.fromkeys(type(m).__module__ for m in measures)),
        )

    def analyse(self) -> Step:
        """Estimates and paired contrasts of the outcome measures."""
        settings = self.content.config.measures
        return Step(
            "analyse",
            lambda: [conclusions.analyse(self.store.path, self.content)],
            needs=("collect",),
            inputs=lambda: {
                "replies": self._measured(".jsonl"),
                "personas": self.content.personas,
                "margins": settings.equivalence,
                "primary": settings.primary,
                "calibrations": self._calibrations(),
                "seed": self.content.config.seed,
            },
            code=("personalign.analysis", "personalign.study.context", VERDICTS[0]),
        )

    def report(self) -> Step:
        """The page that people look at."""
        return Step(
            "report",
            lambda: [report.build(self.store.path)],
            needs=("verify", "analyse"),
            inputs=lambda: {
                "calibrations": self._calibrations(),
                "replies": self._measured(".jsonl"),
            },
            code=("personalign.report",),
        )

    # What steps depend on.

    def _inputs(self, **more: Any) -> dict[str, Any]:
        return {
            "base": self.who.identity,
            "template": self.who.chat.digest,
            "dtype": self.content.config.dtype,
        } | more

    def _adapter(self, name: str) -> Path:
        return self.store.path / "adapters" / name

    def _calibrations(self) -> dict[str, str]:
        files = self.store.path.glob("calibrations/*.json")
        return {file.name: file_hash(file) for file in files}

    def _measured(self, ending: str) -> dict[str, str]:
        """Files of the study's measures that are done, asked this time or before."""
        arms, measures = self.content.arms, self.content.measures
        names = [f"measure:{arm.slug}:{m.name}" for arm in arms for m in measures]
        done = [d for n in (*names, "evaluations") if (d := self.store.record(n))]
        files = {file: digest for d in done for file, digest in d.files.items()}
        return {file: digest for file, digest in files.items() if file.endswith(ending)}
