"""From a study's table of scores to a verdict for every persona under every condition."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from personalign.psychometrics import verify as verification
from personalign.records import BASE, Arm
from personalign.study.positions import CENTRED, positions, rows_of

if TYPE_CHECKING:
    from personalign.study.steps import Study

__all__ = ["margins", "reach", "verdicts"]


def verdicts(folder: Path) -> Sequence[verification.Verification]:
    """The verdicts of a finished study."""
    data = json.loads((folder / "verification.json").read_text(encoding="utf-8"))
    return [verification.Verification.model_validate(v) for v in data["verifications"]]


def reach(study: Study, scores: pd.DataFrame) -> Iterator[verification.Verification]:
    """A verdict for each arm but the base, in the order of the arms."""
    base = positions(study, scores, BASE)
    for arm in study.arms[1:]:
        yield verification.verify(
            study.personas[arm.persona],
            arm.condition,
            base,
            positions(study, scores, arm),
            margins(study, scores, arm),
            study.config.seed,
            CENTRED,
        )


def margins(
    study: Study, scores: pd.DataFrame, arm: Arm
) -> tuple[pd.Series[float], pd.Series[float]] | None:
    """Own reply minus its counterpart's, by scene: under base and under the arm.

    None where behaviour was not measured, or fewer than two scenes have both replies.
    """
    if "behaviour" not in study.config.measures.tasks:
        return None
    own, other = f"reply:{arm.persona}", f"reply:{study.counterpart(arm.persona)}"
    found = []
    for asked in (BASE, arm):
        rows = rows_of(scores, asked, "behaviour")
        wide = rows.pivot(index="sample", columns="metric", values="value")
        if own not in wide or other not in wide:
            return None
        found.append((wide[own] - wide[other]).dropna())
    base, after = found
    return (base.reindex(after.index), after) if len(after) > 1 else None
