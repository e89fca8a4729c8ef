"""A model that is asked for a rating: a rubric with the text to be rated put in as data.

What went wrong is kept apart: `unparsed` where the model's answer holds no rating, or its provider
stopped it for its content, which asking again would not change; `judge_error` where there was no
answer. Neither is a rating.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template
from typing import Generic, Literal, TypeVar

from inspect_ai.model import GenerateConfig, Model, get_model
from inspect_ai.util import LimitExceededError

from personalign.errors import InputError
from personalign.models.thoughts import without_thoughts

__all__ = ["FOLDER", "GRADER", "Answer", "Rubric", "ask", "check_judge", "judge_model"]

FOLDER = Path(str(resources.files("personalign.judges"))) / "rubrics"
"""The texts of all rubrics, a file each; what a rating was given by is named with its hash."""

GRADER = "grader"
"""Inspect's role of a judge: `inspect eval … --model-role grader=MODEL`."""

MAX_TOKENS = 512
RETRIES = 5
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rubric(Generic[T]):
    """How a model is asked for a rating, and how its answer is read.

    Attributes:
        name: The rubric's name.
        path: Text with the placeholders `$prompt`, `$reply` and `$mark`.
        parse: Reads the rating out of an answer; None where there is none.
    """

    name: str
    path: Path
    parse: Callable[[str], T | None]

    @property
    def identity(self) -> str:
        """Name and a hash of the text."""
        return f"{self.name}@{hashlib.sha256(self.path.read_bytes()).hexdigest()[:8]}"

    def filled(self, prompt: str, reply: str) -> str:
        """The text for one exchange; `$mark` is a hash that no part of the exchange contains."""
        mark = hashlib.sha256(f"{prompt}\0{reply}".encode()).hexdigest()[:12]
        text = Template(self.path.read_text(encoding="utf-8"))
        return text.substitute(prompt=prompt.strip(), reply=reply.strip(), mark=mark)


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """A rating, or why there is none; `said` is the model's answer or the error."""

    rating: T | None
    failure: Literal["unparsed", "judge_error"] | None
    said: str


def judge_model(name: str) -> Model:
    """An Inspect model by name; the role `grader` takes the one that the evaluation names.

    Raises:
        InputError: where no such model is there; a model is never its own judge by default.
    """
    try:
        if name == GRADER:
            return get_model(role=GRADER, required=True)
        return get_model(name)
    except Exception as e:  # Inspect raises its own, ValueErrors and import errors of providers
        reason = (str(e).strip() or type(e).__name__).splitlines()[0]
        raise InputError(
            f"judge model {name!r}: {reason}",
            "name one as Inspect does (openai/…, anthropic/…), or --model-role grader=…",
        ) from e


def check_judge(name: str) -> None:
    """Say before anything is asked that a model cannot judge; a role is known only while asking.

    Raises:
        InputError: as `judge_model`.
    """
    if name != GRADER:
        judge_model(name)


async def ask(model: Model, rubric: Rubric[T], prompt: str, reply: str) -> Answer[T]:
    """Ask for a rating of one reply, greedily."""
    config = GenerateConfig(temperature=0.0, max_tokens=MAX_TOKENS, max_retries=RETRIES)
    try:
        output = await model.generate(rubric.filled(prompt, reply), config=config)
    except LimitExceededError:
        raise
    except Exception as e:  # every provider raises its own
        return Answer(None, "judge_error", f"{type(e).__name__}: {e}")
    if output.error or output.stop_reason == "content_filter":
        return Answer(None, "unparsed", output.error or "stopped by the provider's filter")
    said = without_thoughts(output.completion)
    rating = rubric.parse(said)
    return Answer(rating, "unparsed" if rating is None else None, said)
