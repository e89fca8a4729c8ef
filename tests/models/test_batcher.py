"""The queue: what is asked together is answered together, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Sequence

import pytest

from personalign.models.batcher import Batcher


def batcher(seen: list[list[int]], size: int = 8, budget: int = 1000) -> Batcher[int, int]:
    def work(batch: Sequence[int]) -> list[int]:
        seen.append(list(batch))
        if any(x < 0 for x in batch):
            raise ValueError("negative")
        return [x * 10 for x in batch]

    return Batcher(work, kind=lambda x: x % 2, cost=lambda x: x, size=size, budget=budget)


async def ask_all(queue: Batcher[int, int], asked: Sequence[int]) -> list[int]:
    return await asyncio.gather(*(queue.ask(x) for x in asked))


def test_concurrent_requests_share_batches_of_their_kind() -> None:
    seen: list[list[int]] = []
    answers = asyncio.run(ask_all(batcher(seen), [1, 2, 3, 4, 5, 6]))
    assert answers == [10, 20, 30, 40, 50, 60]
    assert seen == [[1, 3, 5], [2, 4, 6]]


def test_size_and_budget_bound_a_batch() -> None:
    seen: list[list[int]] = []
    asyncio.run(ask_all(batcher(seen, size=2), [1, 3, 5, 7, 9]))
    assert [len(b) for b in seen] == [2, 2, 1]
    seen.clear()
    asyncio.run(ask_all(batcher(seen, budget=10), [5, 5, 5, 99]))
    assert seen == [[5, 5], [5], [99]]


def test_an_error_reaches_who_asked_and_the_queue_goes_on() -> None:
    seen: list[list[int]] = []
    queue = batcher(seen)
    with pytest.raises(ValueError, match="negative"):
        asyncio.run(ask_all(queue, [-1, 3]))
    assert asyncio.run(ask_all(queue, [3])) == [30]


@pytest.mark.parametrize("asked", [[-1, 3, 5, 7], [1, 3, 5, 7, 9, -11], [2, -4]])
def test_who_is_at_fault_fails_alone(asked: list[int]) -> None:
    queue = batcher([])

    async def all_of() -> list[int | BaseException]:
        return await asyncio.gather(*(queue.ask(x) for x in asked), return_exceptions=True)

    for x, answer in zip(asked, asyncio.run(all_of()), strict=True):
        assert isinstance(answer, ValueError) if x < 0 else answer == x * 10


def test_a_batch_that_is_too_large_for_memory_is_answered_in_parts() -> None:
    sizes: list[int] = []

    def work(batch: Sequence[int]) -> list[int]:
        sizes.append(len(batch))
        if len(batch) > 2:
            raise MemoryError("out of memory")
        return [x * 10 for x in batch]

    queue: Batcher[int, int] = Batcher(work, lambda x: 0, lambda x: 1, 8, 100)
    assert asyncio.run(ask_all(queue, range(8))) == [x * 10 for x in range(8)]
    assert sizes == [8, 4, 2, 2, 4, 2, 2]


def test_requests_of_several_loops_and_threads_are_served() -> None:
    queue = batcher([])
    found: dict[int, list[int]] = {}

    def run(k: int) -> None:
        found[k] = asyncio.run(ask_all(queue, range(k, k + 20)))

    threads = [threading.Thread(target=run, args=(k,)) for k in (0, 100)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(timeout=30)
    assert found == {k: [x * 10 for x in range(k, k + 20)] for k in (0, 100)}


def test_who_gave_up_is_not_worked_for() -> None:
    gate, seen = threading.Event(), []

    def work(batch: Sequence[int]) -> list[int]:
        gate.wait(30)
        seen.extend(batch)
        return list(batch)

    queue: Batcher[int, int] = Batcher(work, lambda x: x, lambda x: 1, 8, 100)

    async def give_up() -> None:
        first = asyncio.ensure_future(queue.ask(1))
        await asyncio.sleep(0.1)  # the first is being worked on, the second waits
        second = asyncio.ensure_future(queue.ask(2))
        await asyncio.sleep(0)
        second.cancel()
        gate.set()
        await first

    asyncio.run(give_up())
    assert asyncio.run(queue.ask(3)) == 3
    assert seen == [1, 3]


def test_those_alike_go_first_and_batches_are_full_among_many_kinds() -> None:
    gate, seen = threading.Event(), list[list[int]]()

    def work(batch: Sequence[int]) -> list[int]:
        gate.wait(30)
        seen.append(list(batch))
        return list(batch)

    queue: Batcher[int, int] = Batcher(
        work, lambda x: x // 100, lambda x: 1, 3, 100, alike=lambda x: x % 2
    )

    async def ask() -> None:
        first = asyncio.ensure_future(queue.ask(900))
        await asyncio.sleep(
            0.1
        )  # while it is worked on, twelve wait: more than a batch of any kind
        rest = [asyncio.ensure_future(queue.ask(x)) for k in (0, 100) for x in range(k, k + 6)]
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(first, *rest)

    asyncio.run(ask())
    assert seen == [[900], [0, 2, 4], [1, 3, 5], [100, 102, 104], [101, 103, 105]]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is no libgomp to let go")
def test_workers_of_who_asks_leave_the_cores() -> None:
    code = (
        "import os, torch\n"
        "from personalign.models.threads import leave_cores\n"
        "tasks = lambda: len(os.listdir('/proc/self/task'))\n"
        "x = torch.randn(512, 512); x @ x; x.exp(); before = tasks(); leave_cores()\n"
        "print(tasks() < before or 'libgomp' not in open('/proc/self/maps').read())\n"
    )
    env = {**os.environ, "OMP_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.stdout.strip() == "True", done.stderr
