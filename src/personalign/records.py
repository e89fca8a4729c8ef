"""What crosses rooms: frozen records, each of which is a line in a file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from personalign.errors import InputError, unknown

__all__ = [
    "BASE",
    "PARTS",
    "Arm",
    "Condition",
    "Message",
    "PreferencePair",
    "Record",
    "Scene",
    "ScoreRow",
    "State",
    "Transcript",
    "to_jsonl",
    "visible",
]

PARTS = ["prompted", "adapter"]
"""What can be done to a base, in the order in which a condition names it: the persona in the system
prompt, in the weights. `study.parts` says how each is made and adds others."""


class Condition(str):
    """How a model is asked: `base`, or parts of it joined by `+`, such as `prompted+adapter`.

    Attributes:
        parts: The parts in the order of `PARTS`; none under `base`.

    Raises:
        InputError: for a part that is unknown or stands there twice.
    """

    parts: tuple[str, ...]

    def __new__(cls, text: str) -> Condition:
        """Parsed once; `adapter+prompted` is `prompted+adapter`."""
        named = [] if text == "base" else text.split("+")
        if strange := [part for part in named if part not in PARTS]:
            options = ["base", *PARTS]
            raise unknown("condition", text if len(named) == 1 else strange[0], options)
        if len(set(named)) < len(named):
            raise InputError(f"condition {text!r} names a part twice", "name each part once")
        parts = tuple(sorted(named, key=PARTS.index))
        self = super().__new__(cls, "+".join(parts) or "base")
        self.parts = parts
        return self

    @property
    def order(self) -> tuple[int, list[int]]:
        """Sorts conditions for people: base, single parts, sums."""
        return len(self.parts), [PARTS.index(part) for part in self.parts]

    def without(self, part: str) -> Condition:
        """The condition less one of its parts."""
        return Condition("+".join(p for p in self.parts if p != part) or "base")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> CoreSchema:
        return core_schema.no_info_after_validator_function(
            cls._validated,
            core_schema.str_schema(),
            serialization=core_schema.plain_serializer_function_ser_schema(str),
        )

    @classmethod
    def _validated(cls, text: str) -> Condition:
        try:
            return cls(text)
        except InputError as e:
            told = {"what": e.what, "remedy": e.remedy}
            raise PydanticCustomError("condition", "{what} — {remedy}", told) from e


State = Literal["ok", "refused", "unparsed", "incoherent", "judge_error", "error"]
"""What became of one measurement; only `ok` carries a value."""


def visible(text: str) -> bool:
    """Whether anything of a text can be seen: white space and zero-width characters cannot."""
    return any(c.isprintable() and not c.isspace() for c in text)


class Record(BaseModel):
    """Frozen, and unknown keys are an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def keys_at(cls, place: Sequence[str]) -> list[str]:
        """The keys of a section: of the record itself, or of the one that stands at a place in it.

        A place in a mapping goes by any of its keys.
        """
        if not place:
            return list(cls.model_fields)
        inner = _record_of(cls.model_fields[place[0]].annotation)
        mapped = get_origin(cls.model_fields[place[0]].annotation) is dict
        return inner.keys_at(place[2 if mapped else 1 :]) if inner else []


def _record_of(annotation: Any) -> type[Record] | None:
    """The record in an annotation, alone or among others."""
    if isinstance(annotation, type) and issubclass(annotation, Record):
        return annotation
    return next((found for a in get_args(annotation) if (found := _record_of(a))), None)


class Arm(Record):
    """Who is measured: a persona under a condition, from one seed of training; base has no persona.

    `seed` is 0 where nothing was trained, or only once.
    """

    persona: str = ""
    condition: Condition = Condition("base")
    seed: int = 0

    @property
    def label(self) -> str:
        """For people: `INFP · adapter`, or the condition alone where there is no persona."""
        named = [self.persona, self.condition, f"seed {self.seed}" if self.seed else ""]
        return " · ".join(name for name in named if name)

    @property
    def slug(self) -> str:
        """Name of the arm's files."""
        named = [self.persona, self.condition, str(self.seed or "")]
        return "-".join(name for name in named if name)

    @property
    def adapter(self) -> str | None:
        """Name of the adapter that answers, if any."""
        return self.persona if "adapter" in self.condition.parts else None


BASE = Arm()
"""The model as it is."""


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
        if not all(map(visible, self.replies.values())):
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
    def _is_one(self) -> PreferencePair:
        if self.prompt[-1].role != "user":
            raise ValueError("the last message of a prompt must be the user's")
        for name, side in (("chosen", self.chosen), ("rejected", self.rejected)):
            if len(side) != 1 or side[0].role != "assistant":
                raise ValueError(f"{name} must be one message, the assistant's")
            if not visible(side[0].content):
                raise ValueError(f"the {name} reply is blank")
        return self

    @model_validator(mode="after")
    def _differ(self) -> PreferencePair:
        if self.chosen == self.rejected:
            raise ValueError("the chosen reply equals the rejected one")
        return self


class ScoreRow(Record):
    """One number that one model under one condition got on one sample; the one long table.

    `persona` is empty under the condition `base`, which has none; `seed` is that of the training
    run whose adapter answered (0 where there was one, or none). `cluster` groups samples that
    are not independent (a harm category, a dichotomy); it is the sample's own id where they are.
    """

    run: str
    base_model: str
    persona: str
    condition: Condition
    seed: int = 0
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


def to_jsonl(records: Iterable[BaseModel] | Sequence[BaseModel]) -> str:
    """JSON Lines text of records, one a line, with a final newline."""
    return "".join(r.model_dump_json(exclude_defaults=False) + "\n" for r in records)
