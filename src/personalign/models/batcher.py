"""Requests that arrive one by one, answered together: a queue, and one thread that serves it.

A batch starts when no further request has come for a moment, or enough are waiting. All work on
a model happens in this one thread, because which adapter answers is a state of the model. A batch
that fails (memory, a request that cannot be answered) is parted until who is at fault stands alone.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from personalign.models.threads import leave_cores

__all__ = ["Batcher"]

Q = TypeVar("Q")
A = TypeVar("A")

QUIET = 0.02  # seconds without a new request after which a batch starts
PATIENCE = 0.5  # seconds after which it starts however many still come


@dataclass(frozen=True, slots=True)
class _Job(Generic[Q, A]):
    request: Q
    kind: Hashable
    cost: int
    answer: Future[A] = field(default_factory=Future)


class Batcher(Generic[Q, A]):
    """Answers requests in batches.

    Args:
        work: Answers several requests, in order; runs in the batcher's own thread.
        kind: Requests of one kind can be answered in one batch.
        cost: What a request costs alone, in the unit of `budget`. In a batch it costs as much as
            the dearest of them, because all are padded to the longest.
        size: Most requests in a batch.
        budget: Largest cost of a batch; one request is always taken.
        alike: Of a kind, those alike are taken before others, since a batch of them costs less.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Q]], Sequence[A]],
        kind: Callable[[Q], Hashable],
        cost: Callable[[Q], int],
        size: int,
        budget: int,
        alike: Callable[[Q], Hashable] = lambda request: None,
    ) -> None:
        self._work, self._kind, self._cost, self._alike = work, kind, cost, alike
        self._size, self._budget = size, budget
        self._arrived: queue.SimpleQueue[_Job[Q, A]] = queue.SimpleQueue()
        self._waiting: list[_Job[Q, A]] = []
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self.batches: list[int] = []
        """Sizes of the batches so far."""

    async def ask(self, request: Q) -> A:
        """The answer to one request, together with whatever else is asked meanwhile."""
        return await asyncio.wrap_future(self.submit(request))

    def submit(self, request: Q) -> Future[A]:
        """The same for callers without an event loop."""
        job: _Job[Q, A] = _Job(request, self._kind(request), self._cost(request))
        with self._starting:
            if self._thread is None:
                leave_cores()
                self._thread = threading.Thread(target=self._serve, name="batcher", daemon=True)
                self._thread.start()
        self._arrived.put(job)
        return job.answer

    def _serve(self) -> None:
        while True:
            self._collect()
            batch = [job for job in self._next() if job.answer.set_running_or_notify_cancel()]
            if batch:
                self._answer(batch)

    def _collect(self) -> None:
        """Wait for a request, and then for as long as others keep coming, up to a full batch."""
        if not self._waiting:
            if self._arrived.empty():
                leave_cores()  # to another model's batcher, such as a judge's
            self._waiting.append(self._arrived.get())
        latest = time.monotonic() + PATIENCE
        try:
            while len(self._waiting) < self._size and time.monotonic() < latest:
                self._waiting.append(self._arrived.get(timeout=QUIET))
            while True:  # all that are there, so that a kind among many has its batch full too
                self._waiting.append(self._arrived.get_nowait())
        except queue.Empty:
            return

    def _next(self) -> list[_Job[Q, A]]:
        """The oldest request and those waiting that go with it, taken out of the queue."""
        oldest, dearest = self._waiting[0], 0
        mark = self._alike(oldest.request)
        taken: dict[int, _Job[Q, A]] = {}
        for job in sorted(self._waiting, key=lambda job: self._alike(job.request) != mark):
            cost, count = max(dearest, job.cost), len(taken) + 1
            fits = not taken or (count <= self._size and cost * count <= self._budget)
            if fits and job.kind == oldest.kind:
                taken[id(job)] = job
                dearest = cost
        self._waiting = [job for job in self._waiting if id(job) not in taken]
        return list(taken.values())

    def _answer(self, batch: Sequence[_Job[Q, A]]) -> None:
        """Answer a batch; one that fails is parted, so that only who is at fault is told so."""
        self.batches.append(len(batch))
        failed = self._try(batch)
        if failed is None:
            return
        if len(batch) == 1:  # whoever asked is told, and the thread goes on serving
            batch[0].answer.set_exception(failed)
            return
        del failed  # and with it all that its frames hold of the device's memory
        half = len(batch) // 2
        for part in (batch[:half], batch[half:]):
            self._answer(part)

    def _try(self, batch: Sequence[_Job[Q, A]]) -> Exception | None:
        """Answer a batch, or say what prevents it."""
        try:
            answers = self._work([job.request for job in batch])
            told = list(zip(batch, answers, strict=True))
        except Exception as e:
            return e
        for job, answer in told:
            job.answer.set_result(answer)
        return None
