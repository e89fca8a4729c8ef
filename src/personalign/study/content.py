"""What a study is about, as its files say it: personas, situations, pairs, measures."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

from personalign.corpus import pairs, scenes
from personalign.corpus.formats import read_pairs
from personalign.corpus.forms import in_forms
from personalign.errors import CorpusError, InputError
from personalign.measures import Material, Measure, made
from personalign.personas import Persona
from personalign.records import Arm, PreferencePair, Scene
from personalign.study.config import PairFiles, StudyConfig

__all__ = ["Content"]

REJECTED = "rejected"  # stands for the other reply of a generated pair


class Content:
    """A study's personas, situations, pairs and measures; no model is asked or loaded."""

    def __init__(self, config: StudyConfig, tell: Callable[[str], object] = lambda said: None):
        self.config = config
        self.personas: dict[str, Persona] = config.catalogue()
        self.scenes: list[Scene] = scenes.load(config.corpus)
        self._tell = tell
        self._pairs: dict[str, list[PreferencePair]] = {}

    @property
    def arms(self) -> list[Arm]:
        """Base first, then every persona under every other condition."""
        return self.config.arms()

    @cached_property
    def measures(self) -> list[Measure]:
        """What is asked of every arm, in the study's order."""
        settings = self.config.measures
        return made(Material(settings, self.scenes, self.pair_scenes, self.config.seed))

    @cached_property
    def pair_scenes(self) -> dict[str, list[Scene]]:
        """For personas that are trained from generated pairs: their pairs that measure."""
        return {
            name: pairs.as_scenes(
                list(read_pairs(files.measure, self._skipping(files))), name, REJECTED
            )
            for name, files in self.config.pairs.items()
            if files.measure
        }

    @cached_property
    def inspect_tasks(self) -> list[Any]:
        """What is named under `measures.evaluations`, with its data read.

        Raises:
            InputError: for an unknown task, or where the adapter is a whole model.
        """
        from personalign.evals import run

        asked = self.config.measures.evaluations
        if asked and self.config.training.method == "full":
            raise InputError(
                "evaluations of a full fine-tuning are not run inside a study",
                "run `inspect eval personalign/TASK --model personalign/FOLDER` for it",
            )
        return run.tasks_named(list(asked), asked, self.config.seed) if asked else []

    @property
    def counterparts(self) -> dict[str, str | None]:
        """Persona → whose reply stands against its own on scenes that measure."""
        return {
            name: REJECTED if name in self.config.pairs else persona.opposite
            for name, persona in self.personas.items()
        }

    def pairs(self, name: str) -> list[PreferencePair]:
        """What a persona is trained on: its generated pairs, or the corpus's replies of both
        sides.

        Raises:
            CorpusError: where there are none, or where they ask what measures.
            InputError: where the persona's adapter is there already.
        """
        if name not in self._pairs:
            self._pairs[name] = self._read_pairs(name)
        return self._pairs[name]

    def _read_pairs(self, name: str) -> list[PreferencePair]:
        config, persona = self.config, self.personas[name]
        if name in config.adapters:
            raise InputError(
                f"the adapter of {name} is {config.adapters[name]}",
                "take it out of the study's `adapters` to have one trained",
            )
        if files := config.pairs.get(name):
            found = list(read_pairs(files.build, self._skipping(files)))[: config.build_scenes]
            pairs.check_apart(found, self.scenes, self.pair_scenes.get(name, []))
            return found
        if persona.opposite is None:
            raise CorpusError(
                f"persona {name!r} has no opposite in the corpus",
                "generate pairs for it and name them under `pairs`, or name its opposite",
            )
        build = scenes.select(self.scenes, "build", config.build_scenes)
        return in_forms(pairs.opposite_pairs(build, name, persona.opposite), config.forms)

    def _skipping(self, files: PairFiles) -> Callable[[CorpusError], None] | None:
        """What is done with a row that is no pair: told and left out, or None to stop there."""

        def tell(error: CorpusError) -> None:
            self._tell(f"left out {error}")

        return tell if files.skip_bad else None
