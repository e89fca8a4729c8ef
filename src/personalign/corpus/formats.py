"""Preference data as other tools write it, read into pairs of this project.

Known are TRL's forms (explicit and implicit prompt, conversations or strings), the prompt repeated
in both sides (UltraFeedback), ShareGPT (`conversations`, `from`, `value`), LLaMA-Factory's
(`instruction`, `input`, and `chosen` and `rejected` or two in `output`), Anthropic's HH strings,
OpenAI's messages with content parts, Argilla's further columns, and LAPD's dialogues.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from personalign.errors import CorpusError
from personalign.files import Row, rows, stream
from personalign.records import PreferencePair, Record

__all__ = ["ImportResult", "form_of", "import_pairs", "read_pairs"]

Turn = tuple[str, str]
"""Role and text."""

ROLES = {
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "model", "bot", "chatgpt"), "assistant"),
    "system": "system",
}
CHOSEN, REJECTED = ("chosen", "chosen_response"), ("rejected", "rejected_response")
PROMPTS = ("prompt", "conversations", "question", "instruction", "input")
HH = re.compile(r"\n\n(Human|Assistant):")
SPOKEN = re.compile(r'^\s*"?(?P<who>[^":]+)"?\s*:\s*"?(?P<text>.*?)"?\s*,?\s*$', re.DOTALL)
"""A line of LAPD's dialogues: who speaks, and what."""

NATIVE = "pairs of this project"
REMEDY = "read it with `personalign corpus import FILE --out pairs.jsonl`"


class ImportResult(Record):
    """What was read.

    Attributes:
        rows: Rows of the file.
        forms: Name of a form → rows of it.
        dropped: Reason → rows that are left out for it.
        ignored: Column that says nothing about a pair → rows that have it.
    """

    rows: int
    kept: int
    forms: dict[str, int]
    dropped: dict[str, int]
    ignored: dict[str, int]


class _Sides(NamedTuple):
    prompt: list[Turn]
    chosen: list[Turn]
    rejected: list[Turn]


def read_pairs(
    path: Path, skip: Callable[[CorpusError], None] | None = None
) -> Iterator[PreferencePair]:
    """Pairs of a file in this project's form (TRL's, with an explicit prompt), one at a time.

    Raises:
        CorpusError: naming file, line and field; where the file is of another known form, naming
            that and how to import it.
    """
    first = next(rows(path), None)
    form = form_of(first.cells) if first else None
    if first and form and form != NATIVE:
        raise CorpusError(f"{path}:{first.line}: {form}, not {NATIVE}", REMEDY)
    yield from stream(path, PreferencePair, skip)


def form_of(cells: Mapping[str, Any]) -> str | None:
    """What a row's form is called, or None where it is no preference that is known here."""
    chosen, rejected = _first(cells, CHOSEN), _first(cells, REJECTED)
    if chosen is None or rejected is None:
        two = isinstance(cells.get("output"), list) and len(cells["output"]) == 2
        return "LLaMA-Factory with two outputs (Machine Mindset)" if two else None
    if isinstance(chosen, str):
        if _first(cells, PROMPTS) is None:
            return "HH strings" if HH.search(chosen) else None
        return "LLaMA-Factory" if "instruction" in cells else "plain strings"
    if "conversations" in cells or (isinstance(chosen, dict) and "from" in chosen):
        return "ShareGPT"
    if isinstance(chosen, list) and chosen and isinstance(chosen[0], str):
        return "LAPD dialogues (their first exchange)"
    if _first(cells, PROMPTS) is None:
        return "TRL with an implicit prompt"
    if isinstance(chosen, list) and len(chosen) > 1 and _role(chosen[0]) in ("user", "system"):
        return "prompt repeated in both sides"
    if cells.keys() <= PreferencePair.model_fields.keys() and _plain(cells):
        return NATIVE
    return "TRL with further columns, content parts or a prompt of text"


def import_pairs(
    path: Path,
    against: Path | None = None,
    skip: Callable[[CorpusError], None] | None = None,
) -> tuple[list[PreferencePair], ImportResult]:
    """Pairs from a file of any known form, and what was done.

    Args:
        path: JSON Lines, a JSON array, CSV or parquet, gzipped or not.
        against: A second file with the rejected answers to the same instructions, where each file
            has one `output` a row (Machine Mindset's).
        skip: Told of each row that is no pair, which is then left out; without it, such a row
            raises.

    Raises:
        CorpusError: naming file, line and what is wrong.
    """
    forms, dropped, ignored = Counter[str](), Counter[str](), Counter[str]()
    pairs = []
    for row in _joined(path, against):
        forms[form_of(row.cells) or "unknown"] += 1
        try:
            pairs.append(_pair(row))
        except UnfitError as e:
            error = row.error(str(e), "mend the line, or leave it out with --skip-bad")
            if skip is None:
                raise error from e
            skip(error)
            dropped[str(e)] += 1
        ignored.update(row.cells.keys() - USED)
    if not pairs:
        raise CorpusError(f"{path}: no pairs in it ({forms.total()} rows)", "see docs/corpus.md")
    done = ImportResult(
        rows=forms.total(),
        kept=len(pairs),
        forms=forms,
        dropped=dropped,
        ignored=dict(sorted(ignored.items())),
    )
    return pairs, done


USED = {*CHOSEN, *REJECTED, *PROMPTS, "system", "output", "origin"}


class UnfitError(Exception):
    """Why a row is no pair."""


def _joined(path: Path, against: Path | None) -> Iterator[Row]:
    """Rows; with a second file, each with the two outputs to one instruction."""
    if against is None:
        yield from rows(path)
        return
    other = {_asked(row): row.cells.get("output") for row in rows(against)}
    for row in rows(path):
        rejected = other.get(_asked(row))
        if rejected is None:
            raise row.error(f"{against} has no answer to it", "give two files of one data set")
        yield row._replace(cells={**row.cells, "output": [row.cells.get("output"), rejected]})


def _asked(row: Row) -> tuple[str, str]:
    return str(row.cells.get("instruction", "")).strip(), str(row.cells.get("input") or "").strip()


def _pair(row: Row) -> PreferencePair:
    prompt, chosen, rejected = _sides(row.cells)
    if not prompt:
        raise UnfitError("no prompt")
    data = {
        "prompt": _messages(prompt),
        "chosen": _messages(chosen),
        "rejected": _messages(rejected),
        "origin": row.cells.get("origin") or {},
    }
    try:
        return PreferencePair.model_validate(data)
    except ValidationError as e:
        first: Any = e.errors()[0]
        where = first["loc"][0] if first["loc"] else "pair"
        raise UnfitError(f"{where}: {first['msg'].removeprefix('Value error, ')}") from e


def _messages(turns: Sequence[Turn]) -> list[dict[str, str]]:
    return [{"role": role, "content": text} for role, text in turns]


def _sides(cells: Mapping[str, Any]) -> _Sides:
    """Prompt and replies, the prompt taken off both sides where they repeat it."""
    before = _prompt(cells)
    chosen, rejected = _first(cells, CHOSEN), _first(cells, REJECTED)
    if chosen is None and rejected is None and isinstance(cells.get("output"), list):
        if len(cells["output"]) != 2:
            raise UnfitError(f"{len(cells['output'])} outputs, not two")
        chosen, rejected = cells["output"]
    one, two = _turns(chosen, "chosen"), _turns(rejected, "rejected")
    if isinstance(chosen, list) and chosen and isinstance(chosen[0], str):
        one, two = one[:2], two[:2]
    if before and one[: len(before)] == before and two[: len(before)] == before:
        return _Sides(before, one[len(before) :], two[len(before) :])
    shared = _shared(one, two)
    if before and (not shared or one[0][0] == "assistant"):
        return _Sides(before, one, two)
    if before and shared[-1] != before[-1]:
        raise UnfitError("chosen and rejected begin with another prompt than the one that is given")
    return _Sides(shared, one[len(shared) :], two[len(shared) :])


def _shared(one: Sequence[Turn], two: Sequence[Turn]) -> list[Turn]:
    """The turns with which both begin, up to the last that is not an assistant's."""
    same = 0
    while same < min(len(one), len(two)) and one[same] == two[same]:
        same += 1
    while same and one[same - 1][0] == "assistant":
        same -= 1
    return list(one[:same])


def _prompt(cells: Mapping[str, Any]) -> list[Turn]:
    system = cells.get("system")
    head = [("system", system.strip())] if isinstance(system, str) and system.strip() else []
    name = next((c for c in PROMPTS if cells.get(c) is not None), None)
    if name is None:
        return head
    value = cells[name]
    if isinstance(value, str) and name in ("instruction", "prompt"):
        more = str(cells.get("input") or "").strip()
        value = f"{value.strip()}\n\n{more}" if more and name == "instruction" else value
    return head + _turns(value, name, "user")


def _turns(value: Any, name: str, role: str = "assistant") -> list[Turn]:
    """A side or a prompt as turns."""
    if isinstance(value, str):
        return _marked(value) if HH.search(value) else [(role, value)]
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list):
        raise UnfitError(
            f"{name}: nothing in it" if value is None else f"{name}: neither text nor turns"
        )
    return [_said(v) if isinstance(v, str) else _turn(v, name) for v in value]


def _marked(text: str) -> list[Turn]:
    """Turns of an HH string."""
    _, *parts = HH.split(text)
    names = {"Human": "user", "Assistant": "assistant"}
    return [(names[who], said.strip()) for who, said in zip(parts[::2], parts[1::2], strict=True)]


def _said(line: str) -> Turn:
    found = SPOKEN.match(line)
    if found is None:
        raise UnfitError("a line of a dialogue names no speaker")
    return "user" if found["who"].strip().lower() == "user" else "assistant", found["text"].strip()


def _turn(value: Any, name: str) -> Turn:
    role = _role(value)
    if role is None:
        raise UnfitError(f"{name}: a turn of no known role")
    content = value.get("content", value.get("value"))
    if isinstance(content, list):
        strange = [p for p in content if not (isinstance(p, dict) and p.get("text") is not None)]
        if strange:
            raise UnfitError(f"{name}: a part that is no text")
        content = "\n".join(str(p["text"]) for p in content)
    if not isinstance(content, str):
        raise UnfitError(f"{name}: a turn without text")
    return role, content


def _role(turn: Any) -> str | None:
    named = turn.get("role", turn.get("from")) if isinstance(turn, dict) else None
    return ROLES.get(named) if isinstance(named, str) else None


def _plain(cells: Mapping[str, Any]) -> bool:
    """Whether prompt and sides are lists of messages with a role and a text, and nothing else."""
    sides = [cells[name] for name in ("prompt", "chosen", "rejected")]
    return all(isinstance(side, list) for side in sides) and all(
        isinstance(m, dict) and m.keys() == {"role", "content"} and isinstance(m["content"], str)
        for side in sides
        for m in side
    )


def _first(cells: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((cells[n] for n in names if cells.get(n) is not None), None)
