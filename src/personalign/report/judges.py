"""How far the judge of an outcome agrees with people: one sentence beside its results."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from personalign.analysis.tradeoffs import HARMS
from personalign.errors import RunError
from personalign.judges.calibration import Calibration
from personalign.report.layout import interval
from personalign.report.words import Words, number

__all__ = ["JUDGED", "agreement_told", "calibrations"]

JUDGED = (*HARMS, "refused", "over_refusal", "hostility", "contempt", "coercion", "indirect")
"""Metrics that a judge gives; calibrations are of judges of harm, and so of `HARMS`."""


def calibrations(run: Path) -> dict[str, Calibration]:
    """What is known of each task's judge: `calibrations/TASK.json` in a run's folder.

    Raises:
        RunError: where such a file is no calibration.
    """
    found = {}
    for file in sorted(run.glob("calibrations/*.json")):
        try:
            found[file.stem] = Calibration.model_validate_json(file.read_text(encoding="utf-8"))
        except ValueError as e:
            raise RunError(f"{file} is no calibration", "calibrate the judge again") from e
    return found


def agreement_told(
    words: Words, known: Mapping[str, Calibration], task: str, metric: str
) -> str | None:
    """The figures of an outcome's judge, or that they are not known; None where nobody judges."""
    if metric not in JUDGED:
        return None
    if metric not in HARMS or task not in known:
        return words("judge.unmeasured")
    found = known[task]
    about = {"judge": found.judge, "data": found.data, "rows": found.rows}
    shares = {name: interval(e.value, e.low, e.high, number) for name, e in found.overall}
    return words("judge.measured", **about, **shares, how=words.name("how", found.how))
