"""A run folder: what it is about in `manifest.json`, and a record of each finished step.

A record is written whole or not at all, each in a file of its own, so that several processes,
machines too, may do steps of one run in one folder without a lock: who does a step puts a claim
beside its record, renews it while at work and takes it away; a claim that is not renewed, or
whose process is gone, is nobody's. Two that did the same step all the same wrote the same.
"""

from __future__ import annotations

import json
import os
import socket
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.parse import quote

import fsspec
from pydantic import ValidationError

from personalign.errors import RunError
from personalign.files import cannot_write, write_atomic
from personalign.runs.code import code_hash
from personalign.runs.hashing import content_hash, tree_hash
from personalign.runs.step import Done, Step

__all__ = ["MANIFEST", "Store"]

MANIFEST, STEPS = "manifest.json", "steps"
ABSENT = (FileNotFoundError, NotADirectoryError)
RENEWED = 10.0  # seconds between two signs of life of a claim
LOST = 60.0  # after so long without one it is nobody's


class Store:
    """A run's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files = fsspec.filesystem("file")
        self.me = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex}"

    # What the run is about.

    @property
    def manifest(self) -> dict[str, Any]:
        """What the run is about: its study, base, template, machine.

        Raises:
            RunError: where it cannot be read, or was written when steps still stood in it.
        """
        path = self.path / MANIFEST
        if not path.exists():
            return {"run": self.path.name}
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(manifest, dict):
                raise ValueError("no object")
        except (ValueError, OSError) as e:
            raise RunError(f"{path} is not a manifest: {e}", "move it away to start anew") from e
        if "steps" in manifest:
            raise RunError(
                f"{self.path} was made by an earlier version, whose steps this one cannot go on "
                "with", "name another folder with --out; `personalign report` still reads it",
            )  # fmt: skip
        return manifest

    def save(self, **entries: Any) -> None:
        """Write further entries into the manifest."""
        text = json.dumps(self.manifest | entries, indent=2, ensure_ascii=False, default=str)
        write_atomic(self.path / MANIFEST, text + "\n")

    # What is done.

    def key(self, step: Step) -> str:
        """Hash of all that a step's result depends on; what it needs must be done.

        What a needed step wrote counts, not that it was done: one that wrote nothing says nothing.
        """
        wrote = {name: self.outputs(name) for name in step.needs}
        return content_hash(
            {
                "inputs": step.inputs(),
                "needs": {name: files for name, files in wrote.items() if files},
                "code": code_hash(*step.code),
            }
        )

    def record(self, name: str) -> Done | None:
        """What is known of a finished step; None where it is not finished."""
        path = self._file(name)
        try:
            with self.files.open(path, "r", encoding="utf-8") as f:
                return Done.model_validate_json(f.read())
        except ABSENT:
            return None
        except (ValidationError, OSError) as e:
            raise RunError(f"{path} is not a record of a step", "delete it to do it again") from e

    def records(self) -> Iterator[Done]:
        """All finished steps, in the order in which they were finished."""
        names = sorted((self.path / STEPS).glob("*.json"), key=lambda p: p.stat().st_mtime_ns)
        found = (self._read(path) for path in names)
        yield from (done for done in found if done)

    def _read(self, path: Path) -> Done | None:
        with suppress(ValidationError, FileNotFoundError):
            return Done.model_validate_json(path.read_text(encoding="utf-8"))
        return None

    def is_done(self, step: Step) -> bool:
        """Does its key stand in the record, whole, and are its files what it wrote?"""
        done = self.record(step.name)
        return (
            done is not None
            and not done.partial
            and done.key == self.key(step)
            and self.holds(done)
        )

    def holds(self, done: Done) -> bool:
        """Are the files of a finished step there, as it wrote them?"""
        return all(
            (self.path / file).exists() and tree_hash(self.path / file) == digest
            for file, digest in done.files.items()
        )

    def outputs(self, name: str) -> dict[str, str]:
        """Files of a finished step with their hashes.

        Raises:
            RunError: where it is not finished.
        """
        done = self.record(name)
        if done is None:
            raise RunError(f"step {name} is not done in {self.path}", "do it first")
        return done.files

    def do(self, step: Step) -> Done:
        """Do a step, done or not, and write its record."""
        key, began = self.key(step), time.monotonic()
        self.forget(step.name)
        files = self._hashed(step.work())
        done = Done(
            name=step.name,
            key=key,
            files=files,
            seconds=round(time.monotonic() - began, 2),
            size=step.size,
            finished=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            partial=step.partial(),
        )
        self._put(self._file(step.name), done.model_dump_json(indent=1) + "\n")
        return done

    def _hashed(self, files: Iterable[Path]) -> dict[str, str]:
        return {str(p.relative_to(self.path)): tree_hash(p) for p in files}

    def forget(self, name: str) -> None:
        """Let a step count as not done."""
        with suppress(*ABSENT):
            self.files.rm_file(self._file(name))

    def _file(self, name: str, kind: str = "json") -> str:
        return str(self.path / STEPS / f"{quote(name, safe='+-._')}.{kind}")

    def _put(self, path: str, text: str) -> None:
        """Write a file whole or not at all, on whatever file system."""
        torn = f"{path}.{uuid.uuid4().hex}.tmp"
        try:
            self.files.makedirs(str(Path(path).parent), exist_ok=True)
            with self.files.open(torn, "w", encoding="utf-8") as f:
                f.write(text)
            self.files.mv(torn, path)
        except OSError as e:
            raise cannot_write(Path(path), e) from e

    # Who is at work.

    @contextmanager
    def claimed(self, name: str) -> Iterator[bool]:
        """Hold a step for this process; False where another one is at it."""
        if not self._claim(name):
            yield False
            return
        stop = Event()
        renewing = Thread(target=self._renew, args=(name, stop), daemon=True)
        renewing.start()
        try:
            yield True
        finally:
            stop.set()
            renewing.join()
            with suppress(FileNotFoundError):
                self.files.rm_file(self._file(name, "claim"))

    def _claim(self, name: str) -> bool:
        path = self._file(name, "claim")
        claim = self._claimant(path)
        if claim and claim["who"] != self.me and _lives(claim):
            return False
        self._put(path, self._sign())
        seen = self._claimant(path)  # another may have been as quick: who wrote last has it
        return seen is not None and seen["who"] == self.me

    def _claimant(self, path: str) -> Mapping[str, Any] | None:
        try:
            with self.files.open(path, "r", encoding="utf-8") as f:
                found = json.loads(f.read())
            return {"who": str(found["who"]), "at": float(found["at"])}
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def _sign(self) -> str:
        return json.dumps({"who": self.me, "at": time.time()})

    def _renew(self, name: str, stop: Event) -> None:
        while not stop.wait(RENEWED):
            with suppress(RunError):  # the folder is away for a moment
                self._put(self._file(name, "claim"), self._sign())


def _lives(claim: Mapping[str, Any]) -> bool:
    """Was it renewed lately, by a process that is still there as far as this machine knows?"""
    if time.time() - claim["at"] > LOST:
        return False
    host, process, _ = claim["who"].rsplit(":", 2)
    return host != socket.gethostname() or _is_running(int(process))


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
