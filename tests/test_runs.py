"""A run folder: done means that the inputs' hashes stand in the manifest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from personalign import runs
from personalign.errors import RunError
from personalign.files import write_atomic
from personalign.runs import Run, content_hash


def write(run: Run, text: str) -> list[Path]:
    return [write_atomic(run.path / "out.txt", text)]


def test_a_step_is_done_once(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert run.step("a", {"x": 1}, lambda: write(run, "one"))
    assert not Run(tmp_path).step("a", {"x": 1}, lambda: pytest.fail("done already"))


def test_changed_inputs_redo_the_step(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.step("a", {"x": 1}, lambda: write(run, "one"))
    assert run.step("a", {"x": 2}, lambda: write(run, "two"))
    assert (tmp_path / "out.txt").read_text() == "two"


@pytest.mark.parametrize("damage", ["remove", "change"])
def test_a_file_that_exists_is_no_proof(tmp_path: Path, damage: str) -> None:
    run = Run(tmp_path)
    run.step("a", {}, lambda: write(run, "one"))
    file = tmp_path / "out.txt"
    file.unlink() if damage == "remove" else file.write_text("other")
    assert run.step("a", {}, lambda: write(run, "one"))


def test_a_failed_step_is_not_done(tmp_path: Path) -> None:
    run = Run(tmp_path)
    with pytest.raises(ZeroDivisionError):
        run.step("a", {}, lambda: [Path(str(1 // 0))])
    assert not Run(tmp_path).is_done("a", {})


def test_a_broken_manifest_is_named(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(RunError, match=r"manifest\.json is not a manifest"):
        Run(tmp_path)


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


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from personalign.runs import Run\n"
        "from personalign.errors import RunError\n"
        "try:\n"
        "    with Run(Path(sys.argv[1])).locked(): pass\n"
        "except RunError as e: print(e)\n"
    )
    with Run(tmp_path).locked():
        asked = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True)
    assert b"another process is working" in asked.stdout


def test_parts_are_held_by_themselves_and_not_beside_the_whole(tmp_path: Path) -> None:
    first, second = Run(tmp_path), Run(tmp_path)
    with first.locked("INFP"):
        with second.locked("ESTJ"):
            pass
        for part in ("INFP", ""):
            with pytest.raises(RunError, match="another process"), second.locked(part):
                pass
    with first.locked(), pytest.raises(RunError, match="another process"), second.locked("ESTJ"):
        pass


def test_what_another_process_did_stays_in_the_manifest(tmp_path: Path) -> None:
    first, second = Run(tmp_path), Run(tmp_path)
    for run, name in ((first, "a"), (second, "b"), (first, "c")):
        run.step(name, {}, lambda name=name: [write_atomic(tmp_path / name, name)])
    second.forget("b")
    first.save(study="x")
    found = Run(tmp_path)
    assert list(found.manifest["steps"]) == ["a", "c"]
    assert found.manifest["study"] == "x"
    assert found.is_done("a", {})
    assert second.is_done("a", {})


def test_a_file_in_the_way_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot write"), Run(tmp_path / "file" / "run").locked():
        pass


def test_hash_does_not_depend_on_key_order() -> None:
    assert content_hash({"a": 1, "b": [2]}) == content_hash({"b": [2], "a": 1})
    assert content_hash({"a": 1}) != content_hash({"a": 2})


def test_environment_is_json() -> None:
    found = json.loads(json.dumps(runs.environment()))
    assert found["cores"] >= 1
    assert found["memory_mib"] > 0
    assert found["packages"]["torch"]
