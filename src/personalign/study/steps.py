"""The composition root: one study file, every step in order, each resumable."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import yaml

from personalign import __version__, analysis, personas, report
from personalign.corpus import pairs, scenes
from personalign.corpus.formats import read_pairs
from personalign.errors import CorpusError, InputError
from personalign.files import write_atomic
from personalign.measures import Material, Measure, Scored, made
from personalign.models import embedded
from personalign.models.chat import Chat, open_chat
from personalign.models.engine import Engine, adopt
from personalign.models.local import LocalModel
from personalign.models.provenance import adapter_hash
from personalign.models.respondent import LocalRespondent, Respondent
from personalign.records import Arm, PreferencePair, Scene, ScoreRow, Transcript, to_jsonl
from personalign.runs import Run, concurrently, content_hash, environment
from personalign.study.conclusions import CONCLUSIONS, collect
from personalign.study.config import PairFiles, StudyConfig, read_config
from personalign.study.evaluations import contents, evaluate, planned_tasks
from personalign.study.parts import wrapped
from personalign.study.training import (
    neutral_prompts,
    persona_pairs,
    persona_prompt,
    references,
    train_persona,
    training_prompt,
)
from personalign.training import devices
from personalign.training.adapters import check, copy
from personalign.training.card import trained_under
from personalign.training.selection import FRONTIER

__all__ = ["Study"]

REJECTED = "rejected"  # stands for the other reply of a generated pair

Announce = Callable[[str, int], Callable[[int], None]]
"""Called with a step's name and size; what it returns is called with the amount done since."""


def _silent(name: str, total: int) -> Callable[[int], None]:
    return lambda done: None


class Study:
    """A study in its run folder. `run()` does what is not done yet."""

    def __init__(self, config: StudyConfig, folder: Path, announce: Announce = _silent) -> None:
        self.config: StudyConfig = config
        self.folder = Run(folder)
        self.announce = announce
        self.personas = config.catalogue()
        self.scenes: list[Scene] = scenes.load(config.corpus)
        self.failed = 0
        """Samples of Inspect tasks that raised or were not judged: asked again next time."""
        self._whole: dict[str, Engine] = {}

    @classmethod
    def read(cls, file: str | Path, out: str | Path | None = None) -> Study:
        """A study from its file, in the folder `runs/NAME` or another.

        Raises:
            InputError: naming the file, the key, its place and the nearest valid one.
        """
        config = read_config(Path(file))
        return cls(config, Path(out) if out else Path("runs") / config.name)

    @property
    def findings(self) -> report.Findings:
        """What the run folder holds: scores, verdicts, estimates, contrasts, replies."""
        return report.read(self.folder.path)

    # What the steps need, made when first needed.

    @cached_property
    def base_identity(self) -> str:
        """Name and content of the base's weights."""
        return embedded.identity(self.config.base)

    @cached_property
    def chat(self) -> Chat:
        """How the base is asked, without its weights; what cannot be asked is refused."""
        chat = open_chat(self.config.base, self.config.thinking)
        chat.check()
        return chat

    def respondent(self, arm: Arm) -> Respondent:
        """Who answers for an arm."""
        origin = LocalRespondent(adopt(self.base_model)) if self._is_whole(arm) else None
        who = LocalRespondent(self._engine(arm), self._adapter(arm), origin)
        return wrapped(who, arm, self)

    def _engine(self, arm: Arm) -> Engine:
        """The base's, or of what a full fine-tuning made of it."""
        return self._whole_engine(arm.persona) if self._is_whole(arm) else adopt(self.base_model)

    def _is_whole(self, arm: Arm) -> bool:
        return self.config.training.method == "full" and arm.adapter is not None

    @cached_property
    def base_model(self) -> LocalModel:
        """The base in memory."""
        tick = self.announce("load base", 1)
        local = LocalModel.load(self.config.base, self.config.dtype, thinking=self.config.thinking)
        tick(1)
        return local

    def _whole_engine(self, persona: str) -> Engine:
        """What a full fine-tuning made of the base; one is kept in memory at a time."""
        if persona not in self._whole:
            self._whole.clear()
            path = self.folder.path / "adapters" / persona
            local = LocalModel.load(str(path), self.config.dtype, thinking=self.config.thinking)
            self._whole[persona] = Engine(local)
        return self._whole[persona]

    @cached_property
    def measures(self) -> list[Measure]:
        """What is asked of every arm, in the study's order."""
        settings = self.config.measures
        return made(Material(settings, self.scenes, self.pair_scenes, self.config.seed))

    @cached_property
    def inspect_tasks(self) -> list[Any]:
        """The Inspect tasks that are named under `measures.evaluations`, with their data."""
        return planned_tasks(self)

    @property
    def arms(self) -> list[Arm]:
        """Base first, then every persona under every other condition."""
        return self.config.arms()

    @cached_property
    def pair_scenes(self) -> dict[str, list[Scene]]:
        """For personas that are trained from generated pairs: their pairs that measure."""
        return {
            name: pairs.as_scenes(
                list(read_pairs(files.measure, self.skipping(files))), name, REJECTED
            )
            for name, files in self.config.pairs.items()
            if files.measure
        }

    def skipping(self, files: PairFiles) -> Callable[[CorpusError], None] | None:
        """What is done with a row that is no pair: told and left out, or None to stop there."""

        def tell(error: CorpusError) -> None:
            self.announce(f"left out {error}", 1)

        return tell if files.skip_bad else None

    def counterpart(self, name: str) -> str | None:
        """Whose reply stands against the persona's own on scenes that measure."""
        return REJECTED if name in self.config.pairs else self.personas[name].opposite

    # Steps.

    def run(self, about: str | None = None, until: str = "report") -> Path:
        """Do every step that is not done, up to `until`; returns the run folder.

        Args:
            about: Only measures that tell this (see `Measure.about`); all where None.
            until: The last of verify, analyse, report that is done.
        """
        measures = [m for m in self.measures if about in (None, m.about)]
        with self.folder.locked():
            evaluated = until != "verify" and bool(self.config.measures.evaluations)
            if all(m.about == "quality" for m in measures) and not evaluated:
                raise InputError(
                    f"no measure of {about or 'persona or change'} in the study",
                    "name some under `measures.tasks`",
                )
            self.begin()
            if evaluated:
                _ = self.inspect_tasks  # a wrong name is said before anything is trained
            self.train_all()
            self.measure(self.arms, measures)
            if evaluated:
                self.evaluate()
            try:
                collect(self)
                for name, conclude in CONCLUSIONS.items():
                    conclude(self)
                    if name == until:
                        break
            finally:
                if self.failed:
                    self.folder.forget("evaluations")
        return self.folder.path

    def begin(self) -> None:
        """Write down what is to be done, and on what."""
        text = yaml.safe_dump(self.config.model_dump(mode="json"), sort_keys=False)
        write_atomic(self.folder.path / "study.yaml", text)
        self.folder.save(
            study=self.config.model_dump(mode="json"),
            base_model=self.base_identity,
            template=self.chat.probe.model_dump(mode="json"),
            environment=environment(),
            system_prompts={n: self.prompt(n) for n in self.personas},
            counterparts={n: self.counterpart(n) for n in self.personas},
        )

    def _inputs(self, **more: Any) -> dict[str, Any]:
        return {
            "code": __version__,
            "base": self.base_identity,
            "template": self.chat.digest,
            "dtype": self.config.dtype,
        } | more

    def train_all(self) -> None:
        """Every adapter that an arm asks; what several personas share is computed once."""
        named = dict.fromkeys(arm.adapter for arm in self.arms if arm.adapter)
        trained = [name for name in named if name not in self.config.adapters]
        for name in (n for n in named if n in self.config.adapters):
            self.take(name)
        references(self, {name: made for name in trained if (made := self._waiting(name))})
        for name in trained:
            self.train(name)

    def take(self, name: str) -> None:
        """The adapter of a persona that the study does not train."""
        source, out = self.config.adapters[name], self.folder.path / "adapters" / name
        check(source, self.base_identity, self.config.strength)
        inputs = self._inputs(adapter=adapter_hash(source))
        self.folder.step(f"train:{name}", inputs, lambda: copy(source, out))

    def _waiting(self, name: str) -> list[PreferencePair]:
        """A persona's pairs, where it is still to be trained on them."""
        made = self._write_pairs(self.personas[name])
        inputs = self._train_inputs(self.personas[name])
        return [] if self.folder.is_done(f"train:{name}", inputs) else made

    def _write_pairs(self, persona: personas.Persona) -> list[PreferencePair]:
        made = persona_pairs(self, persona)
        file = self.folder.path / "pairs" / f"{persona.name}.jsonl"
        step = f"pairs:{persona.name}"
        self.folder.step(step, {"pairs": made}, lambda: [write_atomic(file, to_jsonl(made))])
        return made

    def train(self, name: str) -> None:
        """Pairs, reference and adapter of one persona."""
        persona = self.personas[name]
        made = self._write_pairs(persona)
        devices.wait()
        out, inputs = self.folder.path / "adapters" / name, self._train_inputs(persona)
        self.folder.step(f"train:{name}", inputs, lambda: self._train(persona, made, out, inputs))

    def _train_inputs(self, persona: personas.Persona) -> dict[str, Any]:
        settings = self.config.training
        return self._inputs(
            settings=settings,
            pairs=self.folder.outputs(f"pairs:{persona.name}"),
            system=training_prompt(persona, settings),
            neutral=neutral_prompts(self) if settings.kl else None,
        )

    def _train(
        self,
        persona: personas.Persona,
        made: Sequence[PreferencePair],
        out: Path,
        inputs: dict[str, Any],
    ) -> list[Path]:
        stamp = out / "inputs"
        if not stamp.exists() or stamp.read_text() != content_hash(inputs):
            shutil.rmtree(out, ignore_errors=True)  # what is there is of other settings
        write_atomic(stamp, content_hash(inputs))
        train_persona(self, persona, made, out)
        kept = [*sorted(out.glob("*.safetensors")), out / "history.json"]
        return kept + [f for n in ("adapter_config.json", FRONTIER) if (f := out / n).exists()]

    def join(self, name: str) -> None:
        """As one of several processes: train along with the main one, which writes the files."""
        persona, out = self.personas[name], self.folder.path / "adapters" / name
        made = persona_pairs(self, persona)  # what is refused here, the main process refuses too
        devices.wait()  # until the main process has written the pairs
        self.folder = Run(self.folder.path)
        if not self.folder.is_done(f"train:{name}", self._train_inputs(persona)):
            train_persona(self, persona, made, out)

    def measure(self, arms: Sequence[Arm], measures: Sequence[Measure]) -> None:
        """Ask these arms these measures, at the same time where one engine answers for them."""
        waiting = [(arm, m) for arm in arms for m in measures if not self._is_measured(arm, m)]
        for together in self._together(list(dict.fromkeys(arm for arm, _ in waiting))):
            who = {arm: self.respondent(arm) for arm in together}
            concurrently(
                [partial(self._measure, who[arm], arm, m) for arm, m in waiting if arm in who]
            )

    def _together(self, arms: Sequence[Arm]) -> Iterator[Sequence[Arm]]:
        """Arms that are in memory at the same time: all, but whole models one by one."""
        yield from ([arm] for arm in arms if self._is_whole(arm))
        yield [arm for arm in arms if not self._is_whole(arm)]

    def _is_measured(self, arm: Arm, measure: Measure) -> bool:
        return self.folder.is_done(self.step(arm, measure), self._subject(arm, measure))

    def _subject(self, arm: Arm, measure: Measure) -> dict[str, Any]:
        return self.arm_inputs(arm, measure.subject(arm))

    def _measure(self, who: Respondent, arm: Arm, measure: Measure) -> None:
        inputs = self._subject(arm, measure)
        work = partial(self._asked, who, arm, measure)
        self.folder.step(self.step(arm, measure), inputs, work)

    def step(self, arm: Arm, measure: Measure) -> str:
        """The name of a step that measures."""
        return f"measure:{arm.slug}:{measure.name}"

    def arm_inputs(self, arm: Arm, subject: Any) -> dict[str, Any]:
        """What an arm's answers to a subject depend on."""
        return self._inputs(
            arm=arm.slug,
            subject=subject,
            system=self.system(arm),
            adapter=self.answers(arm.adapter) if arm.adapter else None,
            seed=self.config.seed,
        )

    def answers(self, adapter: str) -> dict[str, Any]:
        """What an adapter's answers depend on."""
        return {**self.folder.outputs(f"train:{adapter}"), "strength": self.config.strength}

    def system(self, arm: Arm) -> str | None:
        """The system prompt an arm is asked under, if any."""
        return self.prompt(arm.persona) if "prompted" in arm.condition.parts else None

    def prompt(self, name: str) -> str:
        """A persona's system prompt: the one it was trained under, where there was one."""
        own = persona_prompt(self.personas[name], self.config.training)
        given = self.config.adapters.get(name)
        return own if given is None else trained_under(given) or own

    def _adapter(self, arm: Arm) -> str | None:
        """Load an arm's adapter where it has one; returns its name."""
        if self._is_whole(arm):
            return None
        if arm.adapter and arm.adapter not in self.base_model.adapters:
            folder = self.folder.path / "adapters" / arm.adapter
            adopt(self.base_model).load(arm.adapter, folder, self.config.strength)
        return arm.adapter

    def _asked(self, who: Respondent, arm: Arm, measure: Measure) -> list[Path]:
        """Put a measure to an arm; the files of its scores and of what was said."""
        tick = self.announce(f"{measure.name} {arm.slug}", measure.size)
        found = list(measure.ask(who, arm, tick))
        said = [entry for entry in found if isinstance(entry, Transcript)]
        rows = [self._row(arm, measure, entry) for entry in found if isinstance(entry, tuple)]
        files, name = [], f"{arm.slug}.{measure.name}"
        if rows:
            path = self.folder.path / "scores" / f"{name}.parquet"
            files.append(analysis.write(analysis.to_frame(rows), path))
        if said:
            path = self.folder.path / "replies" / f"{name}.jsonl"
            files.append(write_atomic(path, to_jsonl(said)))
        return files

    def _row(self, arm: Arm, measure: Measure, scored: Scored) -> ScoreRow:
        sample, cluster, metric, value, state = scored
        return ScoreRow(
            run=self.config.name,
            base_model=self.base_identity,
            persona=arm.persona,
            condition=arm.condition,
            seed=arm.seed,
            task=measure.task,
            sample=sample,
            cluster=cluster,
            metric=metric,
            value=value,
            state=state,
        )

    def evaluate(self) -> None:
        """The Inspect tasks, for all arms."""
        measures = self.config.measures
        trained = {a.slug: self.answers(a.adapter) for a in self.arms if a.adapter}
        inputs = self._inputs(
            tasks=measures.evaluations,
            content=contents(self),
            grader=measures.grader,
            limit=measures.evaluation_limit,
            arms={arm.slug: self.system(arm) for arm in self.arms},
            adapters=trained,
            seed=self.config.seed,
        )
        self.folder.step("evaluations", inputs, lambda: evaluate(self))
