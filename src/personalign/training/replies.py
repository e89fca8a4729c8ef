"""Prompts of our own, and what the base says to them, drawn once and kept by content."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict, astuple, fields
from pathlib import Path
from typing import Any

from pydantic import model_validator

from personalign.files import read_records, wrong
from personalign.models.local import Generation, LocalModel
from personalign.models.sampling import Sampling
from personalign.progress import Progress, silent
from personalign.records import Message, Record
from personalign.training.store import key, open_store

__all__ = ["Asked", "base_replies", "read_prompts"]

TOGETHER = 32  # replies drawn in one batch, and lost at most where a run is killed


class Asked(Record):
    """A prompt of a file of prompts: what was said in turn, the user first and last."""

    kind: str
    turns: tuple[str, ...]

    @model_validator(mode="after")
    def _ends_with_the_user(self) -> Asked:
        if len(self.turns) % 2 == 0:
            what = f"{len(self.turns)} turns, where the user is to speak first and last"
            raise wrong(("turns",), what)
        return self

    def messages(self) -> tuple[Message, ...]:
        """The prompt as messages."""
        roles = ("user", "assistant")
        return tuple(Message(role=roles[n % 2], content=t) for n, t in enumerate(self.turns))


def read_prompts(path: Path) -> list[tuple[Message, ...]]:
    """Prompts from a file of rows such as `{"kind": "fact", "turns": ["…"]}`.

    Raises:
        CorpusError: naming the row that is no prompt.
    """
    return [asked.messages() for asked in read_records(path, Asked)]


def base_replies(
    local: LocalModel,
    prompts: Sequence[Sequence[Message]],
    sampling: Sampling,
    seeds: Sequence[int],
    progress: Progress = silent,
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
