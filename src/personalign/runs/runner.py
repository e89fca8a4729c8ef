"""Does the steps of a list that are not done, in the order of what they need."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Literal

from personalign.errors import RunError
from personalign.progress import Announce, unannounced
from personalign.runs.step import Step
from personalign.runs.store import Store

__all__ = ["State", "concurrently", "do_all", "states"]

State = Literal["done", "due", "waiting"]
"""Finished; to be done now; or to be done once what it needs is there."""

PATIENCE = 1.0  # seconds between two looks at what another process is doing


def states(steps: Sequence[Step], store: Store) -> dict[str, State]:
    """How each step stands, by its name; nothing is done."""
    found: dict[str, State] = {}
    for step in steps:
        if any(found.get(name, "done") != "done" for name in step.needs):
            found[step.name] = "waiting"
        else:
            found[step.name] = "done" if store.is_done(step) else "due"
    return found


def do_all(steps: Sequence[Step], store: Store, announce: Announce = unannounced) -> list[str]:
    """Do every step that is not done; returns the names of those it did.

    Steps are taken in the order of the list once what they need is done; those that answer
    through one engine (`Step.together`) are done at the same time. A step that another process
    has claimed is waited for, and `announce` told so.

    Raises:
        RunError: where a step needs one that is neither in the list nor done.
    """
    _check_needs(steps, store)
    finished, due, did, waited_for = set[str](), set[str](), list[str](), ""
    while left := [s for s in steps if s.name not in finished]:
        names = {s.name for s in left}
        ready = [s for s in left if not names & set(s.needs)]
        if fresh := [s for s in ready if s.name not in due]:
            for step in fresh:
                (finished if store.is_done(step) else due).add(step.name)
            continue
        made = _do(_together(ready), store)
        did += made
        finished.update(made)
        if not made:  # all of them are being done elsewhere
            if ready[0].name != waited_for:
                waited_for = ready[0].name
                announce(f"another process is at {waited_for}: waiting", 1)
            time.sleep(PATIENCE)
            due.clear()
    return did


def _check_needs(steps: Sequence[Step], store: Store) -> None:
    names = {step.name for step in steps}
    for step in steps:
        for need in step.needs:
            if need not in names and store.record(need) is None:
                raise RunError(f"{step.name} needs {need}, which is not done", f"do {need} first")


def _together(ready: Sequence[Step]) -> Sequence[Step]:
    first = ready[0]
    return [s for s in ready if s.together == first.together] if first.together else [first]


def _do(steps: Sequence[Step], store: Store) -> list[str]:
    """Do steps at the same time; the names of those that nobody else was at."""
    made = list[str]()

    def one(step: Step) -> None:
        with store.claimed(step.name) as mine:
            if mine:
                if not store.is_done(step):
                    store.do(step)
                made.append(step.name)

    for step in steps:
        step.prepare()
    if len(steps) == 1:
        one(steps[0])
    else:
        concurrently([partial(one, step) for step in steps])
    return made


def concurrently(jobs: Sequence[Callable[[], object]], workers: int = 16) -> None:
    """Do jobs that wait for one another's engine, in order, so many at the same time.

    They run in threads that a stopped process does not wait for. The first error is raised once
    the jobs that had begun are done; those that had not are left.
    """
    waiting, failed = SimpleQueue[Callable[[], object]](), SimpleQueue[BaseException]()
    for job in jobs:
        waiting.put(job)

    def serve() -> None:
        while failed.empty():
            try:
                waiting.get_nowait()()
            except Empty:
                return
            except BaseException as e:
                failed.put(e)

    threads = [Thread(target=serve, daemon=True) for _ in jobs[:workers]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if not failed.empty():
        raise failed.get()
