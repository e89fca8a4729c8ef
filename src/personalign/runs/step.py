"""When work is due: a step as data, which a runner does, here or on another machine.

A step is done when its key stands in the store together with the hashes of the files it wrote,
never because a file exists. Its key is the hash of its inputs, of what the steps that it needs
wrote, and of the code that matters for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from personalign.records import Record

__all__ = ["Done", "Resources", "Step"]


class Resources(Record):
    """What a step takes of a machine.

    Attributes:
        cpus: Cores that it keeps busy.
        memory_gib: Memory, as far as it is known before.
        gpus: Devices that it uses where there are any.
    """

    cpus: int = 1
    memory_gib: float = 1
    gpus: int = 0


@dataclass(frozen=True)
class Step:
    """One piece of work.

    Attributes:
        name: Unique in its run, as `KIND:…`.
        work: Does it, and gives the files or folders that it wrote, inside the run's folder.
        needs: Names of steps that must be done before.
        inputs: All that the result depends on beside what it needs, as JSON values or hashes;
            asked once what it needs is done.
        code: Modules whose code matters for the result; see `code.code_hash`.
        resources: What it takes.
        size: How much is to be done, in `unit`s; for a forecast.
        together: Steps of the same word answer through the same engine, and run at the same time.
        prepare: Called for all of them before any begins, so that nothing is loaded meanwhile.
        partial: Asked after the work: was something lost, so that the next run does it again?
    """

    name: str
    work: Callable[[], Iterable[Path]]
    needs: tuple[str, ...] = ()
    inputs: Callable[[], Mapping[str, Any]] = dict
    code: tuple[str, ...] = ()
    resources: Resources = field(default_factory=Resources)
    size: int = 1
    unit: str = "file"
    together: str = ""
    prepare: Callable[[], object] = lambda: None
    partial: Callable[[], bool] = lambda: False

    @property
    def kind(self) -> str:
        """The name without whom it is about: `measure:INFP-adapter:speech` is `measure:speech`."""
        return _kind(self.name)


class Done(Record):
    """A finished step, as the store keeps it.

    Attributes:
        key: Hash of all that the result depends on.
        files: What it wrote, by path inside the run's folder, with hashes.
        seconds: How long it took.
        finished: When, in UTC.
        partial: Something was lost: it counts for the steps after it, and is done again next time.
    """

    name: str
    key: str
    files: dict[str, str]
    seconds: float
    size: int = 1
    finished: str
    partial: bool = False

    @property
    def kind(self) -> str:
        """As `Step.kind`."""
        return _kind(self.name)


def _kind(name: str) -> str:
    first, *middle = name.split(":")
    return f"{first}:{middle[-1]}" if len(middle) > 1 else first
