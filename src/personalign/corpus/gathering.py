"""Scenes of any source that a recipe can name: the shipped ones, a file, DailyDialog, a model."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from personalign.corpus import scenes
from personalign.corpus.ask import Asker, Limits, ask_with
from personalign.corpus.recipe import ModelChoice, Scenes
from personalign.errors import InputError
from personalign.files import write_atomic
from personalign.progress import Announce, unannounced
from personalign.records import Scene, to_jsonl
from personalign.runs import tree_hash

__all__ = ["content", "gathered", "scenes_of"]

R = TypeVar("R")
Asked = Callable[[Callable[[Asker], Awaitable[Any]]], Any]


def scenes_of(
    how: Scenes, out: Path, model: ModelChoice | None, announce: Announce = unannounced
) -> list[Scene]:
    """Scenes alone, written to a file; what a model is asked stands in a ledger beside it."""

    def asked(work: Callable[[Asker], Awaitable[R]]) -> R:
        if model is None:
            raise InputError("no model", "name one with --model, as Inspect does")
        return ask_with(work, model.name, model.base_url, out.parent / "ledger.sqlite", Limits())

    found = gathered(how, asked, announce)
    write_atomic(out, to_jsonl(found))
    return found


def gathered(how: Scenes, asked: Asked, announce: Announce) -> list[Scene]:
    """Scenes of any source, with areas from words or from the model."""

    def guess(texts: list[str]) -> list[str]:
        done = announce("areas of scenes", len(texts))
        tagged: list[str] = asked(lambda a: scenes.tag(a, texts, done))
        return tagged

    by = guess if how.tagger == "model" else None
    if how.source != "model":
        return scenes.gather(how.source, how.measure, by)
    total = sum(1 for _ in scenes.questions(how.topics, how.each))
    done = announce("scenes", total)
    texts = asked(lambda a: scenes.write(a, how.topics, how.each, progress=done))
    return scenes.make([(text, "") for text in texts], "written", how.measure, by)


def content(source: str) -> str:
    """What a source of scenes holds, where it lies on this machine; else its name."""
    if source in scenes.STARTER:
        return tree_hash(scenes.starter_folder() / scenes.STARTER[source])
    path = Path(source.removeprefix("dailydialog:"))
    return tree_hash(path) if path.exists() else source
