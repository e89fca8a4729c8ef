"""Prompts of our own, and what the base says to them, drawn once and kept by content."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import asdict, astuple, fields
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from personalign.errors import TrainingError
from personalign.models.local import Generation, LocalModel, Sampling
from personalign.records import Message, Record
from personalign.training.store import key, open_store

__all__ = ["Asked", "base_replies", "read_prompts"]

TOGETHER = 32  # replies drawn in one batch, and lost at most where a run is killed


class Asked(Record):
    """A prompt of a file of prompts: what was said in turn, the user first and last."""

    kind: str
    turns: tuple[str, ...]

    def messages(self) -> tuple[Message, ...]:
        """The prompt as messages."""
        roles = ("user", "assistant")
        return tuple(Message(role=roles[n % 2], content=t) for n, t in enumerate(self.turns))


def read_prompts(path: Path | Traversable) -> list[tuple[Message, ...]]:
    """Prompts from a file with an object a line: `{"kind": "fact", "turns": ["…"]}`.

    Raises:
        TrainingError: naming the line that is no prompt.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as e:
        raise TrainingError(f"cannot read prompts from {path}: {e}", "check the file") from e
    found = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            asked = Asked.model_validate_json(line)
        except ValidationError as e:
            raise TrainingError(
                f"{path}, line {number}: {e.errors()[0]['msg']}",
                'write {"kind": "fact", "turns": ["a question"]} on each line',
            ) from e
        if len(asked.turns) % 2 == 0:
            raise TrainingError(
                f"{path}, line {number}: {len(asked.turns)} turns, the last is not the user's",
                "begin and end with what the user says",
            )
        found.append(asked.messages())
    return found


def base_replies(
    local: LocalModel,
    prompts: Sequence[Sequence[Message]],
    sampling: Sampling,
    seeds: Sequence[int],
    progress: Callable[[int], None] = lambda done: None,
) -> list[Generation]:
    """One reply of the base without adapters a prompt, from the store or drawn now.

    `progress` is called with the number of replies that are ready.
    """
    keys = [_key(local, p, sampling, s) for p, s in zip(prompts, seeds, strict=True)]
    with open_store(local) as store:
        known = [_look_up(store, k) for k in keys]
        missing = [i for i, reply in enumerate(known) if reply is None]
        progress(len(prompts) - len(missing))
        for start in range(0, len(missing), TOGETHER):
            part = missing[start : start + TOGETHER]
            asked, drawn = [prompts[i] for i in part], [seeds[i] for i in part]
            replies = local.generate(asked, [None] * len(part), sampling, drawn, TOGETHER)
            for i, reply in zip(part, replies, strict=True):
                known[i] = reply
                row = (keys[i], json.dumps(asdict(reply)))
                store.execute("INSERT OR REPLACE INTO reply VALUES (?, ?)", row)
            store.commit()
            progress(len(part))
    return [reply for reply in known if reply is not None]


def _key(local: LocalModel, prompt: Sequence[Message], sampling: Sampling, seed: int) -> bytes:
    how = json.dumps([astuple(sampling), seed, [f.name for f in fields(Generation)]]).encode()
    return key(local.chat.prompt(prompt), how)


def _look_up(store: sqlite3.Connection, place: bytes) -> Generation | None:
    row = store.execute("SELECT value FROM reply WHERE key = ?", (place,)).fetchone()
    if row is None:
        return None
    kept: dict[str, Any] = json.loads(row[0])
    return Generation(**kept | {"ids": tuple(kept["ids"])})
