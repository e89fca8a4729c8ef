"""A run folder: done means that a step's key and its files' hashes stand in its record."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from personalign import runs
from personalign.errors import RunError
from personalign.files import write_atomic
from personalign.runs import Step, Store, content_hash
from personalign.runs import store as room


def step(store: Store, name: str = "a", text: str = "one", **options: Any) -> Step:
    inputs = options.pop("inputs", {})
    return Step(
        name,
        lambda: [write_atomic(store.path / f"{name}.txt", text)],
        inputs=lambda: inputs,
        **options,
    )


def test_a_step_is_done_once_its_record_is_there(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert not store.is_done(step(store))
    done = store.do(step(store))
    assert Store(tmp_path).is_done(step(store))
    assert list(done.files) == ["a.txt"]
    assert not store.is_done(step(store, inputs={"x": 2}))


@pytest.mark.parametrize("damage", ["remove", "change"])
def test_a_file_that_exists_is_no_proof(tmp_path: Path, damage: str) -> None:
    store = Store(tmp_path)
    store.do(step(store))
    file = tmp_path / "a.txt"
    file.unlink() if damage == "remove" else file.write_text("other")
    assert not store.is_done(step(store))


def test_what_a_need_wrote_counts(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.do(step(store))
    after = step(store, "b", needs=("a",))
    store.do(after)
    store.do(step(store, text="one"))  # again, and the same came out
    assert store.is_done(after)
    store.do(step(store, text="two"))
    assert not store.is_done(after)


def test_a_failed_step_is_not_done(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def fail() -> Iterable[Path]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.do(Step("a", fail))
    assert store.record("a") is None


def test_a_partial_step_counts_for_what_follows_and_is_done_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.do(step(store, partial=lambda: True))
    assert not store.is_done(step(store))
    assert store.outputs("a")


def test_names_are_safe_and_come_back(tmp_path: Path) -> None:
    store, name = Store(tmp_path), "measure:INFP-a+b:../x/y"
    store.do(Step(name, lambda: []))
    (found,) = store.records()
    assert found.name == name
    assert [p.parent for p in (tmp_path / "steps").iterdir()] == [tmp_path / "steps"]


def test_a_broken_manifest_or_record_is_named(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(RunError, match=r"manifest\.json is not a manifest"):
        _ = Store(tmp_path).manifest
    (tmp_path / "steps").mkdir()
    (tmp_path / "steps" / "a.json").write_text("{")
    with pytest.raises(RunError, match=r"a\.json is not a record of a step"):
        Store(tmp_path).record("a")


def test_a_folder_of_an_earlier_version_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"run": "x", "steps": {"collect": {}}}')
    with pytest.raises(RunError, match=r"earlier version.*another folder.*report"):
        Store(tmp_path).save(study="x")


def test_atomic_write_leaves_the_old_file_on_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_atomic(tmp_path / "f", "old")

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match=r"No space left.*MiB free.*finished steps are kept"):
        write_atomic(file, "new")
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_claim_is_respected_while_its_process_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, other = Store(tmp_path), Store(tmp_path)
    with mine.claimed("a") as held, other.claimed("a") as second, other.claimed("b") as beside:
        assert (held, second, beside) == (True, False, True)
    with other.claimed("a") as held:
        assert held
    with mine.claimed("a"):
        monkeypatch.setattr(room, "LOST", -1.0)  # it was not renewed for too long
        with other.claimed("a") as held:
            assert held


def test_the_claim_of_a_killed_process_is_nobodys(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from personalign.runs import Store\n"
        "with Store(Path(sys.argv[1])).claimed('a'): os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert list((tmp_path / "steps").glob("*.claim"))
    with Store(tmp_path).claimed("a") as held:
        assert held


def test_a_claim_is_renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "RENEWED", 0.01)
    with Store(tmp_path).claimed("a"):
        file = next((tmp_path / "steps").glob("*.claim"))
        first = json.loads(file.read_text())["at"]
        for _ in range(500):
            if json.loads(file.read_text())["at"] > first:
                return
            time.sleep(0.01)
    pytest.fail("not renewed")


def test_a_file_in_the_way_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = Store(tmp_path / "file" / "run")
    with pytest.raises(RunError, match="cannot write"):
        store.do(Step("a", lambda: []))


def test_hash_does_not_depend_on_key_order() -> None:
    assert content_hash({"a": 1, "b": [2]}) == content_hash({"b": [2], "a": 1})
    assert content_hash({"a": 1}) != content_hash({"a": 2})


def test_environment_is_json() -> None:
    found = json.loads(json.dumps(runs.environment()))
    assert found["cores"] >= 1
    assert found["memory_mib"] > 0
    assert found["packages"]["torch"]
