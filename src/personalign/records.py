"""What crosses rooms: frozen records, each of which is a line in a file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from personalign.errors import CorpusError

__all__ = [
    "Condition",
    "Message",
    "PreferencePair",
    "Record",
    "Scene",
    "ScoreRow",
    "State",
    "Transcript",
    "read_jsonl",
    "to_jsonl",
]

Condition = Literal["base", "prompted", "adapter", "prompted+adapter"]
"""How a model is asked: persona in neither, in the system prompt, in the weights, or in both."""

State = Literal["ok", "refused", "unparsed", "judge_error", "error"]
"""What became of one measurement; only `ok` carries a value."""


class Record(BaseModel):
    """Frozen, and unknown keys are an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Message(Record):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str = Field(min_length=1)


class Scene(Record):
    """One situation: what a person says to a companion, and what different personas answer.

    What builds a persona never measures it: `split` says which of the two a scene is for.
    """

    id: str
    area: str
    split: Literal["build", "measure"]
    prompt: tuple[Message, ...] = Field(min_length=1)
    replies: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _ends_with_user(self) -> Scene:
        if self.prompt[-1].role != "user":
            raise ValueError("the last message of a prompt must be the user's")
        if any(not text.strip() for text in self.replies.values()):
            raise ValueError("a reply is empty")
        return self


class PreferencePair(Record):
    """One preference in TRL's conversational form, with where it came from.

    `prompt`, `chosen` and `rejected` are lists of messages, so that a JSON Lines file of pairs
    is a data set for TRL's DPOTrainer as it stands; `origin` is provenance and may be dropped.
    """

    prompt: tuple[Message, ...] = Field(min_length=1)
    chosen: tuple[Message, ...] = Field(min_length=1)
    rejected: tuple[Message, ...] = Field(min_length=1)
    origin: dict[str, str | int | float] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _differ(self) -> PreferencePair:
        if self.chosen == self.rejected:
            raise ValueError("the chosen reply equals the rejected one")
        return self


class ScoreRow(Record):
    """One number that one model under one condition got on one sample; the one long table.

    `persona` is empty under the condition `base`, which has none. `cluster` groups samples that
    are not independent (a harm category, a dichotomy); it is the sample's own id where they are.
    """

    run: str
    base_model: str
    persona: str
    condition: Condition
    task: str
    sample: str
    cluster: str
    epoch: int = 0
    metric: str
    value: float | None
    state: State = "ok"

    @model_validator(mode="after")
    def _value_if_ok(self) -> ScoreRow:
        if (self.value is not None) != (self.state == "ok"):
            raise ValueError(f"state {self.state!r} and value {self.value!r} do not go together")
        return self


class Transcript(Record):
    """A free-text reply, kept to be read: model output, so untrusted text.

    `judged` is what a judge said of it, in the judge's words; untrusted too. `cut` says whether it
    stopped at its limit of tokens, where that is known.
    """

    persona: str
    condition: Condition
    task: str
    sample: str
    prompt: tuple[Message, ...]
    reply: str
    tokens: int
    seed: int
    judged: str = ""
    cut: bool | None = None


R = TypeVar("R", bound=BaseModel)


def read_jsonl(path: Path, kind: type[R]) -> list[R]:
    """Records of one kind from a JSON Lines file.

    Raises:
        CorpusError: naming file, line number and what is wrong with it.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as e:
        raise CorpusError(f"{path}: not UTF-8 at byte {e.start}", "save the file as UTF-8") from e
    except OSError as e:
        raise CorpusError(f"cannot read {path}: {e.strerror}", "check the path") from e
    return [
        _parse(line, kind, f"{path}:{number}")
        for number, line in enumerate(text.split("\n"), start=1)
        if line.strip()
    ]


def _parse(line: str, kind: type[R], place: str) -> R:
    try:
        return kind.model_validate(json.loads(line))
    except json.JSONDecodeError as e:
        raise CorpusError(f"{place}: not JSON: {e.msg} at column {e.colno}", "mend the line") from e
    except ValidationError as e:
        first: Any = e.errors()[0]
        field = ".".join(map(str, first["loc"])) or kind.__name__
        raise CorpusError(f"{place}: {field}: {first['msg']}", "mend the line") from e


def to_jsonl(records: Iterable[BaseModel] | Sequence[BaseModel]) -> str:
    """JSON Lines text of records, one a line, with a final newline."""
    return "".join(r.model_dump_json(exclude_defaults=False) + "\n" for r in records)
