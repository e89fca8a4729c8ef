"""Scenes: the starter corpus, a file, or new ones; and what may be built from which split."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from personalign.corpus.copies import distinct
from personalign.corpus.prompting import fenced, one_line, prompt
from personalign.errors import CorpusError, ModelError, unknown
from personalign.files import read_document, read_lines, read_records, rows
from personalign.progress import Progress, silent
from personalign.records import Message, Scene

if TYPE_CHECKING:
    from personalign.corpus.ask import Asker, Question

__all__ = [
    "STARTER",
    "Split",
    "areas",
    "daily_dialog",
    "gather",
    "load",
    "make",
    "questions",
    "select",
    "situations",
    "split_of",
    "starter_folder",
    "tag",
    "tag_questions",
    "write",
]

STARTER = {"starter/mbti": "mbti", "starter/big_five": "big_five"}

DAILY_AREAS = {
    1: "home", 2: "study", 3: "study", 4: "feelings", 5: "friends",
    6: "travel", 7: "health", 8: "work", 9: "news", 10: "money",
}  # fmt: skip
"""DailyDialog's topic codes as areas."""

OPENING_WORDS = (5, 80)
NEAR = 0.05
Guess = Callable[[list[str]], list[str]]
Split = Literal["build", "measure"]


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
    scenes = [scene for file in files for scene in read_records(file, Scene)]
    seen: set[str] = set()
    for scene in scenes:
        if scene.id in seen:
            raise CorpusError(f"{source}: scene id {scene.id!r} comes twice", "rename one")
        seen.add(scene.id)
    if not scenes:
        raise CorpusError(f"{source}: no scenes in it", "name a JSON Lines file of scenes")
    return scenes


def select(scenes: Sequence[Scene], split: Split, limit: int | None = None) -> list[Scene]:
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


def situations(path: Path) -> list[str]:
    """Situations from a text file (one a line), or a JSON list or object of strings.

    Raises:
        CorpusError: where the file holds anything else.
    """
    if path.suffix != ".json":
        return [line.strip() for line in read_lines(path) if line.strip()]
    data = read_document(path).data
    values = list(data.values()) if isinstance(data, dict) else data
    if not isinstance(values, list) or not all(isinstance(v, str) for v in values):
        raise CorpusError(f"{path}: not a list or object of strings", "give one situation each")
    return [v.strip() for v in values if v.strip()]


def daily_dialog(source: str) -> list[tuple[str, str]]:
    """Opening lines of everyday dialogues with their area, from a JSON Lines file or the Hub."""
    found = _rows(source)
    openings = [
        ((r.get("utterances") or r.get("dialog") or [""])[0], r.get("topic")) for r in found
    ]
    return [
        (_spaced(text), DAILY_AREAS.get(topic or 0, ""))
        for text, topic in openings
        if OPENING_WORDS[0] <= len(text.split()) <= OPENING_WORDS[1]
    ]


def _rows(source: str) -> Iterable[dict[str, Any]]:
    path = Path(source)
    files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    if files and files[0].is_file():
        return [row.cells for file in files for row in rows(file)]
    try:
        from datasets import load_dataset

        return list(load_dataset(source, split="train"))
    except Exception as e:
        raise CorpusError(
            f"DailyDialog is neither a file nor reachable as {source!r}: {type(e).__name__}",
            "give a JSON Lines file with 'utterances', or install personalign[hub]",
        ) from e


def _spaced(text: str) -> str:
    """Text as people write it, without the blanks that DailyDialog puts before punctuation."""
    return re.sub(r"\s+([.,!?;:’'])", r"\1", re.sub(r"\s*’\s*", "’", text)).strip()


def split_of(text: str, measure: float) -> Split:
    """Build or measure, by a hash of the text: adding scenes never moves one to the other side."""
    place = int(hashlib.sha256(text.casefold().encode()).hexdigest()[:8], 16) / 16**8
    return "measure" if place < measure else "build"


def make(
    texts: Iterable[tuple[str, str]], source: str, measure: float = 0.2, guess: Guess | None = None
) -> list[Scene]:
    """Scenes from situations and their areas ("" for not known): distinct, tagged, split."""
    kept = list(distinct(texts, key=lambda pair: pair[0]))
    guessed = iter((guess or areas)([text for text, area in kept if not area]))
    return [
        Scene(
            id=f"{source}-{hashlib.sha256(text.encode()).hexdigest()[:10]}",
            area=area or next(guessed),
            split=split_of(text, measure),
            prompt=(Message(role="user", content=text),),
        )
        for text, area in kept
    ]


def areas(texts: Sequence[str]) -> list[str]:
    """The nearest area of the starter corpus by words in common (TF-IDF), `other` if none is."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    if not texts:
        return []
    known = _known_areas()
    names = sorted(known)
    words = TfidfVectorizer(stop_words="english", sublinear_tf=True)
    centres = words.fit_transform([" ".join([n, *known[n]]) for n in names])
    near = (words.transform(texts) @ centres.T).toarray()
    return [names[row.argmax()] if row.max() >= NEAR else "other" for row in near]


@cache
def _known_areas() -> dict[str, list[str]]:
    """The areas of the starter corpus, with their situations."""
    known: dict[str, list[str]] = {}
    for scene in load("starter/mbti"):
        known.setdefault(scene.area, []).append(scene.prompt[-1].content)
    return known


async def tag(asker: Asker, texts: Sequence[str], progress: Progress = silent) -> list[str]:
    """The area of each situation as a model sees it; `other` where it names none that is known.

    Raises:
        ModelError: where some got no answer; asking again asks only for these.
    """
    from personalign.corpus.ask import ordered

    found, lost = [], 0
    window = asker.limits.concurrency * 4
    async for _, answer in ordered(tag_questions(texts), asker.ask, window):
        lost += answer.state == "lost"
        named = re.findall(r"\w+", answer.text.casefold())
        found.append(next((word for word in named if word in _known_areas()), "other"))
        progress(1)
    if lost:
        raise ModelError(f"{lost} situations got no area", "run the same command again for these")
    return found


def tag_questions(texts: Sequence[str]) -> Iterator[Question]:
    """What is asked for the areas of situations."""
    from personalign.corpus.ask import Question

    how, names = prompt("area"), ", ".join(sorted(_known_areas()))
    for text in texts:
        said = how.filled(areas=names, scene=fenced(text))
        yield Question("area", how.identity, said, seed=0, max_tokens=16, temperature=0.0)


async def write(
    asker: Asker,
    topics: Sequence[str],
    each: int,
    seed: int = 0,
    progress: Progress = silent,
) -> list[str]:
    """Situations written by a model, `each` for a topic, in requests of ten.

    Raises:
        ModelError: where some got no answer; asking again asks only for these.
    """
    from personalign.corpus.ask import ordered

    texts: list[str] = []
    lost = 0
    asked = questions(topics, each, seed)
    async for _, answer in ordered(asked, asker.ask, asker.limits.concurrency * 4):
        lost += answer.state == "lost"
        texts += _strings(answer.text)
        progress(1)
    if lost:
        raise ModelError(f"{lost} topics got no answer", "run the same command again for these")
    return texts


def questions(topics: Sequence[str], each: int, seed: int = 0) -> Iterator[Question]:
    """What is asked for situations."""
    from personalign.corpus.ask import Question

    how = prompt("scenes")
    for topic in topics:
        for n in range(-(-each // 10)):
            count = min(10, each - 10 * n)
            yield Question(
                purpose="scenes",
                prompt=how.identity,
                messages=how.filled(topic=one_line(topic), count=count, variation=n + 1),
                seed=seed + n,
                temperature=1.0,
            )


def _strings(text: str) -> list[str]:
    """Strings of a JSON list, or the items of a list that is written in lines."""
    start = text.find("[")
    try:
        data, _ = json.JSONDecoder(strict=False).raw_decode(text[start:] if start >= 0 else text)
        found = [x for x in data if isinstance(x, str)]
    except (ValueError, TypeError, RecursionError):
        items = re.findall(r"^\s*(?:\d+[.)]|[-*•])\s+(.+)$", text, re.MULTILINE)
        found = [i.strip().strip('"“”') for i in items]
    low, high = OPENING_WORDS
    return [one_line(x) for x in found if low <= len(x.split()) <= high]


def gather(source: str, measure: float = 0.2, guess: Guess | None = None) -> list[Scene]:
    """Scenes of a source by its name.

    Args:
        source: `starter/mbti` or `starter/big_five`; `dailydialog:` and a path or Hub id; a
            folder or file of scenes; a text or JSON file of situations.
        measure: Share of new scenes that is kept for measuring.
        guess: Names the areas of situations that come without; by default `areas`.
    """
    if source.startswith("dailydialog:"):
        return make(
            daily_dialog(source.removeprefix("dailydialog:")), "dailydialog", measure, guess
        )
    path = Path(source)
    if source in STARTER or path.is_dir() or path.suffix == ".jsonl":
        return load(source)
    return make([(text, "") for text in situations(path)], path.stem, measure, guess)
