"""From scores to the report: the steps of a study after everything was measured."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from personalign import __version__, analysis, report
from personalign.files import write_atomic
from personalign.records import BASE
from personalign.runs import file_hash
from personalign.study.context import context
from personalign.study.validity import validity
from personalign.study.verdicts import margins, reach
from personalign.training import card

if TYPE_CHECKING:
    from personalign.study.steps import Study

__all__ = ["CONCLUSIONS", "collect"]


def collect(study: Study) -> None:
    """The scores of all the study's steps that are done, in one long table."""
    steps = [study.step(arm, measure) for arm in study.arms for measure in study.measures]
    made = _outputs(study, [*steps, "evaluations"])
    files = {f: digest for f, digest in made.items() if f.endswith(".parquet")}
    path = study.folder.path / "scores.parquet"

    def work() -> list[Path]:
        frames = [analysis.read(study.folder.path / f) for f in files]
        analysis.write(pd.concat(frames, ignore_index=True), path)
        return [path]

    study.folder.step("collect", {"files": files}, work)


def verify(study: Study) -> None:
    """A verdict for every persona under every condition, and how far to trust the measures."""
    path = study.folder.path / "verification.json"
    inputs = {
        "code": __version__,
        "scores": study.folder.outputs("collect"),
        "personas": study.personas,
        "keys": {m.name: m.subject(BASE) for m in study.measures if m.key is not None},
        "seed": study.config.seed,
    }

    def work() -> list[Path]:
        frame = analysis.read(study.folder.path / "scores.parquet")
        reached = [v.model_dump(mode="json") for v in reach(study, frame)]
        known = {"verifications": reached} | validity(study, frame).model_dump(mode="json")
        return [write_atomic(path, json.dumps(known, indent=1) + "\n"), *_cards(study, reached)]

    study.folder.step("verify", inputs, work)


def _cards(study: Study, reached: Sequence[dict[str, Any]]) -> Iterator[Path]:
    """The cards of adapters that answered as they were trained, with their verdicts."""
    for name in study.personas:
        folder = study.folder.path / "adapters" / name
        if study.config.strength == 1 and (folder / card.CARD).exists():
            card.verified(folder, [v for v in reached if v["persona"] == name])
            yield folder / card.CARD


def analyse(study: Study) -> None:
    """Estimates and paired contrasts of the outcome measures."""
    path = study.folder.path / "analysis.json"
    equivalent = study.config.measures.equivalence
    inputs = {
        "code": __version__,
        "scores": study.folder.outputs("collect"),
        "replies": _replied(study),
        "personas": study.personas,
        "margins": equivalent,
        "primary": study.config.measures.primary,
        "calibrations": _calibrations(study),
        "seed": study.config.seed,
    }

    def work() -> list[Path]:
        frame = analysis.read(study.folder.path / "scores.parquet")
        strength = {arm: margins(study, frame, arm) for arm in study.arms[1:]}
        beside = context(study.folder.path, study.personas, strength)
        asked = [m.task for m in study.measures if m.about == "persona"]
        result = analysis.analyse(
            frame,
            study.config.seed,
            context=beside,
            margins=equivalent,
            primary=study.config.measures.primary,
            aside=asked,
        )
        return [write_atomic(path, result.model_dump_json(indent=1) + "\n")]

    study.folder.step("analyse", inputs, work)


def write_report(study: Study) -> None:
    """The page that people look at."""
    inputs = {
        "code": __version__,
        "verify": study.folder.outputs("verify"),
        "analyse": study.folder.outputs("analyse"),
        "calibrations": _calibrations(study),
        "replies": _replied(study),
    }
    study.folder.step("report", inputs, lambda: [report.build(study.folder.path)])


CONCLUSIONS: dict[str, Callable[[Study], None]] = {
    "verify": verify,
    "analyse": analyse,
    "report": write_report,
}
"""What follows from the scores, in order, by the name of its step."""


def _calibrations(study: Study) -> dict[str, str]:
    files = study.folder.path.glob("calibrations/*.json")
    return {file.name: file_hash(file) for file in files}


def _outputs(study: Study, steps: Sequence[str]) -> dict[str, str]:
    done = [study.folder.outputs(n) for n in steps if n in study.folder.manifest["steps"]]
    return {file: digest for files in done for file, digest in files.items()}


def _replied(study: Study) -> dict[str, str]:
    steps = [study.step(arm, measure) for arm in study.arms for measure in study.measures]
    steps.append("evaluations")
    return {f: digest for f, digest in _outputs(study, steps).items() if f.endswith(".jsonl")}
