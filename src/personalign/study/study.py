"""A study in its run folder: read it, run it, look at what it found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from personalign import report
from personalign.errors import unknown
from personalign.files import write_atomic
from personalign.progress import Announce, unannounced
from personalign.runs import Step, Store, do_all, environment
from personalign.study import training
from personalign.study.config import StudyConfig, read_config
from personalign.study.content import Content
from personalign.study.respondents import Respondents
from personalign.study.steps import Until, Work
from personalign.training import devices

__all__ = ["Study"]


class Study:
    """A study in its run folder. `run()` does what is not done yet."""

    def __init__(self, config: StudyConfig, folder: Path, announce: Announce = unannounced) -> None:
        self.config = config
        self.store = Store(folder)
        self.content = Content(config, lambda said: announce(said, 1))
        adapters = folder / "adapters"
        self.who = Respondents(config, self.content.personas, adapters, announce)
        self.work = Work(self.content, self.who, self.store, announce)

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
        return report.read(self.store.path)

    def steps(self, about: str | None = None, until: Until = "report") -> list[Step]:
        """What there is to do; see `Work.steps`."""
        return self.work.steps(about, until)

    def run(self, about: str | None = None, until: Until = "report") -> Path:
        """Do every step that is not done, up to `until`; returns the run folder.

        Args:
            about: Only measures that tell this (see `Measure.about`); all where None.
            until: The last of verify, analyse, report that is done.
        """
        return self._do(self.steps(about, until))

    def step(self, name: str) -> Path:
        """Do one step, whose needs are done; returns the run folder.

        Raises:
            InputError: for a name that is no step of the study.
            RunError: where it needs a step that is not done.
        """
        steps = {step.name: step for step in self.steps()}
        if name not in steps:
            raise unknown("step", name, steps, str(self.store.path))
        return self._do([steps[name]])

    def _do(self, steps: Sequence[Step]) -> Path:
        self.begin()
        do_all(steps, self.store, self.work.announce)
        return self.store.path

    def begin(self) -> None:
        """Write down what is to be done, and on what."""
        told = self.config.model_dump(mode="json")
        write_atomic(self.store.path / "study.yaml", yaml.safe_dump(told, sort_keys=False))
        self.store.save(
            study=told,
            base_model=self.who.identity,
            template=self.who.chat.probe.model_dump(mode="json"),
            environment=environment(),
            system_prompts={n: self.who.prompt(n) for n in self.content.personas},
            counterparts=self.content.counterparts,
        )

    def train(self, name: str) -> Path:
        """Pairs and adapter of one persona; returns the adapter's folder.

        Under `accelerate launch` all processes train it, and the main one writes the files.
        """
        self.content.pairs(name)  # what is refused here, every process refuses
        if devices.is_main():
            self._do([self.work.pairs(name)])
        devices.wait()  # until the main process has written the pairs
        step = self.work.train(name)
        if devices.is_main():
            do_all([step], self.store, self.work.announce)
        elif not self.store.is_done(step):
            out = self.store.path / "adapters" / name
            training.train(self.who, name, self.content.pairs(name), out, unannounced)
        return self.store.path / "adapters" / name
