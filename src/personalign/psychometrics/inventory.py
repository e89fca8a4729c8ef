"""Inventories as data: the items of a questionnaire, with their key, from a YAML file."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError

from personalign.errors import InputError, unknown
from personalign.records import Record

__all__ = ["PairInventory", "Scale", "StatementPair", "pair_inventory"]


class Scale(Record):
    """A dimension with two poles; scores are positive towards `positive`."""

    positive: str
    negative: str
    title: str


class StatementPair(Record):
    """Two statements about oneself that differ in one scale; `first_pole` keys the first."""

    id: str
    scale: str
    first: str
    second: str
    first_pole: str


class PairInventory(Record):
    """An inventory of statement pairs."""

    name: str
    kind: str
    version: int
    licence: str
    source: str
    instructions: str
    scales: dict[str, Scale]
    items: tuple[StatementPair, ...] = Field(min_length=1)

    def sign(self, item: StatementPair) -> int:
        """+1 where the first statement stands for the positive pole, -1 otherwise."""
        return 1 if item.first_pole == self.scales[item.scale].positive else -1


def pair_inventory(name: str = "mbti_pairs") -> PairInventory:
    """A shipped inventory of statement pairs by name, or one from a `.yaml` path."""
    folder = Path(str(resources.files("personalign.psychometrics"))) / "inventories"
    known = {p.stem: p for p in sorted(folder.glob("*_pairs.yaml"))}
    path = Path(name) if name.endswith((".yaml", ".yml")) else known.get(name)
    if path is None:
        raise unknown("inventory", name, known)
    try:
        data: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        return PairInventory.model_validate(data)
    except (OSError, yaml.YAMLError) as e:
        raise InputError(f"cannot read inventory {path}: {e}", "check the file") from e
    except ValidationError as e:
        first: Any = e.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(f"{path}: {place}: {first['msg']}", "mend the file") from e
