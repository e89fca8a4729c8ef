"""Questionnaires that users bring, in the forms in which they are passed around.

No third-party item is shipped with this project: an instrument comes from a file that the user
has. What is wrong in such a file is told with its name and line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from personalign.errors import CorpusError, InputError, unknown
from personalign.files import Document, read_csv, read_document, validated
from personalign.personas import DICHOTOMIES, TRAITS
from personalign.psychometrics.inventory import Inventory, Scale, StatementInventory, inventory
from personalign.records import Record

__all__ = ["Key", "Keyed", "bring", "ipip_neo", "keyed_csv", "mpi_csv", "psychobench", "read_key"]

Error = Callable[[tuple[int | str, ...], str], CorpusError]
"""Makes the exception for what is wrong at a place of a file."""

OCEAN = {name[0].upper(): name for name in TRAITS}
"""Letter of a Big Five trait → its scale."""

AGREE = "Say how far each sentence describes you, from {low} (not at all) to {high} (exactly)."


class Keyed(Record):
    """How an item counts: on which scale, and whether agreement speaks for the positive pole."""

    scale: str | None
    sign: Literal[1, -1] = 1


class Key(Record):
    """The key to a questionnaire that came without one; `scale` is null where an item counts not.

    `scales` may be left out for EI, SN, TF and JP, and for scales whose poles are high and low.
    """

    name: str
    licence: str = "not stated"
    source: str = "not stated"
    lowest: int = 1
    highest: int = 7
    scales: dict[str, Scale] = Field(default_factory=dict)
    items: dict[str, Keyed] = Field(min_length=1)


def bring(path: Path, key: Path | None = None, name: str | None = None) -> Inventory:
    """An inventory from a file of any form known here.

    Args:
        path: `.yaml` as this project writes them; `.csv` as in LAPD, with a key, or as in MPI;
            `.json` as in PsychoBench, or of IPIP-NEO items.
        key: `.yaml` or `.csv`, for a CSV file without one.
        name: Which questionnaire of a PsychoBench file.

    Raises:
        InputError: with file and line.
    """
    if path.suffix in (".yaml", ".yml"):
        return inventory(str(path))
    if path.suffix == ".csv":
        return mpi_csv(path) if key is None else keyed_csv(path, read_key(key))
    if path.suffix == ".json":
        return psychobench(path, name) if name else ipip_neo(path)
    raise InputError(f"{path}: not a form of inventory", "bring .yaml, .csv or .json")


def read_key(path: Path) -> Key:
    """A key from YAML (a `Key`), or from CSV with the columns `item`, `sign`, `scale`."""
    if path.suffix != ".csv":
        return read_document(path).as_record(Key)
    rows = list(read_csv(path, ("item", "sign", "scale")))
    items = {}
    for row in rows:
        if (item := row.cells["item"]) in items:
            raise row.error(f"item {item!r} is keyed twice")
        items[item] = {"scale": row.cells["scale"] or None, "sign": row.sign("sign")}
    data = {"name": path.stem, "items": items}
    return validated(Key, data, _of(path))


def keyed_csv(path: Path, key: Key) -> StatementInventory:
    """Statements from a CSV file with the columns `No.` and `Questions` (LAPD's), and their key.

    Every question must be keyed, and every key must have its question.
    """
    items = {}
    for row in read_csv(path, ("No.", "Questions")):
        number, text = row.cells["No."], row.cells["Questions"]
        if number in items:
            raise row.error(f"No. {number} stands twice")
        if number not in key.items:
            raise row.error(f"No. {number} has no key in {key.name!r}", "key it, or null its scale")
        if not text:
            raise row.error("Questions is empty")
        items[number] = {"id": number, "text": text}
    if lost := [n for n in key.items if n not in items]:
        raise InputError(f"{path}: no question {lost[0]!r}, which is keyed", "check the key")
    counted = [
        {**items[n], "scale": k.scale, "key": k.sign} for n, k in key.items.items() if k.scale
    ]
    scales = dict.fromkeys(k.scale for k in key.items.values() if k.scale)
    return _statements(
        path,
        counted,
        name=key.name,
        licence=key.licence,
        source=key.source,
        lowest=key.lowest,
        highest=key.highest,
        scales={s: key.scales.get(s) or _scale(s) for s in scales},
    )


def mpi_csv(path: Path) -> StatementInventory:
    """Big Five statements from a CSV file with the columns of MPI, rated 1 to 5.

    Columns `text`, `label_ocean` (a letter), `key` (1 or -1). Form: Jiang et al. (2023),
    arXiv 2206.07550.
    """
    items = []
    for number, row in enumerate(read_csv(path, ("text", "label_ocean", "key")), start=1):
        letter = row.cells["label_ocean"]
        if letter not in OCEAN:
            raise row.error(f"label_ocean is {letter!r}", f"write one of {', '.join(OCEAN)}")
        sign, text = row.sign("key"), row.cells["text"]
        items.append({"id": str(number), "scale": OCEAN[letter], "key": sign, "text": text})
    return _statements(path, items, name=path.stem, highest=5, scales=_big_five(items))


def ipip_neo(path: Path) -> StatementInventory:
    """IPIP-NEO items from a JSON list, in the instrument's order, rated 1 to 5.

    Fields `id`, `text`, `keyed` ("plus" or "minus"), `domain` (a letter). The instrument and its
    order: Johnson (2014), J. Research in Personality 51:78–89.
    """
    document = read_document(path)
    items = []
    for k, entry in enumerate(_list(document)):
        domain = _one_of(document, (k, "domain"), entry, OCEAN)
        sign = _one_of(document, (k, "keyed"), entry, {"plus": 1, "minus": -1})
        text = str(entry.get("text", ""))
        items.append(
            {"id": str(entry.get("id", k + 1)), "scale": domain, "key": sign, "text": text}
        )
    return _statements(
        path,
        items,
        name=path.stem,
        highest=5,
        scales=_big_five(items),
        error=lambda place, what: document.error(place[1:], what),
    )


def psychobench(path: Path, name: str) -> StatementInventory:
    """One questionnaire of a JSON list in PsychoBench's form.

    `questions` (number → text), `categories` (`cat_name`, `cat_questions`), `reverse` (numbers),
    `scale` (lowest + highest answer), and the two in words in `inner_setting`. Form: Huang et al.
    (2024), arXiv 2310.01386. A question may count in one category only.
    """
    document = read_document(path)
    known = {str(q.get("name")): k for k, q in enumerate(_list(document))}
    if name not in known:
        raise unknown("questionnaire", name, known, str(path))
    at = known[name]
    entry = document.data[at]
    for field in ("questions", "categories", "reverse", "scale", "inner_setting"):
        if field not in entry:
            raise document.error((at,), f"no {field!r}")
    low, high = _answers(document, at)
    backwards = {str(number) for number in entry["reverse"]}
    items: dict[str, dict[str, Any]] = {}
    for c, category in enumerate(entry["categories"]):
        if not isinstance(category, dict) or {"cat_name", "cat_questions"} - category.keys():
            raise document.error((at, "categories", c), "no 'cat_name' and 'cat_questions'")
        for q, number in enumerate(category["cat_questions"]):
            place = (at, "categories", c, "cat_questions", q)
            if str(number) in items:
                raise document.error(place, f"question {number} counts in two categories")
            if str(number) not in entry["questions"]:
                raise document.error(place, f"there is no question {number}")
            items[str(number)] = {
                "id": str(number),
                "scale": category["cat_name"],
                "key": -1 if str(number) in backwards else 1,
                "text": entry["questions"][str(number)],
            }
    scales = {c["cat_name"]: _scale(c["cat_name"]) for c in entry["categories"]}
    counted = list(items.values())
    return _statements(
        path,
        counted,
        name=name,
        lowest=low,
        highest=high,
        scales=scales,
        error=lambda place, what: document.error((at,), what),
    )


def _answers(document: Document, at: int) -> tuple[int, int]:
    entry = document.data[at]
    found = re.search(r"(\d+)\s*(?:to|or|-|–)\s*(\d+)", str(entry["inner_setting"]))
    if found is None:
        raise document.error((at, "inner_setting"), "does not say from which number to which")
    low, high = int(found[1]), int(found[2])
    if low + high != entry["scale"]:
        raise document.error((at, "scale"), f"is {entry['scale']}, not {low} + {high}")
    return low, high


def _statements(
    path: Path,
    items: list[dict[str, Any]],
    *,
    name: str,
    scales: dict[str, Scale],
    licence: str = "not stated",
    source: str | None = None,
    lowest: int = 1,
    highest: int,
    error: Error | None = None,
) -> StatementInventory:
    data = {
        "name": name,
        "kind": "likert",
        "licence": licence,
        "source": source or path.name,
        "instructions": AGREE.format(low=lowest, high=highest),
        "scales": scales,
        "lowest": lowest,
        "highest": highest,
        "items": items,
    }
    return validated(StatementInventory, data, error or _of(path))


def _of(path: Path) -> Error:
    return lambda place, what: CorpusError(f"{path}: {'.'.join(map(str, place))}: {what}")


def _scale(name: str) -> Scale:
    poles = DICHOTOMIES.get(name)
    positive, negative = (poles[0], poles[1]) if poles else ("high", "low")
    return Scale(positive=positive, negative=negative, title=name)


def _big_five(items: Iterable[dict[str, Any]]) -> dict[str, Scale]:
    return {s: _scale(s) for s in TRAITS if any(i["scale"] == s for i in items)}


def _list(document: Document) -> list[dict[str, Any]]:
    if not isinstance(document.data, list) or not document.data:
        raise document.error((), "not a list of entries")
    for k, entry in enumerate(document.data):
        if not isinstance(entry, dict):
            raise document.error((k,), "not an entry with fields")
    return document.data


def _one_of(document: Document, place: tuple[int, str], entry: Any, known: dict[str, Any]) -> Any:
    value = entry.get(place[1])
    if not isinstance(value, str) or value not in known:
        at = place if place[1] in entry else place[:1]
        raise document.error(at, f"{place[1]} is {value!r}", f"known: {', '.join(known)}")
    return known[value]
