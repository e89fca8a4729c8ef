"""The composition root: one study file, every step in order, each resumable."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from personalign import __version__, analysis, personas, report
from personalign.corpus import pairs, scenes
from personalign.errors import CorpusError
from personalign.evals import social
from personalign.models import embedded
from personalign.models.local import LocalModel, Sampling
from personalign.psychometrics import administer, inventory
from personalign.psychometrics import verify as verification
from personalign.records import (
    Condition,
    PreferencePair,
    Scene,
    ScoreRow,
    Transcript,
    read_jsonl,
    to_jsonl,
)
from personalign.runs import Run, content_hash, environment, write_atomic
from personalign.study.config import StudyConfig
from personalign.training import trainer

__all__ = ["TASKS", "Arm", "Study", "verdicts"]

TASKS = ("behaviour", "statements", "social", "replies")
REPLIES_BATCH = 16

Announce = Callable[[str, int], Callable[[int], None]]
"""Called with a step's name and size; what it returns is called with the amount done since."""


@dataclass(frozen=True, slots=True)
class Arm:
    """A persona under a condition; the base has no persona."""

    persona: str
    condition: Condition

    @property
    def slug(self) -> str:
        """Name of the arm's files."""
        return f"{self.persona}-{self.condition}" if self.persona else self.condition

    @property
    def adapter(self) -> str | None:
        """Name of the adapter that answers, if any."""
        return self.persona if "adapter" in self.condition else None


def _silent(name: str, total: int) -> Callable[[int], None]:
    return lambda done: None


class Study:
    """A study in its run folder. `run()` does what is not done yet."""

    def __init__(self, config: StudyConfig, folder: Path, announce: Announce = _silent) -> None:
        self.config = config
        self.folder = Run(folder)
        self.announce = announce
        self.personas = {name: personas.load(name) for name in config.personas}
        self.scenes = scenes.load(config.corpus)

    # What the steps need, made when first needed.

    @cached_property
    def base_identity(self) -> str:
        """Name and content of the base's weights."""
        return embedded.identity(self.config.base)

    @cached_property
    def local(self) -> LocalModel:
        """The base in memory."""
        tick = self.announce("load base", 1)
        local = LocalModel.load(self.config.base, self.config.dtype)
        tick(1)
        return local

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
        rest = [c for c in self.config.conditions if c != "base"]
        return [Arm("", "base")] + [Arm(p, c) for p in self.personas for c in rest]

    # Steps.

    def run(self, tasks: Sequence[str] = TASKS, until: str = "report") -> Path:
        """Do every step that is not done, up to `until`; returns the run folder.

        Args:
            tasks: Which of `TASKS` are measured.
            until: The last of verify, analyse, report that is done.
        """
        with self.folder.locked():
            self.begin()
            for name in self.personas:
                self.train(name)
            for arm in self.arms:
                for task in tasks:
                    self.measure(arm, task)
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
            system_prompts={n: p.system_prompt() for n, p in self.personas.items()},
        )

    def _inputs(self, **more: Any) -> dict[str, Any]:
        return {"code": __version__, "base": self.base_identity, "dtype": self.config.dtype} | more

    def train(self, name: str) -> None:
        """Pairs, reference and adapter of one persona."""
        persona, settings = self.personas[name], self.config.training
        build = scenes.select(self.scenes, "build", self.config.build_scenes)
        made = pairs.opposite_pairs(build, name, self._opposite(persona))
        file = self.folder.path / "pairs" / f"{name}.jsonl"
        self.folder.step(
            f"pairs:{name}", {"pairs": made}, lambda: [write_atomic(file, to_jsonl(made))]
        )
        out = self.folder.path / "adapters" / name
        system = persona.system_prompt() if settings.system == "persona" else None
        inputs = self._inputs(
            settings=settings, pairs=self.folder.outputs(f"pairs:{name}"), system=system
        )
        self.folder.step(
            f"train:{name}", inputs, lambda: self._train(name, file, system, out, inputs)
        )

    def _opposite(self, persona: personas.Persona) -> str:
        if persona.opposite is None:
            raise CorpusError(
                f"persona {persona.name!r} has no opposite in the corpus",
                "generate pairs for it, or name its opposite in its file",
            )
        return persona.opposite

    def _train(
        self, name: str, file: Path, system: str | None, out: Path, inputs: dict[str, Any]
    ) -> list[Path]:
        stamp = out / "inputs"
        if stamp.exists() and stamp.read_text() != content_hash(inputs):
            _remove(out)  # begun under other settings: its checkpoints are not ours
        write_atomic(stamp, content_hash(inputs))
        made = read_jsonl(file, PreferencePair)
        local = self.local
        data = trainer.examples(local, made, system, self.announce(f"reference {name}", len(made)))
        tick: list[Callable[[int], None]] = []
        last = [0]

        def progress(step: int, of: int) -> None:
            if not tick:
                tick.append(self.announce(f"train {name}", of))
            tick[0](step - last[0])
            last[0] = step

        trainer.train(local, data, self.config.training, out, progress)
        return [
            out / n for n in ("adapter_model.safetensors", "adapter_config.json", "history.json")
        ]

    def measure(self, arm: Arm, task: str) -> None:
        """One task for one arm."""
        subject: dict[str, Callable[[], Any]] = {
            "behaviour": lambda: self.measure_scenes,
            "statements": lambda: self.inventory,
            "social": lambda: self.social_items,
            "replies": lambda: [self.reply_scenes, self._sampling],
        }
        inputs = self._inputs(
            arm=arm.slug,
            subject=subject[task](),
            system=self._system(arm),
            adapter=self.folder.outputs(f"train:{arm.adapter}") if arm.adapter else None,
            asks=self._asks,
            seed=self.config.seed,
        )
        work: Callable[[Arm, str], Path] = self._replies if task == "replies" else self._scores
        self.folder.step(f"measure:{arm.slug}:{task}", inputs, lambda: [work(arm, task)])

    def _system(self, arm: Arm) -> str | None:
        return self.personas[arm.persona].system_prompt() if "prompted" in arm.condition else None

    @property
    def _sampling(self) -> dict[str, Any]:
        m = self.config.measures
        return {"max_new_tokens": m.max_new_tokens, "temperature": m.temperature, "top_p": m.top_p}

    @property
    def _asks(self) -> tuple[str, ...]:
        return administer.ASK[: self.config.measures.asks]

    def _adapter(self, arm: Arm) -> str | None:
        if arm.adapter and arm.adapter not in self.local.adapters:
            self.local.add_adapter(arm.adapter, self.folder.path / "adapters" / arm.adapter)
        return arm.adapter

    def _scores(self, arm: Arm, task: str) -> Path:
        ask: dict[str, Callable[[Arm], Iterable[tuple[str, str, str, float]]]] = {
            "behaviour": self._behaviour,
            "statements": self._statements,
            "social": self._social,
        }
        name = social.task_name(self.config.measures.social) if task == "social" else task
        rows = [
            ScoreRow(
                run=self.config.name,
                base_model=self.base_identity,
                persona=arm.persona,
                condition=arm.condition,
                task=name,
                sample=sample,
                cluster=cluster,
                metric=metric,
                value=value,
            )
            for sample, cluster, metric, value in ask[task](arm)
        ]
        path = self.folder.path / "scores" / f"{arm.slug}.{task}.parquet"
        analysis.write(analysis.to_frame(rows), path)
        return path

    def _behaviour(self, arm: Arm) -> Iterator[tuple[str, str, str, float]]:
        tick = self.announce(f"behaviour {arm.slug}", len(self.measure_scenes))
        scored = administer.behaviour(
            self.local, self.measure_scenes, self._system(arm), self._adapter(arm), tick
        )
        return ((s, s, metric, value) for s, metric, value in scored)

    def _statements(self, arm: Arm) -> Iterator[tuple[str, str, str, float]]:
        tick = self.announce(f"statements {arm.slug}", len(self._asks))
        scale = {item.id: item.scale for item in self.inventory.items}
        scored = administer.statements(
            self.local, self.inventory, self._system(arm), self._adapter(arm), self._asks, tick
        )
        return ((s, scale[s], metric, value) for s, metric, value in scored)

    def _social(self, arm: Arm) -> Iterator[tuple[str, str, str, float]]:
        items = self.social_items
        tick = self.announce(f"social {arm.slug}", len(items))
        chosen = social.choices(
            self.local, items, self._system(arm), self._adapter(arm), progress=tick
        )
        return (
            (item.id, item.id, "correct", float(choice == item.label))
            for item, choice in zip(items, chosen, strict=True)
        )

    def _replies(self, arm: Arm, task: str) -> Path:
        from personalign.models.chat import with_system

        asked = self.reply_scenes
        tick = self.announce(f"replies {arm.slug}", len(asked))
        prompts = [with_system(s.prompt, self._system(arm)) for s in asked]
        seeds = [self.config.seed + k for k in range(len(asked))]
        adapters = [self._adapter(arm)] * len(asked)
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

    # From scores to the report.

    def _outputs(self, tasks: Sequence[str]) -> dict[str, str]:
        names = [f"measure:{arm.slug}:{task}" for arm in self.arms for task in tasks]
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
            text = json.dumps(
                {"verifications": [v.model_dump(mode="json") for v in verdicts]}, indent=1
            )
            return [write_atomic(path, text + "\n")]

        self.folder.step("verify", inputs, work)

    def _verdicts(self, frame: pd.DataFrame) -> Iterator[verification.Verification]:
        base = self._positions(frame, Arm("", "base"))
        for arm in self.arms[1:]:
            asked = self._positions(frame, arm)
            persona = self.personas[arm.persona]
            margins = tuple(self._margins(frame, a, persona) for a in (Arm("", "base"), arm))
            both = (margins[0], margins[1])
            yield verification.verify(persona, arm.condition, base, asked, both, self.config.seed)

    def _rows(self, frame: pd.DataFrame, arm: Arm, task: str) -> pd.DataFrame:
        return frame[
            (frame["persona"] == arm.persona)
            & (frame["condition"] == arm.condition)
            & (frame["task"] == task)
        ]

    def _positions(self, frame: pd.DataFrame, arm: Arm) -> dict[str, pd.DataFrame]:
        return {
            "behaviour": verification.behaviour_positions(
                self._rows(frame, arm, "behaviour"), personas.catalog()
            ),
            "statements": verification.statement_positions(
                self._rows(frame, arm, "statements"), self.inventory
            ),
        }

    def _margins(
        self, frame: pd.DataFrame, arm: Arm, persona: personas.Persona
    ) -> pd.Series[float]:
        rows = self._rows(frame, arm, "behaviour")
        wide = rows.pivot(index="sample", columns="metric", values="value")
        return wide[f"reply:{persona.name}"] - wide[f"reply:{persona.opposite}"]

    def analyse(self) -> None:
        """Estimates and paired contrasts of the outcome measures."""
        path = self.folder.path / "analysis.json"
        inputs = {
            "code": __version__,
            "scores": self.folder.outputs("collect"),
            "seed": self.config.seed,
        }

        def work() -> list[Path]:
            frame = analysis.read(self.folder.path / "scores.parquet")
            outcomes = frame[~frame["task"].isin(["behaviour", "statements"])]
            result = analysis.analyse(outcomes, seed=self.config.seed)
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
