"""JSON Lines files larger than memory: read a record at a time, written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, TypeVar

from pydantic import BaseModel, ValidationError

from personalign.errors import CorpusError

__all__ = ["Lines", "stream"]

R = TypeVar("R", bound=BaseModel)


def stream(path: Path, kind: type[R]) -> Iterator[R]:
    """Records of a file, one at a time.

    Raises:
        CorpusError: naming file and line of what is not such a record.
    """
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                try:
                    record = kind.model_validate_json(line)
                except ValidationError as e:
                    first = e.errors()[0]
                    field = ".".join(map(str, first["loc"])) or kind.__name__
                    where = f"{path}:{number}: {field}: {first['msg']}"
                    raise CorpusError(where, "mend the line") from e
                yield record
    except FileNotFoundError as e:
        raise CorpusError(f"{path} is missing", "do the step before this one") from e
    except UnicodeDecodeError as e:
        raise CorpusError(f"{path}: not UTF-8 at byte {e.start}", "save the file as UTF-8") from e
    except OSError as e:
        raise CorpusError(f"cannot read {path}: {e.strerror}", "check the path") from e


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
