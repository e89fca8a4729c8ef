"""Scenes: loading the starter corpus or a file, and what may be built from which split."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Literal

from personalign.errors import CorpusError, unknown
from personalign.records import Scene, read_jsonl

__all__ = ["STARTER", "load", "select", "starter_folder"]

STARTER = {"starter/mbti": "mbti", "starter/big_five": "big_five"}


def starter_folder() -> Path:
    """Where the shipped corpora lie."""
    return Path(str(resources.files("personalign.corpus"))) / "starter"


def load(source: str) -> list[Scene]:
    """Scenes of a shipped corpus (`starter/mbti`, `starter/big_five`), a file, or a folder.

    Raises:
        CorpusError: naming file and line of a malformed scene, or a scene id that comes twice.
    """
    path = starter_folder() / STARTER[source] if source in STARTER else Path(source)
    if not path.exists():
        raise unknown("corpus", source, STARTER)
    files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    scenes = [scene for file in files for scene in read_jsonl(file, Scene)]
    seen: set[str] = set()
    for scene in scenes:
        if scene.id in seen:
            raise CorpusError(f"{source}: scene id {scene.id!r} comes twice", "rename one")
        seen.add(scene.id)
    if not scenes:
        raise CorpusError(f"{source}: no scenes in it", "name a JSON Lines file of scenes")
    return scenes


def select(
    scenes: Sequence[Scene], split: Literal["build", "measure"], limit: int | None = None
) -> list[Scene]:
    """Scenes of one split; with a limit, taken from the areas in turn, so that all are met."""
    chosen = [s for s in scenes if s.split == split]
    if not chosen:
        raise CorpusError(f"no scene has split {split!r}", "mark some scenes with it")
    if limit is None:
        return chosen
    rank: dict[str, int] = {}
    turns = []
    for scene in chosen:
        turns.append(rank.get(scene.area, 0))
        rank[scene.area] = turns[-1] + 1
    order = sorted(range(len(chosen)), key=lambda i: turns[i])[:limit]
    return [chosen[i] for i in sorted(order)]
