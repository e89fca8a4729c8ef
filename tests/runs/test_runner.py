"""Steps are done once, in the order of their needs, by however many processes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from personalign.errors import RunError
from personalign.files import write_atomic
from personalign.progress import silent
from personalign.runs import Step, Store, do_all, states
from personalign.runs import runner as room


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def writes(store: Store, name: str, text: str = "") -> Callable[[], Iterable[Path]]:
    return lambda: [write_atomic(store.path / name, text)]


def test_what_is_needed_comes_first_and_nothing_twice(store: Store) -> None:
    steps = [
        Step("c", writes(store, "c"), needs=("b",)),
        Step("a", writes(store, "a")),
        Step("b", writes(store, "b"), needs=("a",)),
    ]
    assert do_all(steps, store) == ["a", "b", "c"]
    assert do_all(steps, store) == []
    assert set(states(steps, store).values()) == {"done"}


def test_a_changed_input_redoes_what_depends_on_it_and_nothing_else(store: Store) -> None:
    def steps(text: str) -> list[Step]:
        return [
            Step("a", writes(store, "a", text), inputs=lambda: {"text": text}),
            Step("b", writes(store, "b"), needs=("a",)),
            Step("other", writes(store, "other")),
        ]

    do_all(steps("one"), store)
    assert states(steps("two"), store) == {"a": "due", "b": "waiting", "other": "done"}
    assert do_all(steps("two"), store) == ["a", "b"]


def test_steps_of_one_engine_are_done_at_the_same_time_once_all_is_loaded(store: Store) -> None:
    meeting, loaded = threading.Barrier(3, timeout=20), list[str]()

    def work(name: str) -> Callable[[], Iterable[Path]]:
        def meet() -> Iterable[Path]:
            assert len(loaded) == 3
            meeting.wait()
            return writes(store, name)()

        return meet

    steps = [Step(n, work(n), together="base", prepare=lambda n=n: loaded.append(n)) for n in "abc"]
    assert sorted(do_all(steps, store)) == ["a", "b", "c"]


def test_a_need_that_is_nowhere_is_named(store: Store) -> None:
    with pytest.raises(RunError, match="b needs a, which is not done"):
        do_all([Step("b", writes(store, "b"), needs=("a",))], store)
    do_all([Step("a", writes(store, "a"))], store)
    assert do_all([Step("b", writes(store, "b"), needs=("a",))], store) == ["b"]


def test_what_another_process_is_at_is_waited_for(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = [Step("a", writes(store, "a")), Step("b", writes(store, "b"), needs=("a",))]
    other = Store(store.path)
    claim = other.claimed("a")
    assert claim.__enter__()

    def meanwhile(seconds: float) -> None:
        other.do(steps[0])
        claim.__exit__(None, None, None)

    monkeypatch.setattr(room.time, "sleep", meanwhile)
    told = list[str]()
    assert do_all(steps, store, lambda name, total: told.append(name) or silent) == ["b"]
    assert told == ["another process is at a: waiting"]


def test_an_error_leaves_what_was_done(store: Store) -> None:
    def fail() -> Iterable[Path]:
        raise RunError("the disk is full", "make room")

    steps = [Step("a", writes(store, "a")), Step("b", fail)]
    with pytest.raises(RunError, match="the disk is full"):
        do_all(steps, store)
    assert store.is_done(steps[0])
    assert not list((store.path / "steps").glob("*.claim"))
