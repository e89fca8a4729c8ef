"""How far the judge of an outcome agrees with people: one sentence beside its results."""

from __future__ import annotations

from collections.abc import Mapping

from personalign.analysis.tradeoffs import HARMS
from personalign.judges.calibration import Calibration
from personalign.report.drawing.layout import interval
from personalign.report.words import Words, number

__all__ = ["JUDGED", "agreement_told"]

JUDGED = (*HARMS, "refused", "over_refusal", "hostility", "contempt", "coercion", "indirect")
"""Metrics that a judge gives; calibrations are of judges of harm, and so of `HARMS`."""


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
