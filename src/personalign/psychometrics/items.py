"""Inventories of single statements and of open questions, from YAML files."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import Field, ValidationError

from personalign.errors import InputError, unknown
from personalign.psychometrics.inventory import Scale
from personalign.records import Record

__all__ = [
    "InterviewInventory",
    "OpenQuestion",
    "Statement",
    "StatementInventory",
    "interview_inventory",
    "statement_inventory",
]


class Statement(Record):
    """A sentence about oneself; with `key` 1 agreement counts towards the positive pole."""

    id: str
    scale: str
    key: Literal[1, -1]
    text: str


class OpenQuestion(Record):
    """A question that names no pole; its reply is rated on the scale."""

    id: str
    scale: str
    text: str


class _Inventory(Record):
    name: str
    version: int
    licence: str
    source: str
    instructions: str
    scales: dict[str, Scale]


class StatementInventory(_Inventory):
    """Single statements, rated by agreement from `lowest` to `highest`."""

    kind: Literal["likert"]
    lowest: int = 1
    highest: int = 7
    items: tuple[Statement, ...] = Field(min_length=1)


class InterviewInventory(_Inventory):
    """An inventory of open questions."""

    kind: Literal["interview"]
    items: tuple[OpenQuestion, ...] = Field(min_length=1)


Kind = TypeVar("Kind", StatementInventory, InterviewInventory)


def statement_inventory(name: str = "mbti_statements") -> StatementInventory:
    """A shipped inventory of single statements by name, or one from a `.yaml` path."""
    return _read(name, StatementInventory)


def interview_inventory(name: str = "mbti_interview") -> InterviewInventory:
    """A shipped inventory of open questions by name, or one from a `.yaml` path."""
    return _read(name, InterviewInventory)


def _read(name: str, kind: type[Kind]) -> Kind:
    folder = Path(str(resources.files("personalign.psychometrics"))) / "inventories"
    known = {p.stem: p for p in sorted(folder.glob("*.yaml"))}
    path = Path(name) if name.endswith((".yaml", ".yml")) else known.get(name)
    if path is None:
        raise unknown("inventory", name, known)
    try:
        data: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        return kind.model_validate(data)
    except (OSError, yaml.YAMLError) as e:
        raise InputError(f"cannot read inventory {path}: {e}", "check the file") from e
    except ValidationError as e:
        first: Any = e.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(f"{path}: {place}: {first['msg']}", "mend the file") from e
