"""From a study's table of scores to a verdict for every persona under every condition."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd

from personalign.measures import Margins, Measure
from personalign.personas import Persona
from personalign.psychometrics import verify as verification
from personalign.psychometrics.verify import Spoken
from personalign.records import BASE, Arm

__all__ = ["margins", "positions", "reach", "rows_of", "shown", "verdicts"]


def verdicts(folder: Path) -> Sequence[verification.Verification]:
    """The verdicts of a finished study."""
    data = json.loads((folder / "verification.json").read_text(encoding="utf-8"))
    return [verification.Verification.model_validate(v) for v in data["verifications"]]


def reach(
    personas: Mapping[str, Persona],
    arms: Sequence[Arm],
    measures: Sequence[Measure],
    counterparts: Mapping[str, str | None],
    scores: pd.DataFrame,
    seed: int,
) -> Iterator[verification.Verification]:
    """A verdict for each arm but the base, in the order of the arms.

    Args:
        counterparts: Persona → whose reply stands against its own.
        scores: Of all arms and measures.
    """
    moving = [m for m in measures if m.voice and not m.text]
    base = positions(moving, scores, BASE)
    for arm in arms[1:]:
        yield verification.verify(
            personas[arm.persona],
            arm.condition,
            base,
            positions(moving, scores, arm),
            margins(measures, scores, arm, counterparts[arm.persona]),
            seed,
            {m.name for m in measures if m.centred},
            *shown((m, rows_of(scores, BASE, m), rows_of(scores, arm, m)) for m in measures),
            {m.name: m.smallest for m in measures},
        )


def shown(
    asked: Iterable[tuple[Measure, pd.DataFrame, pd.DataFrame]],
) -> tuple[pd.DataFrame | None, dict[str, tuple[Spoken, Spoken]]]:
    """How much likelier replies became, None where no measure knows; and by measure of free text,
    what base and arm said.

    Args:
        asked: Measures, each with its rows of base and of the arm.
    """
    gains, spoken = None, {}
    for measure, before, after in asked:
        if gains is None:
            gains = measure.gains(before, after)
        base, arm = measure.spoken(before), measure.spoken(after)
        if base and arm:
            spoken[measure.name] = base, arm
    return gains, spoken


def positions(
    measures: Iterable[Measure], scores: pd.DataFrame, arm: Arm
) -> dict[str, pd.DataFrame]:
    """Measure → unit × scale, of those measures that know scales."""
    found = {m.name: m.positions(rows_of(scores, arm, m)) for m in measures}
    return {name: units for name, units in found.items() if units is not None}


def margins(
    measures: Iterable[Measure], scores: pd.DataFrame, arm: Arm, other: str | None
) -> Margins | None:
    """Own reply minus its counterpart's, by sample: under base and under the arm.

    None where no measure knows them.
    """
    for measure in measures:
        base, after = (rows_of(scores, a, measure) for a in (BASE, arm))
        if other and (found := measure.margins(base, after, arm.persona, other)):
            return found
    return None


def rows_of(scores: pd.DataFrame, arm: Arm, measure: Measure) -> pd.DataFrame:
    """The rows of one measure of one arm."""
    return scores[
        (scores["persona"] == arm.persona)
        & (scores["condition"] == arm.condition)
        & (scores["seed"] == arm.seed)
        & (scores["task"] == measure.task)
    ]
