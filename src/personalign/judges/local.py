"""A judge that computes on this machine: exchanges that arrive one by one are judged together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from personalign.judges.verdict import Exchange, Verdict
from personalign.models.batcher import Batcher

__all__ = ["Bench"]


class Bench:
    """Verdicts on exchanges, in batches of at most `size`, in a thread of its own."""

    def __init__(self, work: Callable[[Sequence[Exchange]], list[Verdict]], size: int) -> None:
        self._queue: Batcher[Exchange, Verdict] = Batcher(
            work, kind=lambda _: None, cost=lambda _: 1, size=size, budget=size
        )

    async def judge(self, exchanges: Sequence[Exchange]) -> list[Verdict]:
        """A verdict for each exchange, together with whatever else is asked meanwhile."""
        return list(await asyncio.gather(*(self._queue.ask(e) for e in exchanges)))
