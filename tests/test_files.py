"""One reader for all: whatever the encoding and the form, a record or an error with its place."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pandas as pd
import pytest

from personalign.errors import CorpusError
from personalign.files import read_csv, read_document, read_records, read_text, rows
from personalign.records import PreferencePair

PAIRS = [
    {
        "prompt": [{"role": "user", "content": f"Bonjour, numéro {k}\u2028dis"}],
        "chosen": [{"role": "assistant", "content": "Oui."}],
        "rejected": [{"role": "assistant", "content": "Non."}],
        "origin": {},
    }
    for k in range(3)
]
LINES = "".join(json.dumps(p, ensure_ascii=False) + "\n" for p in PAIRS)


def _write(path: Path, data: str | bytes) -> Path:
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


@pytest.mark.parametrize(
    "data",
    [
        LINES.encode(),
        LINES.encode("utf-8-sig"),
        LINES.replace("\n", "\r\n").encode("utf-8-sig"),
        json.dumps(PAIRS).encode(),
        json.dumps(PAIRS, indent=2).encode(),
        gzip.compress(LINES.encode()),
        gzip.compress(json.dumps(PAIRS).encode()),
    ],
    ids=["lines", "bom", "bom-crlf", "array", "pretty", "gz", "gz-array"],
)
def test_every_form_reads_alike(tmp_path: Path, data: bytes) -> None:
    found = read_records(_write(tmp_path / "pairs.jsonl", data), PreferencePair)
    assert [p.model_dump(mode="json") for p in found] == PAIRS


def test_parquet_reads_alike(tmp_path: Path) -> None:
    file = tmp_path / "pairs.parquet"
    pd.DataFrame([{**p, "origin": None} for p in PAIRS]).to_parquet(file)
    assert [p.model_dump(mode="json") for p in read_records(file, PreferencePair)] == PAIRS


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_reads_whatever_parts_its_cells(tmp_path: Path, delimiter: str) -> None:
    text = delimiter.join(["a", "b"]) + "\r\n" + delimiter.join(["1", '"x\u2028y"']) + "\r\n"
    file = _write(tmp_path / "t.csv", text.encode("utf-8-sig"))
    assert [r.cells for r in rows(file)] == [{"a": "1", "b": "x\u2028y"}]
    assert next(read_csv(file, ("a", "b"))).line == 2


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (LINES.encode("utf-16"), "is UTF-16, not UTF-8"),
        (LINES.encode("utf-16-le"), "UTF-16, or no text"),
        ("\n{\"a\": \"café\"}".encode("cp1252"), r":2: not UTF-8 .*CP1252 it says .*café"),
        (b"PK\x03\x04 rest", "a zip archive"),
        (gzip.compress(LINES.encode())[:-20], "damaged gzip"),
        ('{"a": 1}\n["b"]\n', ":2: a list, not a JSON object"),
        ('"plain"\n', ":1: a string, not a JSON object"),
        ('{"a": NaN}\n', ":1: NaN is no number"),
        ('{"a": 1, "a": 2}\n', ":1: key 'a' stands twice"),
        ('[{"a": 1},\n{"a": }]', ":2: not JSON"),
        ('[{"a": 1}\n{"a": 2}]', ":1: no comma"),
        ('{"a": 1}\n{\n', ":2: not JSON"),
    ],
)  # fmt: skip
def test_what_is_no_record_is_named(tmp_path: Path, data: str | bytes, said: str) -> None:
    file = _write(tmp_path / "pairs.jsonl", data)
    with pytest.raises(CorpusError, match=said) as e:
        list(rows(file))
    assert "\n" not in str(e.value)
    assert "pairs.jsonl" in str(e.value)


@pytest.mark.parametrize("name", ["study.yaml", "study.json"])
def test_a_document_of_another_encoding_is_one_line(tmp_path: Path, name: str) -> None:
    file = _write(tmp_path / name, '{"name": "café"}'.encode("cp1252"))
    with pytest.raises(CorpusError, match=rf"{name}:1: not UTF-8"):
        read_document(file)


def test_a_key_twice_is_named_with_both_lines(tmp_path: Path) -> None:
    file = _write(tmp_path / "study.yaml", "name: s\ntraining:\n  a: 1\n  b: 2\n  a: 3\n")
    with pytest.raises(CorpusError, match=r"study\.yaml:5: key 'a' stands twice, first in line 3"):
        read_document(file)


def test_a_merged_key_may_be_said_anew(tmp_path: Path) -> None:
    file = _write(tmp_path / "s.yaml", "x: &x {a: 1, b: 2}\ny:\n  <<: *x\n  a: 3\n")
    assert read_document(file).data["y"] == {"a": 3, "b": 2}


def test_a_missing_file_and_a_folder_are_one_line(tmp_path: Path) -> None:
    for path in (tmp_path / "no.jsonl", tmp_path):
        with pytest.raises(CorpusError, match="cannot read"):
            read_text(path)
        with pytest.raises(CorpusError, match="cannot read"):
            list(rows(path))


def test_bad_rows_can_be_skipped_and_are_told(tmp_path: Path) -> None:
    lines = LINES.split("\n")
    file = _write(tmp_path / "pairs.jsonl", "\n".join([lines[0], '{"prompt": 1}', lines[1]]))
    told: list[CorpusError] = []
    assert len(read_records(file, PreferencePair, told.append)) == 2
    assert [":2: " in str(e) for e in told] == [True]
