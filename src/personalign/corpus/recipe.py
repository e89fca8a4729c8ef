"""What a corpus is made from: who, by which model, about what; a YAML file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from personalign.corpus.ask import Limits
from personalign.corpus.crawl import Crawl
from personalign.corpus.dialogues import Style
from personalign.corpus.gates import Gates
from personalign.corpus.reject import Rejecting
from personalign.errors import InputError, unknown
from personalign.files import read_document
from personalign.records import Record

__all__ = ["ModelChoice", "Recipe", "Scenes", "read_recipe", "recipe_of"]


class ModelChoice(Record):
    """A model by the name that Inspect gives it, and where it is if that is not known."""

    name: str
    base_url: str | None = None


class Scenes(Record):
    """Where scenes come from."""

    source: str = "starter/mbti"
    """`starter/mbti`, a file of scenes or situations, `dailydialog:PATH-or-Hub-id`, or `model`."""
    topics: tuple[str, ...] = ()
    """With the source `model`: what to think of situations about."""
    each: int = Field(default=20, ge=1)
    """With the source `model`: situations for a topic."""
    limit: int | None = Field(default=None, ge=1)
    measure: float = Field(default=0.2, ge=0, lt=1)
    """Share that is kept for measuring; scenes that bring a split keep it."""
    tagger: Literal["words", "model"] = "words"
    """Who names the area of scenes that come without: words in common, or the model."""


class Recipe(Record):
    """One corpus: who, by which model, about what, and how."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    persona: str
    opposite: str = ""
    """The persona of the rejected replies; by default the persona's own opposite."""
    model: ModelChoice
    rejected_model: ModelChoice | None = None
    """Who writes the rejected replies: for the way `base`, the model that is to be trained."""
    crawl: Crawl | None = None
    profile: str = ""
    """A profile file; by default from the crawled pages, or from the persona's own file."""
    scenes: Scenes = Scenes()
    count: int = Field(default=100, ge=1)
    """Dialogues to ask for, about scenes that build."""
    measure: int = Field(default=0, ge=0)
    """Dialogues about scenes that measure: their pairs verify the persona, and never build it."""
    dialogues: Style = Style()
    rejected: Rejecting = Rejecting()
    gates: Gates = Gates()
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _topics_for_model(self) -> Recipe:
        if self.scenes.source == "model" and not self.scenes.topics:
            raise ValueError("scenes from a model need topics")
        return self


def recipe_of(persona: str, model: str, settings: Sequence[str] = ()) -> Recipe:
    """A recipe from the command line.

    Args:
        settings: More of it as `key=value`, a key of a section with dots: `count=20`,
            `scenes.source=mine.jsonl`. Values are YAML.

    Raises:
        InputError: naming the setting, what is wrong with it, and the nearest that is there.
    """
    data: dict[str, Any] = {"name": "corpus", "persona": persona, "model": {"name": model}}
    for setting in settings:
        key, given, value = setting.partition("=")
        if not given:
            raise InputError(f"--set {setting!r} is not key=value", "write for example count=20")
        *places, last = key.split(".")
        at = data
        for place in places:
            at = at.setdefault(place, {})
        at[last] = _value(key, value)
    try:
        return Recipe.model_validate(data)
    except ValidationError as e:
        raise _bad_setting(e) from e


def _value(key: str, text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as e:
        raise InputError(f"--set {key}: {text!r} is no YAML", "put quotes around it") from e


def _bad_setting(error: ValidationError) -> InputError:
    first: Any = error.errors()[0]
    place = [str(part) for part in first["loc"]]
    if first["type"] == "extra_forbidden":
        where = ".".join(["--set", *place[:-1]])
        return unknown("key", place[-1], Recipe.keys_at(place[:-1]), where)
    return InputError(f"--set {'.'.join(place)}: {first['msg']}", "see docs/corpus.md")


def read_recipe(path: Path) -> Recipe:
    """A recipe from a YAML file.

    Raises:
        InputError: naming the file, the key and what is wrong with it.
    """
    return read_document(path).as_record(Recipe, "see docs/corpus.md")
