"""The one reader and the one writer of files: every error names file and line.

Text is UTF-8, with or without a byte-order mark, gzipped or not; another encoding is refused by its
name. Records come from JSON Lines, a JSON array, CSV or parquet, and a caller need not know which.
"""

from __future__ import annotations

import csv
import gzip
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple, NoReturn, TypeVar, cast

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError

from personalign.errors import CorpusError, RunError

__all__ = [
    "Document",
    "Lines",
    "Row",
    "cannot_write",
    "read_csv",
    "read_document",
    "read_lines",
    "read_records",
    "read_text",
    "rows",
    "stream",
    "validated",
    "write_atomic",
    "wrong",
]

R = TypeVar("R", bound=BaseModel)
Place = tuple[int | str, ...]

GZIP, PARQUET = b"\x1f\x8b", b"PAR1"
MARKS = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
    b"PK\x03\x04": "a zip archive",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
    b"BZh": "compressed with bzip2",
    b"\xfd7zXZ": "compressed with xz",
}
"""How files begin that are no UTF-8 text, the longer marks first."""

UTF8 = "save the file as UTF-8"
DELIMITERS = ",;\t"


class Document(NamedTuple):
    """A YAML or JSON file: what it holds, and its text, to look up lines in."""

    path: Path
    text: str
    data: Any

    def line(self, place: Place) -> int:
        """Line, from 1, of the value that keys and indices lead to, or of what would hold it."""
        node = yaml.compose(self.text.replace("\t", " "), Loader=yaml.SafeLoader)
        for step in place:
            below = _child(node, step)
            if below is None:
                break
            node = below
        return 1 if node is None else int(node.start_mark.line) + 1

    def error(self, place: Place, what: str, remedy: str = "mend the file") -> CorpusError:
        """An error about one value."""
        where = ".".join(map(str, place))
        return CorpusError(f"{self.path}:{self.line(place)}: {where}: {what}", remedy)

    def as_record(self, kind: type[R], remedy: str = "mend the file") -> R:
        """The whole file as a record.

        Raises:
            CorpusError: naming file, line and field.
        """
        return validated(kind, self.data, lambda place, what: self.error(place, what, remedy))


class Row(NamedTuple):
    """One record of a file: a JSON object, or a line of a table by column.

    `line` is where it begins, from 1; in a parquet file, which has no lines, the row's number.
    """

    path: Path
    line: int
    cells: dict[str, Any]

    def error(self, what: str, remedy: str = "mend the line") -> CorpusError:
        """An error about this row."""
        return CorpusError(f"{self.path}:{self.line}: {what}", remedy)

    def sign(self, column: str) -> int:
        """A cell that must hold 1 or -1."""
        try:
            return {"1": 1, "+1": 1, "+": 1, "-1": -1, "-": -1}[self.cells[column]]
        except KeyError:
            raise self.error(f"{column} is {self.cells[column]!r}", "write 1 or -1") from None

    def as_record(self, kind: type[R]) -> R:
        """The row as a record.

        Raises:
            CorpusError: naming file, line and field.
        """
        return validated(
            kind, self.cells, lambda place, what: self.error(f"{'.'.join(map(str, place))}: {what}")
        )


def validated(kind: type[R], data: Any, error: Callable[[Place, str], CorpusError]) -> R:
    """A record from plain data; `error` makes the exception for a place in it."""
    try:
        return kind.model_validate(data)
    except ValidationError as e:
        first: Any = e.errors()[0]
        place = first["loc"] or first.get("ctx", {}).get("place") or (kind.__name__,)
        raise error(place, first["msg"]) from e


def wrong(place: Place, what: str) -> PydanticCustomError:
    """What a validator of a whole record raises about one place in it."""
    return PydanticCustomError("wrong", "{what}", {"what": what, "place": place})


# Text.


def read_lines(path: Path) -> Iterator[str]:
    """The lines of a text file one at a time, each with its end; only a line feed ends one.

    Raises:
        CorpusError: naming file, line and encoding of what is not UTF-8.
    """
    try:
        with _opened(path) as file:
            for number, raw in enumerate(file, start=1):
                yield _decoded(path, number, raw)
    except (EOFError, gzip.BadGzipFile) as e:
        raise CorpusError(f"{path}: damaged gzip file: {e}", "get the file again") from e
    except OSError as e:
        raise CorpusError(f"cannot read {path}: {e.strerror}", "check the path") from e


def read_text(path: Path) -> str:
    """A text file, its line ends as line feeds.

    Raises:
        CorpusError: naming file, line and encoding of what is not UTF-8.
    """
    return "".join(read_lines(path)).replace("\r\n", "\n")


def _opened(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        head = file.read(4)
    return cast(IO[bytes], gzip.open(path) if head.startswith(GZIP) else path.open("rb"))


def _decoded(path: Path, number: int, raw: bytes) -> str:
    if number == 1 and (mark := next((m for m in MARKS if raw.startswith(m)), None)):
        raise CorpusError(f"{path} is {MARKS[mark]}, not UTF-8 text", UTF8)
    if b"\0" in raw:
        raise CorpusError(f"{path}:{number}: not UTF-8 text: UTF-16, or no text at all", UTF8)
    try:
        return raw.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as e:
        around = raw[max(e.start - 15, 0) : e.start + 15].decode("cp1252", "replace").strip()
        what = f"not UTF-8 at byte {e.start} of the line; read as CP1252 it says {around!r}"
        raise CorpusError(f"{path}:{number}: {what}", UTF8) from e


# Documents.


def read_document(path: Path) -> Document:
    """A file whose name ends in `.json`, or else YAML; in both, a key stands once.

    Raises:
        CorpusError: naming file and line of what is wrong with it.
    """
    text = read_text(path)
    is_json = ".json" in path.suffixes[-2:]
    try:
        return Document(path, text, _json(path, text) if is_json else _yaml(path, text))
    except RecursionError as e:
        raise CorpusError(f"{path}: nested too deeply", "mend the file") from e


def _yaml(path: Path, text: str) -> Any:
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _keys_once(path, node, set())
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as e:
        line = e.problem_mark.line + 1 if e.problem_mark else 1
        raise CorpusError(f"{path}:{line}: not YAML: {e.problem}", "mend the line") from e
    except (yaml.YAMLError, ValueError) as e:
        raise CorpusError(f"{path} is not YAML: {' '.join(str(e).split())}", "mend the file") from e


def _keys_once(path: Path, node: yaml.Node, walked: set[int]) -> None:
    """Refuse a mapping in which a key stands twice: YAML's readers let the last one win."""
    if id(node) in walked or not isinstance(node, yaml.CollectionNode):
        return
    walked.add(id(node))
    first: dict[tuple[str, str], int] = {}
    for below in node.value:
        key, value = below if isinstance(below, tuple) else (None, below)
        if isinstance(key, yaml.ScalarNode):
            name, line = (key.tag, key.value), key.start_mark.line + 1
            if name in first:
                what = f"key {key.value!r} stands twice, first in line {first[name]}"
                raise CorpusError(f"{path}:{line}: {what}", "take one of them out")
            first[name] = line
        _keys_once(path, value, walked)


def _json(path: Path, text: str, line: int = 1) -> Any:
    try:
        return DECODER.decode(text)
    except json.JSONDecodeError as e:
        raise _not_json(path, e, line) from e
    except ValueError as e:
        raise CorpusError(f"{path}:{line}: {e}", "mend it") from e


def _not_json(path: Path, e: json.JSONDecodeError, line: int = 1) -> CorpusError:
    where = f"{path}:{line + e.lineno - 1}"
    return CorpusError(f"{where}: not JSON: {e.msg} at column {e.colno}", "mend the line")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [key for key, _ in pairs]
        twice = next(key for key in names if names.count(key) > 1)
        raise ValueError(f"key {twice!r} stands twice in one object")
    return found


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_number)


# Records.


def rows(path: Path) -> Iterator[Row]:
    """The records of a file one at a time, whatever form it is in.

    Forms: JSON Lines, a JSON array, CSV (comma, semicolon or tab) by the name, parquet; each of the
    text forms may be gzipped. What is null in a parquet file is absent.

    Raises:
        CorpusError: naming file and line of what is no record.
    """
    if path.is_file() and _begins(path, PARQUET):
        return _parquet(path)
    if {".csv", ".tsv"} & {s.lower() for s in path.suffixes[-2:]}:
        return _table(path)
    return _objects(path)


def stream(
    path: Path, kind: type[R], skip: Callable[[CorpusError], None] | None = None
) -> Iterator[R]:
    """Records of one kind from a file, one at a time.

    Args:
        path: A file in any form that `rows` reads.
        kind: What each row is.
        skip: Told of each row that is none, which is then left out; without it, such a row raises.

    Raises:
        CorpusError: naming file, line and field.
    """
    for row in rows(path):
        try:
            record = row.as_record(kind)
        except CorpusError as e:
            if skip is None:
                raise
            skip(e)
        else:
            yield record


def read_records(
    path: Path, kind: type[R], skip: Callable[[CorpusError], None] | None = None
) -> list[R]:
    """All records of one kind from a file: `stream` as a list."""
    return list(stream(path, kind, skip))


def read_csv(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    """The rows of a CSV file that must have these columns, none of them empty but the last.

    Raises:
        CorpusError: for a missing column or an empty cell, with file and line.
    """
    for row in _table(path, columns):
        cells = {c: row.cells[c].strip() for c in columns}
        if empty := [c for c in columns[:-1] if not cells[c]]:
            raise row.error(f"{empty[0]} is empty")
        yield row._replace(cells=cells)


def _begins(path: Path, mark: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(mark)) == mark


def _objects(path: Path) -> Iterator[Row]:
    """JSON Lines, or an array that may stand on any number of lines."""
    numbered = enumerate(read_lines(path), start=1)
    first = next(((n, line) for n, line in numbered if line.strip()), None)
    if first is None:
        return
    if first[1].lstrip().startswith("["):
        text = first[1] + "".join(line for _, line in numbered)
        yield from (_row(path, n, value) for n, value in _elements(path, text, first[0]))
        return
    for number, line in itertools.chain([first], numbered):
        if line.strip():
            yield _row(path, number, _json(path, line.strip(), number))


def _row(path: Path, number: int, value: Any) -> Row:
    if not isinstance(value, dict):
        kind = {str: "a string", list: "a list", type(None): "null"}.get(type(value), "a number")
        raise CorpusError(f"{path}:{number}: {kind}, not a JSON object", "give one object a record")
    return Row(path, number, value)


def _elements(path: Path, text: str, line: int) -> Iterator[tuple[int, Any]]:
    """The elements of a JSON array, each with the line on which it begins."""
    at, seen = text.index("[") + 1, 0
    while True:
        at = _past_space(text, at)
        if text[at : at + 1] == "]":
            break
        line, seen = line + text.count("\n", seen, at), at
        try:
            value, at = DECODER.raw_decode(text, at)
        except json.JSONDecodeError as e:
            raise CorpusError(f"{path}:{line}: not JSON: {e.msg}", "mend the array") from e
        except ValueError as e:
            raise CorpusError(f"{path}:{line}: {e}", "mend it") from e
        yield line, value
        at = _past_space(text, at)
        if text[at : at + 1] not in (",", "]"):
            raise CorpusError(f"{path}:{line}: no comma after this element", "mend the array")
        at += text[at] == ","
    if text[at + 1 :].strip():
        raise CorpusError(f"{path}: more text after the array", "give one array, or JSON Lines")


def _past_space(text: str, at: int) -> int:
    while text[at : at + 1].isspace():
        at += 1
    return at


def _table(path: Path, columns: Sequence[str] = ()) -> Iterator[Row]:
    lines = read_lines(path)
    header = next(lines, "")
    delimiter = max(DELIMITERS, key=header.count)
    reader = csv.DictReader(
        itertools.chain([header], lines), delimiter=delimiter, skipinitialspace=True, restval=""
    )
    found = list(reader.fieldnames or ())
    if lacking := [c for c in columns if c not in found]:
        remedy = f"its columns are: {', '.join(found)}"
        raise CorpusError(f"{path}:1: no column {lacking[0]!r}", remedy)
    try:
        for cells in reader:
            row = Row(path, reader.line_num, cells)
            if None in cells:
                raise row.error(f"more than {len(found)} cells", "quote text that holds commas")
            yield row
    except csv.Error as e:
        raise CorpusError(f"{path}:{reader.line_num}: not CSV: {e}", "mend the line") from e


def _parquet(path: Path) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        batches = pq.ParquetFile(path).iter_batches()
        found = (row for batch in batches for row in batch.to_pylist())
        for number, row in enumerate(found, start=1):
            yield Row(path, number, {k: v for k, v in row.items() if v is not None})
    except pa.ArrowException as e:
        brief = str(e).split("\n")[0]
        raise CorpusError(f"{path}: damaged parquet file: {brief}", "get the file again") from e


def _child(node: Any, step: int | str) -> Any:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(step):
                return value if isinstance(value, yaml.CollectionNode) else key
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step]
    return None


# Writing.


def write_atomic(path: Path, data: str | bytes) -> Path:
    """Write a file whole or not at all: temporary file, fsync, rename."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as f:
                f.write(data.encode() if isinstance(data, str) else data)
                f.flush()
                os.fsync(f.fileno())
            Path(name).chmod(0o644)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as e:
        raise cannot_write(path, e) from e
    return path


def cannot_write(path: Path, error: OSError) -> RunError:
    """The error for a full disk or an unwritable folder."""
    free = shutil.disk_usage(path.anchor or ".").free // 2**20
    return RunError(
        f"cannot write {path}: {error.strerror} ({free} MiB free)",
        "make room or choose another folder with --out, then run the same command again: "
        "finished steps are kept",
    )


class Lines:
    """Records written one at a time to a file that appears only when all are there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self._part = path.with_name(f".{path.name}.part")
        self._file: IO[str]

    def __enter__(self) -> Lines:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._part.open("w", encoding="utf-8")
        return self

    def add(self, record: BaseModel) -> None:
        self._file.write(record.model_dump_json() + "\n")
        self.count += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        if kind is None:
            self._part.replace(self.path)
        else:
            self._part.unlink()
