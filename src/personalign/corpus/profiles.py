"""What a persona is like, as features and character sketches, each with where it comes from."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict

from personalign.corpus.ask import Asker, Question, ordered
from personalign.corpus.crawl import Page
from personalign.corpus.prompting import fenced, one_line, prompt
from personalign.errors import CorpusError, ModelError
from personalign.files import read_document, write_atomic
from personalign.personas import Persona
from personalign.progress import Progress, silent
from personalign.records import Record

__all__ = [
    "Feature",
    "Profile",
    "Sketch",
    "dump",
    "extract",
    "from_persona",
    "load",
    "merged",
    "questions",
]

CHUNK = 6000
"""Characters of a page in one question; long pages are asked about in parts."""

ALIKE = 0.7
COMMAND = re.compile(
    r"\b(?:ignore|disregard|forget)\b.{0,30}\b(?:instructions?|rules|above|previous|prompt)\b|"
    r"\bsystem prompt\b|\b(?:reply|respond|answer|output) (?:only|exactly|with)\b|https?://|<<<|>>>",
    re.IGNORECASE,
)


class Feature(Record):
    """One thing that is typical of a persona. `quote` is verbatim from its first source."""

    name: str
    text: str
    sources: tuple[str, ...] = ()
    quote: str = ""


class Sketch(Record):
    """A character with this persona."""

    name: str
    text: str
    sources: tuple[str, ...] = ()


class Profile(Record):
    """Features and sketches of one persona."""

    persona: str
    features: tuple[Feature, ...]
    sketches: tuple[Sketch, ...] = ()


class _Loose(BaseModel):
    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True)


class _Feature(_Loose):
    name: str
    text: str
    quote: str = ""


class _Character(_Loose):
    name: str
    sketch: str


class ProfileAnswer(_Loose):
    """What a model is asked to return about a page."""

    features: list[_Feature] = []
    characters: list[_Character] = []


def from_persona(persona: Persona) -> Profile:
    """A profile from the persona's own file, for when nothing was crawled."""
    source = (f"persona:{persona.name}@{persona.version}",)
    named = [
        *(("values", f"What matters to them: {v}.") for v in persona.values),
        *(("voice", f"How they speak: {v}.") for v in persona.voice),
        ("decides", persona.decides),
        ("spends time", persona.spends_time),
        *(("never", f"They never: {n}.") for n in persona.never),
    ]
    features = tuple(Feature(name=n, text=t, sources=source) for n, t in named)
    return Profile(persona=persona.name, features=features)


async def extract(
    asker: Asker,
    persona: Persona,
    pages: Iterable[Page],
    seed: int = 0,
    dropped: Callable[[str, str], None] = lambda url, reason: None,
    progress: Progress = silent,
) -> Profile:
    """A profile from pages. What is no feature of the page is reported to `dropped` with a reason.

    A page is data: it stands between marks, the answer must be a JSON object of features, and a
    feature that reads as a command is left out.
    """
    features: list[Feature] = []
    sketches: list[Sketch] = []
    lost = 0
    asked = questions(persona, pages, seed)
    work = ordered(asked, lambda a: asker.ask(a[2]), asker.limits.concurrency * 4)
    async for (page, part, _), answer in work:
        progress(1)
        lost += answer.state == "lost"
        found = _read(answer.text)
        if found is None:
            dropped(page.url, answer.detail or f"{answer.state}: not a JSON object of features")
            continue
        for f in found.features:
            if reason := _unfit(f.text):
                dropped(page.url, f"{reason}: {one_line(f.text, 80)}")
            else:
                features.append(_feature(f, page.url, part))
        for c in found.characters:
            if reason := _unfit(c.sketch):
                dropped(page.url, f"{reason}: {one_line(c.sketch, 80)}")
            else:
                name = one_line(c.name, 60)
                sketches.append(Sketch(name=name, text=one_line(c.sketch), sources=(page.url,)))
    if lost:
        raise ModelError(f"{lost} pages got no answer", "run the same command again for these")
    return merged(persona.name, features, sketches)


def questions(
    persona: Persona, pages: Iterable[Page], seed: int = 0
) -> Iterator[tuple[Page, str, Question]]:
    """What is asked about each part of each page."""
    how = prompt("profile")
    for page in pages:
        for part in _parts(page.text):
            messages = how.filled(name=persona.name, title=persona.title, page=fenced(part))
            asked = Question("profile", how.identity, messages, seed, 2048, 0.2, ProfileAnswer)
            yield page, part, asked


def _parts(text: str) -> Iterator[str]:
    part = ""
    lines = text.splitlines(keepends=True)
    for piece in (line[k : k + CHUNK] for line in lines for k in range(0, len(line), CHUNK)):
        if part and len(part) + len(piece) > CHUNK:
            yield part
            part = ""
        part += piece
    if part.strip():
        yield part


def _read(text: str) -> ProfileAnswer | None:
    start = text.find("{")
    try:
        data, _ = json.JSONDecoder(strict=False).raw_decode(text[max(start, 0) :])
        return ProfileAnswer.model_validate(data)
    except (ValueError, RecursionError):
        return None


def _unfit(text: str) -> str | None:
    words = len(text.split())
    if COMMAND.search(text):
        return "reads as a command"
    return None if 3 <= words <= 80 else f"{words} words"


def _feature(found: _Feature, url: str, page: str) -> Feature:
    """Its quotation is kept only if the page really has it."""
    quote = one_line(found.quote, 200).strip("\"“”'")
    there = bool(quote) and quote.casefold() in one_line(page, len(page) + 1).casefold()
    return Feature(
        name=one_line(found.name, 60),
        text=one_line(found.text),
        sources=(url,),
        quote=quote if there else "",
    )


def merged(persona: str, features: Sequence[Feature], sketches: Sequence[Sketch]) -> Profile:
    """A profile with each feature and each character once, under all its sources."""
    kept: list[Feature] = []
    for f in features:
        twin = next((i for i, k in enumerate(kept) if _alike(f, k)), None)
        if twin is None:
            kept.append(f)
        else:
            sources = tuple(dict.fromkeys((*kept[twin].sources, *f.sources)))
            kept[twin] = kept[twin].model_copy(update={"sources": sources})
    people: dict[str, Sketch] = {}
    for s in sketches:
        old = people.setdefault(s.name.casefold(), s)
        sources = tuple(dict.fromkeys((*old.sources, *s.sources)))
        people[s.name.casefold()] = old.model_copy(update={"sources": sources})
    return Profile(persona=persona, features=tuple(kept), sketches=tuple(people.values()))


def _alike(a: Feature, b: Feature) -> bool:
    one, two = (set(re.findall(r"\w+", f.text.casefold())) for f in (a, b))
    overlap = len(one & two) / max(len(one | two), 1)
    return overlap >= ALIKE or (a.name.casefold() == b.name.casefold() and overlap >= ALIKE / 2)


def dump(profile: Profile, path: Path) -> Path:
    """A profile as YAML, to be looked through and edited by hand."""
    data = profile.model_dump(mode="json")
    return write_atomic(path, yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100))


def load(path: Path, persona: str) -> Profile:
    """A profile from YAML or JSON; also an object of name → feature, or a list of characters.

    Raises:
        CorpusError: where the file is none of these, or of another persona.
    """
    try:
        profile = _profile(read_document(path).data, persona, f"file:{path.name}")
    except (ValueError, KeyError, TypeError) as e:
        brief = str(e).splitlines()[0]
        raise CorpusError(f"{path} is not a profile: {brief}", "see docs/corpus.md") from e
    if profile.persona != persona:
        raise CorpusError(f"{path} is of {profile.persona!r}, not of {persona!r}", "choose another")
    return profile


def _profile(data: Any, persona: str, source: str) -> Profile:
    if isinstance(data, dict) and "features" in data:
        return Profile.model_validate(data)
    if isinstance(data, dict):
        named = [Feature(name=n, text=t, sources=(source,)) for n, t in data.items()]
        return merged(persona, named, [])
    people = [
        Sketch(
            name=d["character_name"],
            text=one_line(d.get("profile") or d["text"]),
            sources=(source,),
        )
        for d in data
    ]
    return merged(persona, [], people)
