"""What an arm answers to a measure, as files of the run."""

from __future__ import annotations

from pathlib import Path

from personalign import analysis
from personalign.files import write_atomic
from personalign.measures import Measure, Scored
from personalign.models.respondent import Respondent
from personalign.progress import Progress
from personalign.records import Arm, ScoreRow, Transcript, to_jsonl

__all__ = ["ask"]


def ask(
    who: Respondent,
    arm: Arm,
    measure: Measure,
    folder: Path,
    run: str,
    base: str,
    progress: Progress,
) -> list[Path]:
    """Put a measure to an arm; the files of its scores and of what was said.

    Args:
        folder: The run's.
        run: Its name, and `base` the base's identity, for the table.
    """
    found = list(measure.ask(who, arm, progress))
    said = [entry for entry in found if isinstance(entry, Transcript)]
    scored = [entry for entry in found if isinstance(entry, tuple)]
    rows = [_row(entry, arm, measure.task, run, base) for entry in scored]
    files, name = [], f"{arm.slug}.{measure.name}"
    if rows:
        path = folder / "scores" / f"{name}.parquet"
        files.append(analysis.write(analysis.to_frame(rows), path))
    if said:
        files.append(write_atomic(folder / "replies" / f"{name}.jsonl", to_jsonl(said)))
    return files


def _row(scored: Scored, arm: Arm, task: str, run: str, base: str) -> ScoreRow:
    sample, cluster, metric, value, state = scored
    return ScoreRow(
        run=run,
        base_model=base,
        persona=arm.persona,
        condition=arm.condition,
        seed=arm.seed,
        task=task,
        sample=sample,
        cluster=cluster,
        metric=metric,
        value=value,
        state=state,
    )
