"""The one long table that all statistics read, as a data frame, a parquet file, and a matrix."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from personalign.errors import InputError, RunError
from personalign.records import Arm, Condition, ScoreRow, State

__all__ = ["ABSENT", "SCHEMA", "Wide", "read", "to_frame", "validate", "wide", "write"]

SCHEMA = pa.schema(
    [
        pa.field(name, pa.int32(), nullable=False)
        if name in ("seed", "epoch")
        else pa.field(name, pa.float64())
        if name == "value"
        else pa.field(name, pa.string(), nullable=False)
        for name in ScoreRow.model_fields
    ]
)
"""Columns of `scores.parquet`: those of `ScoreRow`, in its order; only `value` may be null."""

ARM = ["persona", "condition", "seed"]
KEY = [*ARM, "task", "metric", "sample", "epoch"]

ABSENT = "absent"
"""What a matrix says where the table has no row at all for a sample in an arm."""


@dataclass(frozen=True)
class Wide:
    """One metric of one task as a matrix.

    Attributes:
        samples: (n,) names of the samples.
        arms: (a,) the arms, sorted: `base` first.
        values: (n, a) mean over epochs with a value; NaN where there is none.
        states: (n, a) `ok`, or the state of the first epoch, or `absent`.
        clusters: (n,) cluster numbers from 0.
        names: names of the clusters, by number.
        binary: whether every measurement is 0 or 1.
    """

    samples: tuple[str, ...]
    arms: tuple[Arm, ...]
    values: NDArray[np.float64]
    states: NDArray[np.str_]
    clusters: NDArray[np.intp]
    names: tuple[str, ...]
    binary: bool


def to_frame(rows: Iterable[ScoreRow]) -> pd.DataFrame:
    """The long table of score rows, validated.

    Raises:
        InputError: as `validate`.
    """
    listed = list(rows)
    columns = {name: [getattr(row, name) for row in listed] for name in SCHEMA.names}
    return validate(pa.table(columns, schema=SCHEMA).to_pandas())


def read(path: Path) -> pd.DataFrame:
    """The long table from a parquet file, validated.

    Raises:
        InputError: if it cannot be read, has other columns, or as `validate`.
    """
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as e:
        raise InputError(f"cannot read scores {path}: {e}", "check the path, or score again") from e
    if "seed" not in table.column_names:  # tables before 0.2 hold one seed
        table = table.append_column("seed", pa.array([0] * len(table), pa.int32()))
    if set(table.column_names) != set(SCHEMA.names):
        odd = sorted(set(table.column_names) ^ set(SCHEMA.names))
        raise InputError(f"{path}: columns {odd} are too many or missing", "score the run again")
    try:
        return validate(table.select(SCHEMA.names).cast(SCHEMA).to_pandas())
    except (ValueError, pa.ArrowInvalid) as e:
        raise InputError(f"{path}: {e}", "score the run again") from e


def write(frame: pd.DataFrame, path: Path) -> Path:
    """Write the long table whole or not at all, after validating it.

    Raises:
        InputError: as `validate`.
        RunError: if the disk refuses.
    """
    table = pa.Table.from_pandas(validate(frame)[SCHEMA.names], SCHEMA, preserve_index=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as folder:
            _write_synced(table, fresh := Path(folder) / path.name)
            fresh.replace(path)
    except OSError as e:
        raise RunError(
            f"cannot write {path}: {e.strerror or e}", "free the disk, or allow it"
        ) from e
    return path


def validate(frame: pd.DataFrame) -> pd.DataFrame:
    """The same table, if statistics may be computed on it.

    Raises:
        InputError: for missing columns, unknown conditions or states, a value without state `ok` or
            the reverse, a value that is not finite, several runs or base models, a sample in two
            clusters, or a measurement that stands there twice.
    """
    _columns(frame)
    for condition in frame["condition"].unique():
        Condition(condition)
    _known(frame, "state", get_args(State))
    _values(frame)
    _single(frame, "run")
    _single(frame, "base_model")
    _clusters(frame)
    _duplicates(frame)
    return frame


def wide(frame: pd.DataFrame, task: str, metric: str) -> Wide:
    """One metric of one task as samples × arms, with what is missing kept.

    Epochs of a sample are averaged over those that carry a value, so that the sample stays
    the unit.

    Raises:
        InputError: if the table holds no such metric of such a task.
    """
    rows = frame[(frame["task"] == task) & (frame["metric"] == metric)].sort_values("epoch")
    if rows.empty:
        raise InputError(f"no scores for metric {metric!r} of task {task!r}", "check the names")
    cells = rows.groupby(["sample", *ARM], sort=True)
    values = cells["value"].mean().unstack(ARM)
    found: list[Any] = values.columns.tolist()
    order = sorted(found, key=lambda a: (a[0], Condition(a[1]).order, a[2]))
    states = cells["state"].first().where(cells["value"].count() == 0, "ok")
    clusters = rows.groupby("sample", sort=True)["cluster"].first()
    names, codes = np.unique(clusters.to_numpy(dtype=str), return_inverse=True)
    return Wide(
        samples=tuple(values.index),
        arms=tuple(Arm(persona=p, condition=c, seed=s) for p, c, s in order),
        values=values[order].to_numpy(dtype=float),
        states=states.unstack(ARM)[order].fillna(ABSENT).to_numpy(dtype=str),
        clusters=codes,
        names=tuple(names.tolist()),
        binary=bool(rows["value"].dropna().isin([0.0, 1.0]).all()),
    )


def _write_synced(table: pa.Table, path: Path) -> None:
    with path.open("wb") as file:
        pq.write_table(table, file)
        file.flush()
        os.fsync(file.fileno())


def _columns(frame: pd.DataFrame) -> None:
    if lacking := [c for c in SCHEMA.names if c not in frame.columns]:
        raise InputError(
            f"the score table lacks {lacking}", "build it with analysis.table.to_frame"
        )
    if empty := [c for c in SCHEMA.names if c != "value" and frame[c].isna().any()]:
        raise InputError(f"the score table has empty cells in {empty}", "score the run again")


def _known(frame: pd.DataFrame, column: str, known: tuple[str, ...]) -> None:
    if odd := sorted(set(frame[column].unique()) - set(known)):
        raise InputError(
            f"unknown {column} {odd[0]!r} in the score table", f"known: {', '.join(known)}"
        )


def _values(frame: pd.DataFrame) -> None:
    odd = frame["value"].notna() != (frame["state"] == "ok")
    if odd.any():
        row = frame[odd].iloc[0]
        what = f"sample {row['sample']!r}: state {row['state']!r} with value {float(row['value'])}"
        raise InputError(what, "exactly the measurements in state 'ok' carry a value")
    if np.isinf(frame["value"].to_numpy(dtype=float)).any():
        raise InputError("a value in the score table is infinite", "give it a state instead")


def _single(frame: pd.DataFrame, column: str) -> None:
    if len(found := sorted(frame[column].unique())) > 1:
        raise InputError(
            f"the score table mixes {column} {', '.join(map(repr, found[:3]))}",
            "analyse one run at a time; comparing runs is the report's",
        )


def _clusters(frame: pd.DataFrame) -> None:
    pairs = frame[["task", "sample", "cluster"]].drop_duplicates()
    twice = pairs[pairs.duplicated(["task", "sample"])]
    if len(twice):
        row = twice.iloc[0]
        what = f"sample {row['sample']!r} of task {row['task']!r} is in several clusters"
        raise InputError(what, "give a sample the same cluster in every arm")


def _duplicates(frame: pd.DataFrame) -> None:
    twice = frame.duplicated(KEY)
    if twice.any():
        row = frame[twice].iloc[0]
        where = ", ".join(f"{k} {row[k]!r}" for k in KEY)
        raise InputError(f"measured more than once: {where}", "drop one, or number the epochs")
