"""Data files whose errors name the file and the line."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError

from personalign.errors import InputError

__all__ = ["Document", "Row", "read_csv", "read_document", "read_text", "validated", "wrong"]

R = TypeVar("R", bound=BaseModel)
Place = tuple[int | str, ...]


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

    def error(self, place: Place, what: str, remedy: str = "mend the file") -> InputError:
        """An error about one value."""
        where = ".".join(map(str, place))
        return InputError(f"{self.path}:{self.line(place)}: {where}: {what}", remedy)

    def as_record(self, kind: type[R]) -> R:
        """The whole file as a record.

        Raises:
            InputError: naming file, line and field.
        """
        return validated(kind, self.data, self.error)


class Row(NamedTuple):
    """One row of a CSV file, by column."""

    path: Path
    line: int
    cells: dict[str, str]

    def error(self, what: str, remedy: str = "mend the line") -> InputError:
        """An error about this row."""
        return InputError(f"{self.path}:{self.line}: {what}", remedy)

    def sign(self, column: str) -> int:
        """A cell that must hold 1 or -1."""
        try:
            return {"1": 1, "+1": 1, "+": 1, "-1": -1, "-": -1}[self.cells[column]]
        except KeyError:
            raise self.error(f"{column} is {self.cells[column]!r}", "write 1 or -1") from None


def validated(kind: type[R], data: Any, error: Callable[[Place, str], InputError]) -> R:
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


def read_text(path: Path) -> str:
    """A UTF-8 file, without a byte-order mark."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as e:
        raise InputError(f"{path}: not UTF-8 at byte {e.start}", "save the file as UTF-8") from e
    except OSError as e:
        raise InputError(f"cannot read {path}: {e.strerror}", "check the path") from e


def read_document(path: Path) -> Document:
    """A file whose name ends in `.json`, or else YAML."""
    text = read_text(path)
    try:
        data = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except json.JSONDecodeError as e:
        raise InputError(f"{path}:{e.lineno}: not JSON: {e.msg}", "mend the line") from e
    except yaml.MarkedYAMLError as e:
        line = e.problem_mark.line + 1 if e.problem_mark else 1
        raise InputError(f"{path}:{line}: not YAML: {e.problem}", "mend the line") from e
    except yaml.YAMLError as e:
        raise InputError(f"{path} is not YAML: {' '.join(str(e).split())}", "mend the file") from e
    return Document(path, text, data)


def read_csv(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    """The rows of a CSV file that must have these columns, none of them empty but the last.

    Raises:
        InputError: for a missing column or an empty cell, with file and line.
    """
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""), skipinitialspace=True)
    lacking = [c for c in columns if c not in (reader.fieldnames or ())]
    if lacking:
        found = ", ".join(reader.fieldnames or ())
        raise InputError(f"{path}:1: no column {lacking[0]!r}", f"its columns are: {found}")
    for cells in reader:
        row = Row(path, reader.line_num, {c: (cells[c] or "").strip() for c in columns})
        for column in columns[:-1]:
            if not row.cells[column]:
                raise row.error(f"{column} is empty")
        yield row


def _child(node: Any, step: int | str) -> Any:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(step):
                return value if isinstance(value, yaml.CollectionNode) else key
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step]
    return None
