"""The long table: what is accepted, what is refused, and that nothing gets lost on the way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from personalign.analysis import table
from personalign.errors import InputError, RunError
from personalign.records import Arm, ScoreRow

NAMES = st.text(min_size=1, max_size=8).filter(lambda s: s.isprintable())


def test_columns_are_those_of_a_score_row() -> None:
    assert table.SCHEMA.names == list(ScoreRow.model_fields)


def test_round_trip_through_parquet(study, tmp_path: Path) -> None:
    frame = table.to_frame(study(missing=0.2))
    path = table.write(frame, tmp_path / "scores.parquet")
    pd.testing.assert_frame_equal(table.read(path), frame)
    assert pq.read_schema(path).remove_metadata() == table.SCHEMA
    assert [p.name for p in tmp_path.iterdir()] == ["scores.parquet"]


@given(st.dictionaries(NAMES, st.one_of(st.none(), st.floats(-1e9, 1e9)), max_size=8))
def test_rows_survive_as_they_are(values: dict[str, float | None]) -> None:
    rows = [
        ScoreRow(
            run="r",
            base_model="m",
            persona="",
            condition="base",
            task="t",
            sample=name,
            cluster=name,
            metric="x",
            value=v,
            state="refused" if v is None else "ok",
        )
        for name, v in values.items()
    ]
    frame = table.to_frame(rows)
    back = [
        ScoreRow(**(r | {"value": None if np.isnan(r["value"]) else r["value"]}))
        for r in frame.to_dict("records")
    ]
    assert back == rows


def test_a_duplicate_is_refused_by_name(row) -> None:
    with pytest.raises(InputError, match=r"more than once.*sample 's7'"):
        table.to_frame([row(sample="s7", cluster="c"), row(sample="s7", cluster="c")])


def test_epochs_are_not_duplicates(row) -> None:
    assert len(table.to_frame([row(), row(epoch=1)])) == 2


@pytest.mark.parametrize("column", ["run", "base_model"])
def test_mixed_runs_are_refused(row, column: str) -> None:
    with pytest.raises(InputError, match=f"mixes {column}"):
        table.to_frame([row(), row(sample="s1", cluster="s1", **{column: "other"})])


def test_a_sample_in_two_clusters_is_refused(row) -> None:
    with pytest.raises(InputError, match="several clusters"):
        table.to_frame([row(), row(persona="INFP", condition="adapter", cluster="elsewhere")])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"state": "fine"}, "unknown state 'fine'"),
        ({"condition": "dreaming"}, "unknown condition 'dreaming'"),
        ({"value": np.nan}, "state 'ok' with value nan"),
        ({"state": "refused"}, "state 'refused' with value 0.0"),
        ({"value": np.inf}, "infinite"),
        ({"task": None}, r"empty cells in \['task'\]"),
    ],
)
def test_a_bad_cell_is_refused(row, change: dict[str, object], message: str) -> None:
    frame = table.to_frame([row()]).assign(**change)
    with pytest.raises(InputError, match=message):
        table.validate(frame)


def test_a_missing_column_is_refused(row) -> None:
    with pytest.raises(InputError, match="lacks"):
        table.validate(table.to_frame([row()]).drop(columns="cluster"))


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        table.read(tmp_path / "none.parquet")
    (tmp_path / "bad.parquet").write_text("not parquet")
    with pytest.raises(InputError, match="cannot read"):
        table.read(tmp_path / "bad.parquet")
    pd.DataFrame({"x": [1]}).to_parquet(tmp_path / "other.parquet")
    with pytest.raises(InputError, match="too many or missing"):
        table.read(tmp_path / "other.parquet")


def test_a_refusing_disk_leaves_the_old_file(row, tmp_path: Path, monkeypatch) -> None:
    path = table.write(table.to_frame([row()]), tmp_path / "scores.parquet")
    before = path.read_bytes()
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(RunError):
        table.write(table.to_frame([row(), row(epoch=1)]), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["scores.parquet"]


def test_wide_keeps_what_is_missing_and_why(row) -> None:
    infp = {"persona": "INFP", "condition": "adapter"}
    rows = [
        row(sample="a", cluster="k", value=1.0),
        row(sample="b", cluster="k", value=None, state="refused"),
        row(sample="a", cluster="k", value=None, state="judge_error", **infp),
        row(sample="c", cluster="l", value=0.0, **infp),
    ]
    found = table.wide(table.to_frame(rows), "safety", "flagged")
    assert found.samples == ("a", "b", "c")
    assert found.arms == (Arm(persona="", condition="base"), Arm(**infp))
    np.testing.assert_array_equal(found.values, [[1, np.nan], [np.nan, np.nan], [np.nan, 0]])
    assert found.states.tolist() == [
        ["ok", "judge_error"],
        ["refused", "absent"],
        ["absent", "ok"],
    ]
    assert found.clusters.tolist() == [0, 0, 1]
    assert found.binary


def test_wide_averages_epochs_that_have_a_value(row) -> None:
    rows = [
        row(epoch=0, value=None, state="unparsed"),
        row(epoch=1, value=1.0),
        row(epoch=2, value=0.0),
    ]
    found = table.wide(table.to_frame(rows), "safety", "flagged")
    assert found.values.tolist() == [[0.5]]
    assert found.states.tolist() == [["ok"]]


def test_wide_orders_conditions(study) -> None:
    found = table.wide(table.to_frame(study(3)), "safety", "flagged")
    labels = [arm.label for arm in found.arms]
    assert labels[:4] == ["base", "ESTJ · prompted", "ESTJ · adapter", "ESTJ · prompted+adapter"]


def test_wide_names_an_unknown_metric(row) -> None:
    with pytest.raises(InputError, match="'nothing'"):
        table.wide(table.to_frame([row()]), "safety", "nothing")
