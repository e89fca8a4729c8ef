"""The first screen: of each persona the verdicts, and what changed in plain words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from personalign.findings import Findings
from personalign.psychometrics.criterion import Criterion, Figure
from personalign.report import sentences
from personalign.report.drawing.layout import interval
from personalign.report.sections.hearing import Heard, heard
from personalign.report.words import Words, number, signed

__all__ = ["Card", "Ground", "Line", "cards"]

STATES = {name: name for name in ("confirmed", "contradicted")} | {"not asked": "unjudged"}
"""Verdict → the class of its mark; all others are open."""


@dataclass(frozen=True, slots=True)
class Ground:
    """One criterion of a verdict, or one figure of it: its name, what was found, its numbers, its
    reason (of a figure, its margins), and the figures of which a criterion is made."""

    name: str
    state: str
    found: str
    shown: str
    reason: str
    figures: tuple[Ground, ...] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """One condition of a persona's card: its verdict and what it goes by, and what changed in plain
    words. `state` is the class of the mark beside the verdict."""

    condition: str
    verdict: str
    state: str
    criteria: tuple[Ground, ...]
    unverified: bool
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Card:
    """The first thing a reader sees of a persona: how it sounds, the words, the numbers."""

    persona: str
    heard: Heard | None
    lines: tuple[Line, ...]


def cards(words: Words, found: Findings) -> list[Card]:
    """A card a persona, in the study's order."""
    return [Card(p, heard(found, p), tuple(_lines(words, found, p))) for p in found.personas]


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
            verdict=words(f"verdict.{seen.word if seen else 'unjudged'}"),
            state=STATES.get(seen.word, "indeterminate") if seen else "unjudged",
            criteria=tuple(_ground(words, c) for c in seen.criteria) if seen else (),
            unverified=found.unverified(persona, condition),
            sentences=tuple(said or [words("plain.nothing")]),
        )


def _ground(words: Words, c: Criterion) -> Ground:
    return Ground(
        name=words(f"criterion.{c.name}"),
        state=STATES.get(c.verdict, "indeterminate"),
        found=words(f"verdict.{c.verdict}"),
        shown="" if c.value is None else interval(c.value, c.low, c.high, signed),
        reason=words.name("because", c.reason or ""),
        figures=tuple(_figure(words, f) for f in c.figures),
    )


def _figure(words: Words, f: Figure) -> Ground:
    ends = {"least": f.least, "most": f.most}
    within = {name: number(end) for name, end in ends.items() if end is not None}
    return Ground(
        name=words.name("sign", f.name),
        state=STATES.get(f.verdict, "indeterminate"),
        found=words(f"verdict.{f.verdict}"),
        shown=interval(f.value, f.low, f.high, number),
        reason=words(f"margin.{' and '.join(within)}", **within),
    )
