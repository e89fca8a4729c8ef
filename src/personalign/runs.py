"""A run folder: a manifest of finished steps, content hashes, atomic writes, resume.

A step is done when the hash of its inputs stands in the manifest together with the hashes of the
files it wrote, never because a file exists. Several processes may work in one folder, each on a
part that it holds; the manifest on the disk is what all of them did.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from personalign.errors import RunError
from personalign.files import cannot_write, write_atomic

__all__ = [
    "Run",
    "concurrently",
    "content_hash",
    "environment",
    "file_hash",
    "tree_hash",
    "write_atomic",
]

PACKAGES = ("personalign", "torch", "transformers", "peft", "accelerate", "scipy", "pandas")


def content_hash(value: Any) -> str:
    """sha256 of a value's canonical JSON (pydantic models and paths included)."""

    def plain(x: Any) -> Any:
        return x.model_dump(mode="json") if hasattr(x, "model_dump") else str(x)

    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=plain)
    return hashlib.sha256(text.encode()).hexdigest()


def file_hash(path: Path) -> str:
    """sha256 of a file's bytes."""
    total = hashlib.sha256()
    with path.open("rb") as f:
        while block := f.read(1 << 20):
            total.update(block)
    return total.hexdigest()


def tree_hash(path: Path) -> str:
    """Hash of a file, or of the names and contents of all files below a folder."""
    if path.is_file():
        return file_hash(path)
    files = sorted(p for p in path.rglob("*") if p.is_file())
    return content_hash([(str(p.relative_to(path)), file_hash(p)) for p in files])


def environment() -> dict[str, Any]:
    """Versions and hardware, for the manifest."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        "packages": versions,
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


class Run:
    """A folder in which a study's steps leave their files and a manifest says what is done."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest: dict[str, Any] = self._read()

    def _read(self) -> dict[str, Any]:
        path = self.path / "manifest.json"
        if not path.exists():
            return {"run": self.path.name, "steps": {}}
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(manifest, dict) or not isinstance(manifest.get("steps"), dict):
                raise ValueError("no steps in it")
        except (ValueError, OSError) as e:
            raise RunError(f"{path} is not a manifest: {e}", "move it away to start anew") from e
        return manifest

    def save(self, **entries: Any) -> None:
        """Write further top-level entries into the manifest."""
        self._change(lambda manifest: manifest.update(entries))

    def _change(self, change: Callable[[dict[str, Any]], Any]) -> None:
        """Change the manifest as it is on the disk now, where another process may have added."""
        with self._lock(".manifest.lock", fcntl.LOCK_EX):
            self.manifest = self._read()
            change(self.manifest)
            text = json.dumps(self.manifest, indent=2, ensure_ascii=False, default=str)
            write_atomic(self.path / "manifest.json", text + "\n")

    @contextmanager
    def locked(self, part: str = "") -> Iterator[None]:
        """Hold the folder, or one part of it, for this process.

        Raises:
            RunError: where another process holds it; for the whole folder, any part of it.
        """
        alone = fcntl.LOCK_EX | fcntl.LOCK_NB
        shared = fcntl.LOCK_SH | fcntl.LOCK_NB
        own = self._lock(f".lock-{part}", alone) if part else nullcontext()
        with self._lock(".lock", shared if part else alone), own:
            self.manifest = self._read()
            yield

    @contextmanager
    def _lock(self, name: str, how: int) -> Iterator[None]:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = (self.path / name).open("a+")  # to share a lock, NFS wants it readable
        except OSError as e:
            raise cannot_write(self.path, e) from e
        with lock:
            try:
                fcntl.flock(lock, how)
            except BlockingIOError as e:
                raise RunError(
                    f"another process is working in {self.path}", "wait for it, or use --out"
                ) from e
            except OSError as e:
                raise RunError(
                    f"cannot lock {self.path / name}: {e.strerror}",
                    "choose a folder with --out whose file system has locks",
                ) from e
            yield

    def is_done(self, name: str, inputs: Mapping[str, Any]) -> bool:
        """Do this step's inputs stand in the manifest, and are its files what it wrote?"""
        step = self.manifest["steps"].get(name)
        if step is None or step["inputs"] != content_hash(inputs):
            return False
        return all(
            (self.path / file).exists() and tree_hash(self.path / file) == digest
            for file, digest in step["files"].items()
        )

    def step(
        self, name: str, inputs: Mapping[str, Any], work: Callable[[], Iterable[Path]]
    ) -> bool:
        """Do a step unless it is done. Returns whether it had to be done.

        Args:
            name: The step's name, unique in the run.
            inputs: All that the result depends on, as JSON values or hashes.
            work: Does it, and returns the files or folders it wrote, inside the run's folder.
        """
        if self.is_done(name, inputs):
            return False
        began = time.monotonic()
        files = {str(p.relative_to(self.path)): tree_hash(p) for p in work()}
        done = {
            "inputs": content_hash(inputs),
            "files": files,
            "seconds": round(time.monotonic() - began, 2),
            "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        }
        self._change(lambda manifest: manifest["steps"].update({name: done}))
        return True

    def forget(self, name: str) -> None:
        """Let a step count as not done, so that the next run does it again."""
        if name in self.manifest["steps"]:
            self._change(lambda manifest: manifest["steps"].pop(name, None))

    def outputs(self, name: str) -> dict[str, str]:
        """Files of a finished step with their hashes, as input to the steps that follow."""
        files: dict[str, str] = self.manifest["steps"][name]["files"]
        return files


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
