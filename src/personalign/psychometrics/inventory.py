"""Inventories as data: the items of a questionnaire, with their key, from a YAML file."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import Field, model_validator

from personalign.errors import unknown
from personalign.files import read_document, wrong
from personalign.records import Record

__all__ = [
    "BipolarInventory",
    "BipolarItem",
    "InterviewInventory",
    "Inventory",
    "Item",
    "OpenQuestion",
    "PairInventory",
    "Scale",
    "Statement",
    "StatementInventory",
    "StatementPair",
    "interview_inventory",
    "inventory",
    "pair_inventory",
    "statement_inventory",
]


class Scale(Record):
    """A dimension with two poles; scores are positive towards `positive`."""

    positive: str
    negative: str
    title: str


class Item(Record):
    """What is asked at once, about one scale."""

    id: str
    scale: str

    def sign(self, scale: Scale) -> int:
        """+1 where a high answer speaks for the scale's positive pole, -1 otherwise."""
        return 1


class StatementPair(Item):
    """Two statements about oneself that differ in one scale; `first_pole` keys the first."""

    first: str
    second: str
    first_pole: str

    def sign(self, scale: Scale) -> int:
        """+1 where the first statement stands for the positive pole, -1 otherwise."""
        return 1 if self.first_pole == scale.positive else -1


class Statement(Item):
    """A sentence about oneself; with `key` 1 agreement counts towards the positive pole."""

    key: Literal[1, -1]
    text: str = Field(min_length=1)

    def sign(self, scale: Scale) -> int:
        """The key."""
        return self.key


class BipolarItem(Item):
    """Two ends of a line; with `key` 1 the right end counts towards the positive pole."""

    key: Literal[1, -1]
    left: str = Field(min_length=1)
    right: str = Field(min_length=1)

    def sign(self, scale: Scale) -> int:
        """The key."""
        return self.key


class OpenQuestion(Item):
    """A question that names no pole; its reply is rated on the scale."""

    text: str = Field(min_length=1)


class Inventory(Record):
    """What all inventories share.

    Every item is of a known scale and has an id of its own; answers have a range.
    """

    name: str
    kind: str
    version: int = 1
    licence: str
    source: str
    instructions: str
    scales: dict[str, Scale] = Field(min_length=1)
    items: tuple[Item, ...] = Field(min_length=1)

    @property
    def span(self) -> tuple[float, float]:
        """Lowest and highest answer: 0 to 1 unless the inventory says otherwise."""
        return 0.0, 1.0

    def sign(self, item: Item) -> int:
        """+1 where a high answer speaks for the positive pole of the item's scale, else -1."""
        return item.sign(self.scales[item.scale])

    @model_validator(mode="after")
    def _items_are_keyed(self) -> Inventory:
        low, high = self.span
        if low >= high:
            raise wrong(("highest",), f"answers from {low:g} to {high:g} have no range")
        seen: set[str] = set()
        for k, item in enumerate(self.items):
            if item.id in seen:
                raise wrong(("items", k, "id"), f"{item.id!r} is taken")
            seen.add(item.id)
            scale = self.scales.get(item.scale)
            if scale is None:
                raise wrong(("items", k, "scale"), f"there is no scale {item.scale!r}")
            pole = getattr(item, "first_pole", scale.positive)
            if pole not in (scale.positive, scale.negative):
                raise wrong(("items", k, "first_pole"), f"{pole!r} is no pole of {item.scale}")
        return self


class PairInventory(Inventory):
    """Statement pairs; an answer is the choice, or the probability, of the first: 0 to 1."""

    kind: Literal["pairs"]
    items: tuple[StatementPair, ...] = Field(min_length=1)


class InterviewInventory(Inventory):
    """Open questions; an answer is a rating, 0 (negative pole) to 1 (positive pole)."""

    kind: Literal["interview"]
    items: tuple[OpenQuestion, ...] = Field(min_length=1)


class StatementInventory(Inventory):
    """Single statements, rated by agreement from `lowest` to `highest`."""

    kind: Literal["likert"]
    lowest: int = 1
    highest: int = 7
    items: tuple[Statement, ...] = Field(min_length=1)

    @property
    def span(self) -> tuple[float, float]:
        """Lowest and highest answer."""
        return float(self.lowest), float(self.highest)


class BipolarInventory(Inventory):
    """Lines between two ends, from `lowest` (left) to `highest` (right).

    Such instruments publish a total, `constants[scale]` + Σ sign · answer, and the `midpoint` that
    parts the poles. Both are checked against the key: a total of neutral answers must be the
    midpoint, or a sign or a constant is wrong.
    """

    kind: Literal["bipolar"]
    lowest: int = 1
    highest: int = 5
    midpoint: float
    constants: dict[str, float]
    items: tuple[BipolarItem, ...] = Field(min_length=1)

    @property
    def span(self) -> tuple[float, float]:
        """Lowest and highest answer."""
        return float(self.lowest), float(self.highest)

    def total(self, scale: str, answers: dict[str, float]) -> float:
        """The published total of a scale, from an answer to each of its items."""
        items = [i for i in self.items if i.scale == scale]
        return self.constants[scale] + sum(i.key * answers[i.id] for i in items)

    @model_validator(mode="after")
    def _constants_centre(self) -> BipolarInventory:
        neutral = {i.id: (self.lowest + self.highest) / 2 for i in self.items}
        for scale in self.scales:
            if scale not in self.constants:
                raise wrong(("constants",), f"scale {scale!r} has no constant")
            if abs((total := self.total(scale, neutral)) - self.midpoint) > 1e-9:
                what = f"neutral answers add up to {total:g}, not to {self.midpoint:g}"
                raise wrong(("constants", scale), what)
        return self


KINDS: dict[str, type[Inventory]] = {
    "pairs": PairInventory,
    "likert": StatementInventory,
    "bipolar": BipolarInventory,
    "interview": InterviewInventory,
}

Kind = TypeVar("Kind", bound=Inventory)


def inventory(name: str) -> Inventory:
    """A shipped inventory of any kind by name, or one from a `.yaml` path."""
    document = read_document(_path(name))
    kind = document.data.get("kind") if isinstance(document.data, dict) else None
    if kind not in KINDS:
        raise document.error(("kind",), f"is {kind!r}", f"known: {', '.join(KINDS)}")
    return document.as_record(KINDS[kind])


def pair_inventory(name: str = "mbti_pairs") -> PairInventory:
    """A shipped inventory of statement pairs by name, or one from a `.yaml` path."""
    return _read(name, PairInventory)


def statement_inventory(name: str = "mbti_statements") -> StatementInventory:
    """A shipped inventory of single statements by name, or one from a `.yaml` path."""
    return _read(name, StatementInventory)


def interview_inventory(name: str = "mbti_interview") -> InterviewInventory:
    """A shipped inventory of open questions by name, or one from a `.yaml` path."""
    return _read(name, InterviewInventory)


def _read(name: str, kind: type[Kind]) -> Kind:
    return read_document(_path(name)).as_record(kind)


def _path(name: str) -> Path:
    if name.endswith((".yaml", ".yml")):
        return Path(name)
    folder = Path(str(resources.files("personalign.psychometrics"))) / "inventories"
    known = {p.stem: p for p in sorted(folder.glob("*.yaml"))}
    if name not in known:
        raise unknown("inventory", name, known)
    return known[name]
