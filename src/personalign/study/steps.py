"""The composition root: one study file, every step in order, each resumable."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from personalign import __version__, analysis, personas, report
from personalign.corpus import pairs, scenes
from personalign.errors import CorpusError, unknown
from personalign.evals import social
from personalign.models import embedded
from personalign.models.chat import with_system
from personalign.models.local import LocalModel, Sampling
from personalign.psychometrics import administer, inventory
from personalign.psychometrics import verify as verification
from personalign.records import (
    PreferencePair,
    Scene,
    ScoreRow,
    Transcript,
    read_jsonl,
    to_jsonl,
)
from personalign.runs import Run, content_hash, environment, write_atomic
from personalign.study.arms import BASE, Arm, arms
from personalign.study.config import StudyConfig
from personalign.study.context import context
from personalign.study.evaluations import evaluate
from personalign.study.tasks import PERSONA, SCORED
from personalign.study.training import (
    neutral_prompts,
    persona_prompt,
    references,
    train_persona,
    training_prompt,
)
from personalign.training import adapters, devices

__all__ = ["TASKS", "Study", "verdicts"]

TASKS = (*SCORED, "replies")
REJECTED = "rejected"  # stands for the other reply of a generated pair
REPLIES_BATCH = 16

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
        self.personas = {p.name: p for p in map(personas.load, config.personas)}
        if strange := [name for name in config.pairs if name not in self.personas]:
            raise unknown("persona", strange[0], self.personas, "pairs")
        self.scenes: list[Scene] = scenes.load(config.corpus)
        self.asked = BASE
        self.whole: tuple[str, LocalModel | None] = ("", None)

    # What the steps need, made when first needed.

    @cached_property
    def base_identity(self) -> str:
        """Name and content of the base's weights."""
        return embedded.identity(self.config.base)

    @property
    def local(self) -> LocalModel:
        """The model that answers: the base, or after a full fine-tuning the persona's own."""
        if self._is_whole(self.asked):
            return self.whole_model(self.asked.persona)
        return self.base_model

    def _is_whole(self, arm: Arm) -> bool:
        return self.config.training.method == "full" and arm.adapter is not None

    @cached_property
    def base_model(self) -> LocalModel:
        """The base in memory."""
        tick = self.announce("load base", 1)
        local = LocalModel.load(self.config.base, self.config.dtype)
        tick(1)
        return local

    def whole_model(self, persona: str) -> LocalModel:
        """What a full fine-tuning made of the base; one is kept in memory at a time."""
        if self.whole[0] != persona:
            path = self.folder.path / "adapters" / persona
            self.whole = (persona, LocalModel.load(str(path), self.config.dtype))
        assert self.whole[1] is not None
        return self.whole[1]

    @cached_property
    def measure_scenes(self) -> list[Scene]:
        """Scenes that measure, spread over the areas."""
        return scenes.select(self.scenes, "measure", self.config.measures.scenes)

    @property
    def reply_scenes(self) -> list[Scene]:
        """Measure scenes that are also answered in free text."""
        return self.measure_scenes[: self.config.measures.replies]

    @cached_property
    def social_items(self) -> list[social.SocialItem]:
        """Social items in the file's order."""
        return social.read(self.config.measures.social)[: self.config.measures.social_items]

    @cached_property
    def inventory(self) -> inventory.PairInventory:
        """Statement pairs."""
        return inventory.pair_inventory(self.config.measures.inventory)

    @property
    def arms(self) -> list[Arm]:
        """Base first, then every persona under every other condition."""
        return arms(list(self.personas), self.config.conditions)

    @cached_property
    def pair_scenes(self) -> dict[str, list[Scene]]:
        """For personas that are trained from generated pairs: their pairs that measure."""
        return {
            name: pairs.as_scenes(read_jsonl(files.measure, PreferencePair), name, REJECTED)
            for name, files in self.config.pairs.items()
            if files.measure
        }

    def scenes_for(self, arm: Arm) -> list[Scene]:
        """What an arm's behaviour is measured on; the base, on all that any persona is."""
        own = [
            s for n, scenes in self.pair_scenes.items() if arm.persona in ("", n) for s in scenes
        ]
        return [*self.measure_scenes, *own]

    def counterpart(self, name: str) -> str | None:
        """Whose reply stands against the persona's own on scenes that measure."""
        return REJECTED if name in self.config.pairs else self.personas[name].opposite

    # Steps.

    def run(self, tasks: Sequence[str] = TASKS, until: str = "report") -> Path:
        """Do every step that is not done, up to `until`; returns the run folder.

        Args:
            tasks: Which of the study's tasks are measured.
            until: The last of verify, analyse, report that is done.
        """
        tasks = [t for t in self.config.measures.tasks if t in tasks]
        with self.folder.locked():
            self.begin()
            self.train_all()
            for arm in self.arms:
                for task in tasks:
                    self.measure(arm, task)
            if until != "verify":
                self.evaluate()
            self.collect(tasks)
            for step in ("verify", "analyse", "report"):
                getattr(self, step)()
                if step == until:
                    break
        return self.folder.path

    def begin(self) -> None:
        """Write down what is to be done, and on what."""
        text = yaml.safe_dump(self.config.model_dump(mode="json"), sort_keys=False)
        write_atomic(self.folder.path / "study.yaml", text)
        self.folder.save(
            study=self.config.model_dump(mode="json"),
            base_model=self.base_identity,
            environment=environment(),
            system_prompts={n: self.prompt(n) for n in self.personas},
        )

    def _inputs(self, **more: Any) -> dict[str, Any]:
        return {"code": __version__, "base": self.base_identity, "dtype": self.config.dtype} | more

    def train_all(self) -> None:
        """Every persona's pairs and adapter; what several personas share is computed once."""
        waiting = [made for name in self.personas if (made := self._waiting(name))]
        references(self, waiting)
        for name in self.personas:
            self.train(name)

    def _waiting(self, name: str) -> list[PreferencePair]:
        """A persona's pairs, where it is still to be trained on them."""
        made = self._write_pairs(self.personas[name])
        inputs = self._train_inputs(self.personas[name])
        return [] if self.folder.is_done(f"train:{name}", inputs) else made

    def _write_pairs(self, persona: personas.Persona) -> list[PreferencePair]:
        made = self._pairs(persona)
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

    def _pairs(self, persona: personas.Persona) -> list[PreferencePair]:
        if files := self.config.pairs.get(persona.name):
            made = read_jsonl(files.build, PreferencePair)[: self.config.build_scenes]
            pairs.check_apart(made, self.scenes, self.pair_scenes.get(persona.name, []))
            return made
        if persona.opposite is None:
            raise CorpusError(
                f"persona {persona.name!r} has no opposite in the corpus",
                "generate pairs for it and name them under `pairs`, or name its opposite",
            )
        build = scenes.select(self.scenes, "build", self.config.build_scenes)
        return pairs.opposite_pairs(build, persona.name, persona.opposite)

    def _train(
        self,
        persona: personas.Persona,
        made: Sequence[PreferencePair],
        out: Path,
        inputs: dict[str, Any],
    ) -> list[Path]:
        stamp = out / "inputs"
        if stamp.exists() and stamp.read_text() != content_hash(inputs):
            _remove(out)  # begun under other settings: its checkpoints are not ours
        write_atomic(stamp, content_hash(inputs))
        train_persona(self, persona, made, out)
        kept = [*sorted(out.glob("*.safetensors")), out / "history.json"]
        return kept + sorted(out.glob("adapter_config.json"))

    def join(self, name: str) -> None:
        """As one of several processes: train along with the main one, which writes the files."""
        devices.wait()  # until the main process has written the pairs
        self.folder = Run(self.folder.path)
        persona, out = self.personas[name], self.folder.path / "adapters" / name
        if not self.folder.is_done(f"train:{name}", self._train_inputs(persona)):
            train_persona(self, persona, self._pairs(persona), out)

    def measure(self, arm: Arm, task: str) -> None:
        """One task for one arm."""
        self.asked = arm
        scored = SCORED.get(task)
        inputs = self._inputs(
            arm=arm.slug,
            subject=scored.subject(self, arm) if scored else [self.reply_scenes, self._sampling],
            system=self.system(arm),
            adapter=self.folder.outputs(f"train:{arm.adapter}") if arm.adapter else None,
            seed=self.config.seed,
        )
        work = self._scores if scored else self._replies
        self.folder.step(f"measure:{arm.slug}:{task}", inputs, lambda: [work(arm, task)])

    def system(self, arm: Arm) -> str | None:
        """The system prompt an arm is asked under, if any."""
        return self.prompt(arm.persona) if "prompted" in arm.condition else None

    def prompt(self, name: str) -> str:
        """A persona's system prompt: the one it was trained under, where there was one."""
        return persona_prompt(self.personas[name], self.config.training)

    @property
    def _sampling(self) -> dict[str, Any]:
        m = self.config.measures
        return {"max_new_tokens": m.max_new_tokens, "temperature": m.temperature, "top_p": m.top_p}

    @property
    def asks(self) -> tuple[str, ...]:
        """Ways of asking for statements."""
        return administer.ASK[: self.config.measures.asks]

    def adapter(self, arm: Arm) -> str | None:
        """Load an arm's adapter where it has one; returns its name."""
        if self._is_whole(arm):
            return None
        if arm.adapter and arm.adapter not in self.local.adapters:
            self.local.add_adapter(arm.adapter, self.folder.path / "adapters" / arm.adapter)
        return arm.adapter

    def _scores(self, arm: Arm, task: str) -> Path:
        scored = SCORED[task]
        rows = [
            ScoreRow(
                run=self.config.name,
                base_model=self.base_identity,
                persona=arm.persona,
                condition=arm.condition,
                task=scored.label(self) if scored.label else task,
                sample=sample,
                cluster=cluster,
                metric=metric,
                value=value,
                state=state,
            )
            for sample, cluster, metric, value, state in scored.ask(self, arm)
        ]
        path = self.folder.path / "scores" / f"{arm.slug}.{task}.parquet"
        analysis.write(analysis.to_frame(rows), path)
        return path

    def _replies(self, arm: Arm, task: str) -> Path:
        asked = self.reply_scenes
        tick = self.announce(f"replies {arm.slug}", len(asked))
        prompts = [with_system(s.prompt, self.system(arm)) for s in asked]
        seeds = [self.config.seed + k for k in range(len(asked))]
        adapters = [self.adapter(arm)] * len(asked)
        drawn = self.local.generate(
            prompts, adapters, Sampling(**self._sampling), seeds, REPLIES_BATCH, tick
        )
        written = [
            Transcript(
                persona=arm.persona,
                condition=arm.condition,
                task=task,
                sample=scene.id,
                prompt=scene.prompt,
                reply=g.text,
                tokens=g.tokens,
                seed=g.seed,
            )
            for scene, g in zip(asked, drawn, strict=True)
        ]
        return write_atomic(self.folder.path / "replies" / f"{arm.slug}.jsonl", to_jsonl(written))

    def evaluate(self) -> None:
        """The Inspect tasks, for all arms."""
        measures = self.config.measures
        if not measures.evaluations:
            return
        trained = {
            a.slug: self.folder.outputs(f"train:{a.adapter}") for a in self.arms if a.adapter
        }
        inputs = self._inputs(
            tasks=measures.evaluations,
            limit=measures.evaluation_limit,
            arms={arm.slug: self.system(arm) for arm in self.arms},
            adapters=trained,
            seed=self.config.seed,
        )
        self.folder.step("evaluations", inputs, lambda: evaluate(self))

    # From scores to the report.

    def _outputs(self, tasks: Sequence[str]) -> dict[str, str]:
        names = [f"measure:{arm.slug}:{task}" for arm in self.arms for task in tasks]
        names += ["evaluations"] if self.config.measures.evaluations else []
        done = [self.folder.outputs(n) for n in names if n in self.folder.manifest["steps"]]
        return {file: digest for files in done for file, digest in files.items()}

    def collect(self, tasks: Sequence[str]) -> None:
        """All scores in one long table."""
        files = self._outputs([t for t in tasks if t != "replies"])
        path = self.folder.path / "scores.parquet"

        def work() -> list[Path]:
            frames = [analysis.read(self.folder.path / f) for f in files]
            analysis.write(pd.concat(frames, ignore_index=True), path)
            return [path]

        self.folder.step("collect", {"files": files}, work)

    def verify(self) -> None:
        """A verdict for every persona under every condition."""
        path = self.folder.path / "verification.json"
        inputs = {
            "code": __version__,
            "scores": self.folder.outputs("collect"),
            "personas": self.personas,
            "inventory": self.inventory,
            "seed": self.config.seed,
        }

        def work() -> list[Path]:
            frame = analysis.read(self.folder.path / "scores.parquet")
            verdicts = list(self._verdicts(frame))
            for name in self.personas:
                own = [v.model_dump(mode="json") for v in verdicts if v.persona == name]
                adapters.verified(self.folder.path / "adapters" / name, own)
            text = json.dumps(
                {"verifications": [v.model_dump(mode="json") for v in verdicts]}, indent=1
            )
            return [write_atomic(path, text + "\n")]

        self.folder.step("verify", inputs, work)

    def _verdicts(self, frame: pd.DataFrame) -> Iterator[verification.Verification]:
        base = self._positions(frame, BASE)
        for arm in self.arms[1:]:
            asked = self._positions(frame, arm)
            persona = self.personas[arm.persona]
            margins = self._margins(frame, arm)
            yield verification.verify(
                persona, arm.condition, base, asked, margins, self.config.seed
            )

    def _rows(self, frame: pd.DataFrame, arm: Arm, task: str) -> pd.DataFrame:
        return frame[
            (frame["persona"] == arm.persona)
            & (frame["condition"] == arm.condition)
            & (frame["task"] == task)
        ]

    def _positions(self, frame: pd.DataFrame, arm: Arm) -> dict[str, pd.DataFrame]:
        found = {}
        if "behaviour" in self.config.measures.tasks:
            rows = self._rows(frame, arm, "behaviour")
            found["behaviour"] = verification.behaviour_positions(rows, personas.catalog())
        if "statements" in self.config.measures.tasks:
            rows = self._rows(frame, arm, "statements")
            found["statements"] = verification.statement_positions(rows, self.inventory)
        return found

    def _margins(
        self, frame: pd.DataFrame, arm: Arm
    ) -> tuple[pd.Series[float], pd.Series[float]] | None:
        """Own reply minus its counterpart's, by scene: under base and under the arm."""
        if "behaviour" not in self.config.measures.tasks:
            return None
        own, other = f"reply:{arm.persona}", f"reply:{self.counterpart(arm.persona)}"
        found = []
        for asked in (BASE, arm):
            rows = self._rows(frame, asked, "behaviour")
            wide = rows.pivot(index="sample", columns="metric", values="value")
            if own not in wide or other not in wide:
                return None
            found.append((wide[own] - wide[other]).dropna())
        base, after = found
        return base.reindex(after.index), after

    def analyse(self) -> None:
        """Estimates and paired contrasts of the outcome measures."""
        path = self.folder.path / "analysis.json"
        inputs = {
            "code": __version__,
            "scores": self.folder.outputs("collect"),
            "replies": self._outputs(["replies"]),
            "personas": self.personas,
            "seed": self.config.seed,
        }

        def work() -> list[Path]:
            frame = analysis.read(self.folder.path / "scores.parquet")
            margins = {arm: self._margins(frame, arm) for arm in self.arms[1:]}
            beside = context(self.folder.path, self.personas, margins)
            outcomes = frame[~frame["task"].isin(PERSONA)]
            result = analysis.analyse(outcomes, seed=self.config.seed, context=beside)
            return [write_atomic(path, result.model_dump_json(indent=1) + "\n")]

        self.folder.step("analyse", inputs, work)

    def report(self) -> None:
        """The page that people look at."""
        inputs = {
            "code": __version__,
            "verify": self.folder.outputs("verify"),
            "analyse": self.folder.outputs("analyse"),
            "replies": self._outputs(["replies"]),
        }
        self.folder.step("report", inputs, lambda: [report.build(self.folder.path)])


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder)


def verdicts(folder: Path) -> Sequence[verification.Verification]:
    """The verdicts of a finished study."""
    data = json.loads((folder / "verification.json").read_text(encoding="utf-8"))
    return [verification.Verification.model_validate(v) for v in data["verifications"]]
