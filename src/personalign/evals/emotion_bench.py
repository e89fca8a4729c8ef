"""What a model says it feels, before and after a situation (EmotionBench).

Huang et al. 2023 (arXiv 2308.03656): a questionnaire is answered once without a situation (the
default emotion) and once in each situation (the evoked emotion); what counts is the change, evoked
less default in the same category. PANAS is given in every situation, each of eight other scales in
those of its emotion. Situations, statements, instructions and keys are read from the benchmark's
own files; the sentences that join them are ours. Statements come in an order drawn for each sample,
because order moves answers, or in the given one where the instruction names them by number.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.model import ChatMessageSystem, ChatMessageUser, GenerateConfig
from inspect_ai.scorer import (
    Metric,
    SampleScore,
    Score,
    Scorer,
    Target,
    Value,
    grouped,
    mean,
    metric,
    scorer,
)
from inspect_ai.solver import TaskState, generate
from pydantic import Field, ValidationError, model_validator

from personalign.errors import CorpusError, InputError, unknown
from personalign.files import read_document
from personalign.models.thoughts import without_thoughts
from personalign.records import Record, ScoreRow

__all__ = [
    "DEFAULT",
    "EMOTIONS",
    "Questionnaire",
    "Situation",
    "emotion_bench",
    "parse",
    "questionnaires",
    "situations",
    "with_changes",
]

DEFAULT = "default"
"""The sample in which a questionnaire is answered without a situation."""

PREFIX = "emotionbench-"
"""What the names of these tasks begin with."""

EMOTIONS = {
    "AGQ": "Anger",
    "DASS-21": "Anxiety",
    "BDI": "Depression",
    "FDS": "Frustration",
    "MJS": "Jealousy",
    "GASP": "Guilt",
    "FSS": "Fear",
    "BFNE": "Embarrassment",
}
"""Scale → the emotion whose situations it is given in (the paper, section 3); PANAS: all."""

IMAGINE = "Put yourself in this situation: {situation}"
FORM = "Write one line for each, as `number: score`, and nothing else."
TOKENS_A_LINE = 8

LINE = re.compile(r"^\W*(\d+)\s*(?:[.:)=]+|-)\D*?(-?\d+(?:[.,]\d+)?)\b", re.M)
BARE = re.compile(r"(?<!\d)-?\d+(?:\.\d+)?")


class Category(Record):
    """A sub-scale: the statements that it sums."""

    cat_name: str
    cat_questions: tuple[int, ...] = Field(min_length=1)


class Questionnaire(Record):
    """One questionnaire as published; `scale` is lowest plus highest answer, to reverse with."""

    name: str
    questions: dict[int, str] = Field(min_length=1)
    compute_mode: Literal["SUM", "SUM*2"]
    prompt: str
    inner_setting: str
    scale: int
    reverse: tuple[int, ...]
    categories: tuple[Category, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> Questionnaire:
        if sum(self.range) != self.scale:
            raise ValueError(f"answers run over {self.range}, but reverse by {self.scale}")
        asked = {*self.reverse, *(q for c in self.categories for q in c.cat_questions)}
        if asked - set(self.questions):
            raise ValueError(f"no statement {sorted(asked - set(self.questions))}")
        return self

    @property
    def range(self) -> tuple[int, int]:
        """Lowest and highest answer, as the instruction states them."""
        found = re.search(r"from (\d) to (\d)", self.prompt)
        if found is None:
            raise ValueError("the instruction names no answers `from 1 to 5`")
        return int(found[1]), int(found[2])

    @property
    def numbered(self) -> bool:
        """Whether the instruction speaks of statements by number (MJS: "for question 1 to 8")."""
        return re.search(r"question \d", self.prompt) is not None

    def score(self, answers: dict[int, int]) -> dict[str, float]:
        """Category → score, from statement → answer."""
        keyed = {q: self.scale - a if q in self.reverse else a for q, a in answers.items()}
        factor = 2 if self.compute_mode == "SUM*2" else 1
        return {
            c.cat_name: float(factor * sum(keyed[q] for q in c.cat_questions))
            for c in self.categories
        }


@dataclass(frozen=True, slots=True)
class Situation:
    """One situation of one factor of one emotion."""

    id: str
    emotion: str
    factor: str
    text: str


def questionnaires(folder: Path) -> dict[str, Questionnaire]:
    """EmotionBench's questionnaires by name.

    Raises:
        CorpusError: naming the file and the questionnaire.
    """
    path = folder / "questionnaires.json"
    found = {}
    for row in read_document(path).data:
        try:
            found[row["name"]] = Questionnaire.model_validate(row)
        except ValidationError as e:
            first: Any = e.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise CorpusError(
                f"{path}, {row.get('name')}: {place} {first['msg']}", "mend the file"
            ) from e
    return found


def situations(folder: Path) -> list[Situation]:
    """EmotionBench's situations in the file's order.

    Raises:
        CorpusError: naming the file and what is missing in it.
    """
    path = folder / "situations.json"
    try:
        return list(_situations(read_document(path).data))
    except (KeyError, TypeError) as e:
        raise CorpusError(f"{path}: no {e}", "name EmotionBench's folder") from e


def _situations(data: Any) -> Iterator[Situation]:
    for emotion in data["emotions"]:
        name = emotion["name"]
        for number, factor in enumerate(emotion["factors"], start=1):
            for k, text in enumerate(factor["scenarios"], start=1):
                yield Situation(f"{name.lower()}-{number}-{k:02}", name, factor["name"], text)


def parse(reply: str, count: int, low: int, high: int) -> list[int] | None:
    """Answers to statements 1 to `count`, or None where one is missing or none of the scale's.

    Lines `number: score` are read first; failing that, exactly `count` bare numbers in order. A
    statement with two different answers has none.
    """
    reply = without_thoughts(reply)
    scale = {str(answer): answer for answer in range(low, high + 1)}
    lines = sorted({(int(number), answer) for number, answer in LINE.findall(reply)})
    bare = BARE.findall(reply)
    if [number for number, _ in lines] == list(range(1, count + 1)):
        answers = [answer for _, answer in lines]
    elif len(bare) == count:
        answers = bare
    else:
        return None
    return [scale[a] for a in answers] if scale.keys() >= set(answers) else None


@task
def emotion_bench(source: str = "", questionnaire: str = "PANAS", per_factor: int = 0) -> Task:
    """EmotionBench: one questionnaire without a situation, then in each that it is meant for.

    Args:
        source: Folder with `situations.json` and `questionnaires.json`.
        questionnaire: PANAS, AGQ, DASS-21, BDI, FDS, MJS, GASP, FSS or BFNE.
        per_factor: How many situations of each factor; 0 takes all.
    """
    if not source:
        raise InputError("EmotionBench is not shipped", "name its folder with -T source=...")
    known = questionnaires(Path(source))
    if questionnaire not in known:
        raise unknown("questionnaire", questionnaire, known)
    asked = known[questionnaire]
    return Task(
        name=f"{PREFIX}{questionnaire.lower()}",
        dataset=list(_samples(asked, situations(Path(source)), per_factor)),
        solver=generate(),
        scorer=feelings(asked),
        config=GenerateConfig(max_tokens=TOKENS_A_LINE * len(asked.questions), temperature=0.0),
        metadata={"metrics": [c.cat_name for c in asked.categories]},
    )


def _samples(asked: Questionnaire, known: Sequence[Situation], per_factor: int) -> Iterator[Sample]:
    yield _sample(asked, DEFAULT, "", {"emotion": DEFAULT})
    emotion = EMOTIONS.get(asked.name)
    seen: dict[str, int] = {}
    for s in known:
        place = f"{s.emotion}: {s.factor}"
        seen[place] = seen.get(place, 0) + 1
        if emotion in (None, s.emotion) and (not per_factor or seen[place] <= per_factor):
            yield _sample(asked, s.id, s.text, {"emotion": s.emotion, "cluster": place})


def _sample(asked: Questionnaire, name: str, situation: str, metadata: dict[str, Any]) -> Sample:
    order = list(asked.questions)
    if not asked.numbered:
        random.Random(f"{asked.name} {name}").shuffle(order)
    setting = IMAGINE.format(situation=situation) if situation else ""
    lines = "\n".join(f"{k}. {asked.questions[q]}" for k, q in enumerate(order, start=1))
    text = f"{asked.prompt.replace('SCENARIO', setting)}\n{lines}\n\n{FORM}"
    return Sample(
        id=name,
        input=[ChatMessageSystem(content=asked.inner_setting), ChatMessageUser(content=text)],
        metadata={**metadata, "order": order},
    )


@metric
def change() -> Metric:
    """Emotion → mean of its situations less the default; NaN where the default was not measured."""

    def compute(scores: list[SampleScore]) -> Value:
        told: dict[str, list[float]] = {}
        for s in scores:
            told.setdefault((s.sample_metadata or {})["emotion"], []).append(s.score.as_float())
        before = fmean(told.pop(DEFAULT, [math.nan]))
        return {emotion: fmean(values) - before for emotion, values in told.items()}

    return compute


@scorer(metrics={"*": [grouped(mean(), "emotion", all=False), change()]})
def feelings(asked: Questionnaire) -> Scorer:
    """The questionnaire's categories; their means by emotion, the default apart."""

    async def score(state: TaskState, target: Target) -> Score:
        reply, order = state.output.completion, state.metadata["order"]
        answers = parse(reply, len(order), *asked.range)
        if answers is None:
            missing = {c.cat_name: math.nan for c in asked.categories}
            return Score(value=missing, reason="invalid_response_format")
        return Score(value=dict(asked.score(dict(zip(order, answers, strict=True)))))

    return score


def with_changes(rows: Iterable[ScoreRow]) -> list[ScoreRow]:
    """Rows of any tasks; in those of EmotionBench the default apart, and what situations changed.

    Beside the row of a category (`Overall`) each situation gets one of the metric
    `Overall change`: its score less the default of the same arm, task and epoch, missing where
    either is. The default's own metric becomes `Overall default`, so that no mean over situations
    holds it. It is one answer, and its error is in all changes of its arm alike.
    """
    rows = list(rows)
    before = {_key(row): row for row in rows if _is_default(row)}
    return [made for row in rows for made in _told_apart(row, before.get(_key(row)))]


def _key(row: ScoreRow) -> tuple[str | int, ...]:
    return (row.base_model, row.persona, row.condition, row.task, row.metric, row.epoch)


def _is_default(row: ScoreRow) -> bool:
    return row.task.startswith(PREFIX) and row.sample == DEFAULT


def _told_apart(row: ScoreRow, before: ScoreRow | None) -> Iterator[ScoreRow]:
    if before is row:
        yield row.model_copy(update={"metric": f"{row.metric} default"})
        return
    yield row
    if before is not None:
        known = row.value is not None and before.value is not None
        yield row.model_copy(
            update={
                "metric": f"{row.metric} change",
                "value": row.value - before.value if known else None,  # type: ignore[operator]
                "state": before.state if row.value is not None else row.state,
            }
        )
