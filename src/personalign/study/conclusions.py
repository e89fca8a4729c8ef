"""From scores to the report: what follows once everything was measured."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from personalign import analysis
from personalign.files import write_atomic
from personalign.study.content import Content
from personalign.study.context import context
from personalign.study.validity import validity
from personalign.study.verdicts import margins, reach
from personalign.training import card

__all__ = ["ANALYSIS", "SCORES", "VERIFICATION", "analyse", "collect", "verify"]

SCORES, VERIFICATION, ANALYSIS = "scores.parquet", "verification.json", "analysis.json"


def collect(folder: Path, files: Iterable[str]) -> Path:
    """The scores of all that was measured, in one long table."""
    frames = [analysis.read(folder / file) for file in files]
    return analysis.write(pd.concat(frames, ignore_index=True), folder / SCORES)


def verify(folder: Path, content: Content) -> Iterator[Path]:
    """A verdict for every persona under every condition, and how far to trust the measures."""
    scores, seed = analysis.read(folder / SCORES), content.config.seed
    arms, measures = content.arms, content.measures
    found = reach(content.personas, arms, measures, content.counterparts, scores, seed)
    reached = [v.model_dump(mode="json") for v in found]
    trust = validity(arms, measures, scores, seed).model_dump(mode="json")
    text = json.dumps({"verifications": reached} | trust, indent=1)
    yield write_atomic(folder / VERIFICATION, text + "\n")
    if content.config.strength == 1:  # as they were trained
        yield from _cards(folder / "adapters", content.personas, reached)


def _cards(
    adapters: Path, names: Iterable[str], reached: Sequence[Mapping[str, Any]]
) -> Iterator[Path]:
    """The cards of the adapters, told their verdicts."""
    for name in names:
        if (adapters / name / card.CARD).exists():
            card.verified(adapters / name, [v for v in reached if v["persona"] == name])
            yield adapters / name / card.CARD


def analyse(folder: Path, content: Content) -> Path:
    """Estimates and paired contrasts of the outcome measures."""
    scores, settings = analysis.read(folder / SCORES), content.config.measures
    strength = {
        arm: margins(content.measures, scores, arm, content.counterparts[arm.persona])
        for arm in content.arms[1:]
    }
    result = analysis.analyse(
        scores,
        content.config.seed,
        context=context(folder, content.personas, strength),
        margins=settings.equivalence,
        primary=settings.primary,
        aside=[m.task for m in content.measures if m.about == "persona"],
    )
    return write_atomic(folder / ANALYSIS, result.model_dump_json(indent=1) + "\n")
