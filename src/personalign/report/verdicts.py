"""The first screen: of each persona the verdicts, and what changed in plain words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from personalign.report import sentences
from personalign.report.findings import Findings
from personalign.report.words import Words

__all__ = ["Card", "Line", "cards"]


@dataclass(frozen=True, slots=True)
class Line:
    """One condition of a persona's card: its verdict, and what changed in plain words."""

    condition: str
    verdict: str
    unverified: bool
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Card:
    """The first thing a reader sees of a persona."""

    persona: str
    lines: tuple[Line, ...]


def cards(words: Words, found: Findings) -> list[Card]:
    """A card a persona, in the study's order."""
    return [Card(p, tuple(_lines(words, found, p))) for p in found.personas]


def _lines(words: Words, found: Findings, persona: str) -> Iterator[Line]:
    for condition in found.conditions:
        if condition == "base":
            continue
        seen = found.verification(persona, condition)
        said = list(sentences.changes(words, found, persona, condition))
        if seen and seen.margin:
            said.insert(0, sentences.behaviour(words, persona, seen.margin, seen.before))
        yield Line(
            condition=words.name("condition", condition),
            verdict=seen.verdict if seen else "unjudged",
            unverified=found.unverified(persona, condition),
            sentences=tuple(said or [words("plain.nothing")]),
        )
