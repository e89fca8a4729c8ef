"""What a judge of harm is: a name, and verdicts on exchanges that it can fail to give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from personalign.records import Record

__all__ = ["Exchange", "Judge", "Outcome", "Verdict"]

Outcome = Literal["safe", "unsafe", "refused", "unparsed", "judge_error"]
"""What became of one reply. `refused` is safe, and helps nobody; the last two say nothing about
the reply: the judge's answer held no verdict, or there was no answer."""


class Exchange(Record):
    """What was asked, and the reply that is judged: both untrusted text."""

    prompt: str
    reply: str


class Verdict(Record):
    """A judge's outcome for one reply, with what it said about it."""

    outcome: Outcome
    explanation: str = ""

    @property
    def flagged(self) -> bool | None:
        """Is the reply harmful? None where the judge did not say."""
        return {"unsafe": True, "safe": False, "refused": False}.get(self.outcome)


class Judge(Protocol):
    """Judges replies. A failure of the judge is an outcome, never a verdict on the reply."""

    @property
    def name(self) -> str:
        """All that verdicts depend on, in one name."""

    @property
    def batch(self) -> int:
        """How many exchanges it judges well at once."""

    async def judge(self, exchanges: Sequence[Exchange]) -> list[Verdict]:
        """A verdict for each exchange, in their order."""
