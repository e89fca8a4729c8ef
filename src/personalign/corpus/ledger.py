"""What was asked of a model and what came back: one SQLite file, so that nothing is asked twice.

`requests` has a row for every request that left, written before it leaves; `answers` has one row
for every question that is settled. Files made from answers can always be made again from here.
"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any, Literal

from personalign.errors import RunError
from personalign.records import Record

__all__ = ["Answer", "AnswerState", "Ledger", "Totals"]

AnswerState = Literal["ok", "truncated", "refused", "empty", "lost"]
"""`lost` means that no attempt succeeded: it is not settled, and is asked again next time."""

TABLES = """
create table if not exists answers (
  key text primary key, purpose text, state text, text text, detail text, attempts integer
);
create table if not exists requests (
  id integer primary key, key text, purpose text, model text, prompt text, seed integer,
  started real, seconds real, outcome text, tokens_in integer, tokens_out integer, cost real
);
"""


class Answer(Record):
    """What a model said to one question, or why it said nothing."""

    state: AnswerState
    text: str = ""
    detail: str = ""
    attempts: int = 1


class Totals(Record):
    """Sums over a ledger. `open` requests left and were never heard of.

    What was killed or broke off may be billed: it counts as the most that it can have cost.
    """

    answers: int
    requests: int
    failed: int
    open: int
    tokens_in: int
    tokens_out: int
    cost: float


class Ledger:
    """Answers by key, and every request; safe against a kill at any moment."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.db = sqlite3.connect(path, isolation_level=None)
            self.db.execute("pragma journal_mode=wal")
            self.db.execute("pragma synchronous=normal")
            self.db.executescript(TABLES)
        except sqlite3.DatabaseError as e:
            raise RunError(f"{path} is not a ledger: {e}", "move it away to start anew") from e

    def close(self) -> None:
        self.db.close()

    def answer(self, key: str) -> Answer | None:
        """The settled answer to a question, if there is one."""
        row = self.db.execute(
            "select state, text, detail, attempts from answers where key = ?", (key,)
        ).fetchone()
        if row is None:
            return None
        return Answer.model_validate(dict(zip(Answer.model_fields, row, strict=True)))

    def settle(self, key: str, purpose: str, answer: Answer) -> None:
        """Keep an answer for good; the first one stays."""
        values = tuple(answer.model_dump().values())
        self.db.execute(
            "insert or ignore into answers values (?, ?, ?, ?, ?, ?)",
            (key, purpose, *values),
        )

    def leave(
        self, key: str, purpose: str, model: str, prompt: str, seed: int, most: float = 0.0
    ) -> int:
        """Note a request before it leaves, at the most that it can cost."""
        cursor = self.db.execute(
            "insert into requests (key, purpose, model, prompt, seed, started, cost) "
            "values (?, ?, ?, ?, ?, ?, ?)",
            (key, purpose, model, prompt, seed, time.time(), most),
        )
        return cursor.lastrowid or 0

    def back(
        self,
        request: int,
        outcome: str,
        tokens_in: int = 0,
        tokens_out: int = 0,
        cost: float = 0.0,
    ) -> None:
        """Note how a request ended, and what it cost."""
        self.db.execute(
            "update requests set outcome = ?, seconds = ? - started, tokens_in = ?, "
            "tokens_out = ?, cost = ? where id = ?",
            (outcome[:200], time.time(), tokens_in, tokens_out, cost, request),
        )

    def totals(self) -> Totals:
        """What the corpus has cost so far, over all runs."""
        (answers,) = self.db.execute("select count(*) from answers").fetchone()
        row: Any = self.db.execute(
            "select count(*), coalesce(sum(outcome is not null and outcome != 'ok'), 0), "
            "coalesce(sum(outcome is null), 0), coalesce(sum(tokens_in), 0), "
            "coalesce(sum(tokens_out), 0), coalesce(sum(cost), 0.0) from requests"
        ).fetchone()
        names = ("requests", "failed", "open", "tokens_in", "tokens_out", "cost")
        return Totals(answers=answers, **dict(zip(names, row, strict=True)))
