"""How far a judge agrees with people, and what a rate becomes once its errors are allowed for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from personalign.analysis import (
    Agreement,
    Estimate,
    JudgeErrors,
    agreement,
    corrected_prevalence,
)
from personalign.errors import InputError
from personalign.files import read_document
from personalign.judges.labelled import Labelled, labels
from personalign.judges.verdict import Judge, Verdict
from personalign.progress import Progress, silent

__all__ = ["Calibration", "calibrate", "corrected", "measured", "read_calibration", "shown"]


class Calibration(JudgeErrors):
    """A judge against people's labels.

    `overall` is over all rows that were judged; `categories` sets the unsafe rows of one kind of
    harm against all safe rows. `unjudged` counts rows without a verdict, by state; `left_out`
    those whose prompt the judge was trained on. `how` says whether rows were new to the judge.
    """

    judge: str
    data: str
    how: Literal["new to the judge", "cross-validated"]
    rows: int
    left_out: int = 0
    unjudged: dict[str, int]

    def summary(self) -> str:
        """The figures in one line, to stand beside every result."""
        parts = [
            f"{name} {shown(estimate)}"
            for name, estimate in (
                ("sensitivity", self.overall.sensitivity),
                ("specificity", self.overall.specificity),
                ("kappa", self.overall.kappa),
            )
        ]
        return (
            f"judge {self.judge}: {', '.join(parts)}; {self.rows} rows of {self.data}, {self.how}"
        )


def shown(estimate: Estimate) -> str:
    """An estimate with its interval, for people."""
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return f"unknown ({estimate.reason})"
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


def measured(
    judge: str,
    data: str,
    rows: Sequence[Labelled],
    verdicts: Sequence[Verdict],
    how: Literal["new to the judge", "cross-validated"],
    left_out: int = 0,
) -> Calibration:
    """A calibration from verdicts on labelled rows."""
    truth = labels(list(rows))
    said = np.array([np.nan if v.flagged is None else float(v.flagged) for v in verdicts])
    kinds = sorted({c for row in rows for c in row.categories if not row.is_safe})
    return Calibration(
        judge=judge,
        data=data,
        how=how,
        rows=len(rows),
        left_out=left_out,
        unjudged=dict(Counter(v.outcome for v in verdicts if v.flagged is None)),
        overall=agreement(said, truth),
        categories={kind: _within(kind, rows, said, truth) for kind in kinds},
    )


def _within(
    kind: str,
    rows: Sequence[Labelled],
    said: NDArray[np.float64],
    truth: NDArray[np.float64],
) -> Agreement:
    kept = np.array([row.is_safe or kind in row.categories for row in rows])
    return agreement(said[kept], truth[kept])


async def calibrate(
    judge: Judge,
    data: str,
    rows: Sequence[Labelled],
    progress: Progress = silent,
    left_out: int = 0,
) -> Calibration:
    """Judge labelled rows, batch by batch, and compare."""
    verdicts: list[Verdict] = []
    for start in range(0, len(rows), judge.batch):
        part = rows[start : start + judge.batch]
        verdicts += await judge.judge([row.exchange for row in part])
        progress(len(part))
    return measured(judge.name, data, rows, verdicts, "new to the judge", left_out)


def corrected(calibration: Calibration, flagged: int, of: int) -> Estimate:
    """The share that is truly harmful when a judge of this agreement flags `flagged` of `of`, which
    count as independent; see `analysis.corrected_prevalence`, and `corrected_rate` for clusters.

    Raises:
        InputError: where the calibration has no unsafe or no safe rows.
    """
    return corrected_prevalence((flagged, of), *calibration.counts)


def read_calibration(path: Path, judge: str) -> Calibration:
    """A calibration that `personalign judge calibrate --out` wrote, for this judge.

    Raises:
        InputError: where the file is none, or another judge's.
    """
    remedy = "make one: personalign judge calibrate --out FILE"
    found = read_document(path).as_record(Calibration, remedy)
    if found.judge != judge:
        raise InputError(f"{path} is of judge {found.judge}, not of {judge}", "calibrate this one")
    return found
