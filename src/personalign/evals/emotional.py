"""Emotional understanding: how strongly a character feels each of four emotions (EQ-Bench).

The two formulas are the benchmark's. Version 1 (Paech 2023, arXiv 2312.06281, section 3) brings
an answer to a sum of ten and takes its distance from the reference off ten. Version 2 (the
benchmark's site, "EQ-Bench v2") leaves answers as they are, forgives small differences by an
S-shaped curve, and is scaled so that random answers score about 0. Both are given in percent: the
reference scores 100, and a score may be negative. An answer has a first pass, a critique and
revised scores; each pass is scored by itself, and the share that could be read stands beside it.
What the benchmark calls a model's score, the better of the passes, is in the log: `final_score`.

A benchmark item brings its own prompt in the data file. For the shipped set the prompt is ours
and asks for the same format.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.model import GenerateConfig
from inspect_ai.scorer import (
    Metric,
    SampleScore,
    Score,
    Scorer,
    Target,
    Value,
    mean,
    metric,
    scorer,
    stderr,
)
from inspect_ai.solver import TaskState, generate
from pydantic import Field, ValidationError, model_validator

from personalign.errors import CorpusError, InputError
from personalign.evals.sources import hub_rows, own_name
from personalign.files import read_document, read_records, rows
from personalign.models.thoughts import without_thoughts
from personalign.records import Record

__all__ = [
    "METRICS",
    "STARTER",
    "EmotionalItem",
    "dialogues",
    "eq_bench",
    "final_score",
    "parse",
    "read",
    "score_v1",
    "score_v2",
    "task_name",
]

STARTER = "starter"
FILES = {1: "eq_bench_v1_questions_60.json", 2: "eq_bench_v2_questions_171.json"}
SIZES = {60: "eq-bench-v1", 171: "eq-bench-v2"}
"""Number of items → name; a file of another size does not bear the benchmark's."""

HUB = "pbevan11/EQ-Bench"
END = "[End of answer]"
MAX_TOKENS = 600
PASSES = ("first", "revised")
METRICS = tuple(f"{p}_{m}" for p in PASSES for m in ("v1", "v2", "parsed"))
"""`first_v1`, `first_v2`, `revised_v1`, `revised_v2` in percent; `…_parsed` is 1 or 0."""

ENOUGH = 0.8333
"""Share of items that must have been scored for the benchmark to give a model a score."""

HEADING = re.compile(r"^[\W\d]*revised\b|\brevised (?:scores|ratings)[*_ ]*:", re.I | re.M)
"""Where the revised pass may begin."""
SCALE = r"(?:[^\w\n]*[(\[]0\W*(?:to\W*)?10[)\]])?"
"""What may stand after an emotion's name: `(0-10)`, which is no score."""
ONE_NUMBER = re.compile(
    r"[^\w\n]*(?<![-−])(\d+(?:\.\d+)?)(?:\s*(?:/|out of)\s*10)?\b"
    r"(?!(?:[^\w\n(]|to\b|or\b|and\b|out of\b)*\d)",
    re.I,
)
"""A score, perhaps `/10` or `out of 10`; not one below zero, and none of several numbers."""

SPOKEN = re.compile(r"^[ \t]*[^\W\d_][^:\n]{0,60}:[ \t]+\S.*$", re.M)
"""A line of a dialogue: who speaks, a colon, and what is said."""

PROMPT = """Read this conversation.

{dialogue}

How does {character} feel when it ends? Rate each of these emotions from 0 (not felt at all) to 10 \
(as strong as can be): {emotions}. Rate them once, write a short critique of your ratings, then \
rate them again. Keep to this form and write nothing else:

First pass scores:
{lines}

Critique: <what you overlooked>

Revised scores:
{lines}

[End of answer]
"""


class EmotionalItem(Record):
    """One item: its prompt, and the reference of each formula as emotion → score from 0 to 10."""

    id: str
    prompt: str = Field(min_length=1)
    sum_to_ten: dict[str, float]
    full_scale: dict[str, float]

    @model_validator(mode="after")
    def _same_emotions(self) -> EmotionalItem:
        if len(self.full_scale) != 4 or set(self.full_scale) != set(self.sum_to_ten):
            raise ValueError(f"not four emotions: {', '.join(self.full_scale)}")
        if sum(self.sum_to_ten.values()) <= 0:
            raise ValueError("a reference without any emotion")
        return self


def task_name(source: str, count: int) -> str:
    """The name under which results on so many items are reported: the shipped set has its own."""
    if source == STARTER:
        return "starter-emotional"
    return SIZES.get(count) or own_name(Path(HUB if source == "hub" else source))


def read(source: str = STARTER, version: Literal[1, 2] = 2) -> list[EmotionalItem]:
    """Items of the shipped set, of EQ-Bench's folder or one of its files, or of the Hub.

    Args:
        source: `starter`, a folder with the benchmark's two JSON files, one such file, or `hub`
            (version 2 only; needs the extra `hub` and a network).
        version: Which of a folder's files: 1 (60 items) or 2 (171 items).

    Raises:
        CorpusError: naming file and item.
        InputError: where the version does not exist, or not there.
    """
    if version not in FILES:
        raise InputError(f"EQ-Bench version {version}", "choose 1 or 2")
    if source == STARTER:
        return _starter()
    if source == "hub":
        return list(_from_hub(version))
    path = Path(source)
    return list(_from_file(path / FILES[version] if path.is_dir() else path))


class _Scene(Record):
    id: str
    dialogue: str
    character: str
    emotions: tuple[str, ...]
    reference: dict[str, float]


def _starter() -> list[EmotionalItem]:
    folder = Path(str(resources.files("personalign.evals")))
    return [
        EmotionalItem(
            id=scene.id,
            prompt=PROMPT.format(
                dialogue=scene.dialogue,
                character=scene.character,
                emotions=", ".join(scene.emotions),
                lines="\n".join(f"{e.capitalize()}: <score>" for e in scene.emotions),
            ),
            sum_to_ten=_to_ten(scene.reference),
            full_scale=scene.reference,
        )
        for scene in read_records(folder / "starter" / "emotional.jsonl", _Scene)
    ]


def _from_file(path: Path) -> Iterator[EmotionalItem]:
    for number, row in _numbered(path):
        try:
            yield _item(f"{path.stem.split('_questions')[0].replace('_', '-')}-{number}", row)
        except (KeyError, ValueError, TypeError) as e:
            first = e.errors()[0]["msg"] if isinstance(e, ValidationError) else e
            raise CorpusError(f"{path}, item {number}: {first}", "mend the item") from e


def _numbered(path: Path) -> Iterable[tuple[str, Any]]:
    """Items as the benchmark has them, under numbers, or as the Hub exports them, in rows."""
    if ".json" in path.suffixes[-2:] and isinstance(data := read_document(path).data, dict):
        return data.items()
    return ((str(n), row.cells) for n, row in enumerate(rows(path), start=1))


def _from_hub(version: int) -> Iterator[EmotionalItem]:
    if version != 2:
        raise InputError("version 1 is not on the Hub", "name a folder with its file")
    for number, row in enumerate(hub_rows(HUB, "validation"), start=1):
        yield _item(f"eq-bench-v2-{number}", row)


def _item(name: str, row: Mapping[str, Any]) -> EmotionalItem:
    def reference(key: str) -> dict[str, float]:
        said = row[key]
        answer = ast.literal_eval(said) if isinstance(said, str) else said  # so on the Hub
        return {answer[f"emotion{k}"]: float(answer[f"emotion{k}_score"]) for k in range(1, 5)}

    return EmotionalItem(
        id=name,
        prompt=row["prompt"],
        sum_to_ten=reference("reference_answer"),
        full_scale=reference("reference_answer_fullscale"),
    )


def dialogues(items: Sequence[EmotionalItem]) -> list[str]:
    """The dialogue that each item asks about, by the name of the first item that asks about it.

    EQ-Bench cuts one dialogue at several points, each an item: they open with the same words and
    are no independent samples. An item without a line that is spoken is a dialogue of its own.
    """
    first: dict[str, str] = {}
    return [first.setdefault(_opening(item.prompt) or item.id, item.id) for item in items]


def _opening(prompt: str) -> str | None:
    """The first line that somebody says in a prompt, its white space evened out."""
    found = SPOKEN.search(prompt)
    return " ".join(found[0].split()) if found else None


def parse(reply: str, emotions: Sequence[str]) -> dict[str, dict[str, float] | None]:
    """Pass (`first`, `revised`) → emotion → score, or None where a pass cannot be read.

    Tolerant of bullets, bold type, `/10`, several scores on a line and whatever marks stand between
    an emotion and its number; but all four must have one number from 0 to 10, and of `3-4` neither
    is taken. The revised pass begins at the last `revised scores:`, or line that begins with
    "revised", that has scores after it; what stands before it is the first.
    """
    reply = without_thoughts(reply)
    headings = [h.start() for h in HEADING.finditer(reply)]
    followed = [at for at in headings if _scores(reply[at:], emotions)]
    cut = (followed or headings)[-1] if headings else None
    return {
        "first": _scores(reply[:cut], emotions),
        "revised": None if cut is None else _scores(reply[cut:], emotions),
    }


def _scores(text: str, emotions: Sequence[str]) -> dict[str, float] | None:
    found = {e: score for e in emotions if (score := _score(text, e)) is not None}
    return found if len(found) == len(emotions) else None


def _score(text: str, emotion: str) -> float | None:
    """The number where an emotion first has one beside it, if it is one score from 0 to 10."""
    label = rf"(?<!\w)(?<!\w-){re.escape(emotion)}\b{SCALE}"
    beside = re.search(rf"{label}(?!\s*\d)([^\w\n.,;]*\d.*)", text, re.I)
    read = ONE_NUMBER.match(beside[1]) if beside else None
    return float(read[1]) if read and float(read[1]) <= 10 else None


def score_v1(reference: Mapping[str, float], answer: Mapping[str, float]) -> float | None:
    """Percent by version 1's formula, 10 − Σ|d| after bringing the answer to a sum of ten.

    None where the answer feels nothing at all, which cannot be brought to any sum.
    """
    if sum(answer.values()) <= 0:
        return None
    scaled = _to_ten(answer)
    return 10 * (10 - sum(abs(scaled[e] - reference[e]) for e in reference))


def score_v2(reference: Mapping[str, float], answer: Mapping[str, float]) -> float:
    """Percent by version 2's formula, 10 − 0.7477·Σf(d), f an S-curve up to 5 and d beyond."""
    return 10 * (10 - 0.7477 * sum(_eased(abs(answer[e] - reference[e])) for e in reference))


def _eased(difference: float) -> float:
    if difference == 0 or difference > 5:
        return difference
    return 6.5 / (1 + math.exp(-1.2 * (difference - 4)))


def _to_ten(scores: Mapping[str, float]) -> dict[str, float]:
    total = sum(scores.values())
    return {emotion: 10 * score / total for emotion, score in scores.items()}


def measure(item: EmotionalItem, reply: str) -> dict[str, float]:
    """All of `METRICS` for one reply; NaN where a pass could not be read."""
    values: dict[str, float] = {}
    for name, answer in parse(reply, list(item.full_scale)).items():
        by_sum = score_v1(item.sum_to_ten, answer) if answer else None
        values[f"{name}_v1"] = math.nan if by_sum is None else by_sum
        values[f"{name}_v2"] = score_v2(item.full_scale, answer) if answer else math.nan
        values[f"{name}_parsed"] = float(answer is not None)
    return values


def final_score(scores: Sequence[Mapping[str, float]], version: str) -> float:
    """A model's score from `measure` of all items: the better pass, or NaN where too few were read.

    The revised pass counts where it is no worse and has a score for at least 95 % as many items as
    the first; it must be `ENOUGH` of all items in the pass that counts. A pass without any is 0.

    Source: the benchmark's code (github.com/EQ-bench/EQ-Bench), `calculate_eq_bench_score` in
    lib/scoring.py, and the limit in lib/run_bench.py.

    Args:
        scores: Values of `METRICS` for each item.
        version: Formula, `v1` or `v2`.
    """
    first, revised = (
        [s[f"{p}_{version}"] for s in scores if not math.isnan(s[f"{p}_{version}"])] for p in PASSES
    )
    better = _mean(revised) >= _mean(first) and len(revised) >= 0.95 * len(first)
    counts = revised if better else first
    return _mean(counts) if counts and len(counts) >= ENOUGH * len(scores) else math.nan


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


@metric
def final() -> Metric:
    """`final_v1` and `final_v2`, see `final_score`; epochs of an item are averaged before."""

    def compute(scores: list[SampleScore]) -> Value:
        values = [s.score.as_dict() for s in scores]
        return {f"final_{v}": final_score(values, v) for v in ("v1", "v2")}  # type: ignore[arg-type]

    return compute


@task
def eq_bench(
    source: str = STARTER, version: Literal[1, 2] = 2, max_tokens: int = MAX_TOKENS
) -> Task:
    """EQ-Bench, first pass and revised, by both formulas, with the parse rate.

    Args:
        source: `starter`, EQ-Bench's folder or file, or `hub`; see `read`.
        version: Which file of a folder, 1 or 2.
        max_tokens: Longest answer; the benchmark's own runs allow 1000.
    """
    items = read(source, version)
    return Task(
        name=task_name(source, len(items)),
        dataset=[
            Sample(
                id=item.id,
                input=item.prompt,
                metadata={"item": item.model_dump(), "cluster": dialogue},
            )
            for item, dialogue in zip(items, dialogues(items), strict=True)
        ],
        solver=generate(),
        scorer=eq_score(),
        config=GenerateConfig(max_tokens=max_tokens, temperature=0.0, stop_seqs=[END]),
        metadata={"metrics": list(METRICS)},
    )


@scorer(metrics=[{"*": [mean(), stderr()]}, final()])
def eq_score() -> Scorer:
    """Both formulas on both passes, and whether each pass could be read."""

    async def score(state: TaskState, target: Target) -> Score:
        values = measure(EmotionalItem(**state.metadata["item"]), state.output.completion)
        missing = any(math.isnan(v) for v in values.values())
        return Score(value=values, reason="invalid_response_format" if missing else None)

    return score
