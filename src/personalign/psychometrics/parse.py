"""Free text → the option that was chosen, a refusal, or unparsed. Never a guess.

An option is chosen where it opens a line ("6", "6/7", "Six.", "Answer: 6") or stands in a
sentence of choice ("I would say 6"), or where the reply opens with an option's own text. What
names several options, one off the scale, or a number that belongs to something else ("6 friends")
is unparsed. A chosen option wins over a disclaimer ("As an AI I have no feelings, but I would say
4"); a text that declines and chooses nothing is a refusal. That models asked to tick a box answer
in such ways, and that it matters how often: Röttger et al. 2024, arXiv 2402.16786.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from personalign.models.thoughts import without_thoughts
from personalign.records import State

__all__ = ["Parsed", "declines", "letter", "rating"]

DECORATION = re.compile(r"<\|[^|>]*\|>|</?s>|[*_`\"“”#>\[\]]|(?<!\w)'|'(?!\w)")
"""Control tokens, Markdown and quotation marks: they decorate an answer and say nothing."""

OPENING = (
    r"^[ (-]*(?i:(?:(?:so|well|ok|okay|sure),? )?(?:my |the |final )*"
    r"(?:answer|rating|number|score|choice|response|option)(?: is| would be)?[ :]+)?(?<!-)"
)
SAYING = (
    r"(?i:\bI(?:'d| would|'ll| will)?(?: \w+ly| rather| just)? (?:say|choose|pick|select|go with|"
    r"go for|give|rate|put|answer)(?: (?:it|this|that|myself|statement|sentence|with|the|an?|"
    r"option|number|at|as))* |\b(?:it|that|this)(?:'s| is| would be)(?: \w+ly)?(?: an?)? |"
    r"\b(?:my|the|final) (?:answer|rating|number|score|choice|response)(?: \w+){0,3}?"
    r"(?: is:?| would be:?|:) )"
)
ENDING = r"(?= ?(?:$|[.,;:!)=–—-](?! ?\d)|(?i:because|since|as|for|on|here|if|so|with|when)\b))"
ENUMERATION = re.compile(r"^1[.)] \S", re.MULTILINE)

NUMBER = r"(?<![\w.])-?\d+(?:[.,/]\d+)*"
WORDS = ("one", "two", "three", "four", "five", "six", "seven")

REFUSAL = re.compile(
    r"\bI(?:'m| am)? ?(?:can't|cannot|can not|won't|will not|unable to|not able to|must decline to|"
    r"decline to|refuse to|would rather not|'d rather not|prefer not to|not comfortable)"
    r"(?: \w+ly)? (?:answer|choos|pick|rat|say|tell|giv|help|assist|respond|provid|comply|do that)"
    r"|\bI(?:'m| am) (?:just |only )?an? (?:AI|artificial|language model|assistant|computer)"
    r"|\bas an? (?:AI|artificial|large language|language model|virtual|assistant|chatbot)"
    r"|\bI (?:don't|do not) (?:have|possess|hold|experience) (?:[\w']+,? ){0,4}?"
    r"(?:personalit|preference|feeling|opinion|emotion|belief|experience|trait)"
    r"|^no comment\b",
    re.IGNORECASE,
)
"""Declining to answer, or to be anybody who could; "I can't wait" declines nothing."""


class Parsed(NamedTuple):
    """`value` is the chosen option where `state` is `ok`, and None otherwise."""

    value: int | None
    state: State


@dataclass(frozen=True, slots=True)
class _Options:
    """How options may be named, what their texts are, and what else would be a second choice."""

    names: Mapping[str, int]
    texts: Mapping[int, str]
    option: str
    rival: str


def rating(text: str, points: int = 7, labels: Sequence[str] = ()) -> Parsed:
    """The number from 1 to `points` (at most 7) that a reply chose, as it was shown.

    A reversed scale stays as shown.

    Args:
        labels: What the options were called, in the order shown. A reply may choose by name; one
            that pairs a number with another option's name is unparsed.
    """
    words = WORDS[:points]
    names = {w: k for k, w in enumerate(words, 1)} | {str(k): k for k in range(1, points + 1)}
    option = rf"(?i:[1-{points}]|{'|'.join(words)})\b"
    plain = _whole_scale(points).sub("", _clean(text))
    return _parse(plain, _Options(names, dict(enumerate(labels, 1)), option, NUMBER))


@cache
def _whole_scale(points: int) -> re.Pattern[str]:
    """A mention of all options, which chooses none: "from 1 to 7", "/7"."""
    return re.compile(
        rf" ?(?:\bon (?:\w+ ){{1,2}}scale )?\b(?:from |of |between )?1 ?(?:to|and|through|[-–—~]) ?"
        rf"{points}\b(?: scale)?| ?/ ?{points}\b(?! ?/)| out of (?:{points}|{WORDS[points - 1]})\b",
        re.IGNORECASE,
    )


def letter(text: str, labels: Sequence[str]) -> Parsed:
    """The index (A = 0) of the lettered option that a reply chose, by letter or by its text."""
    names = {chr(ord("A") + k): k for k in range(len(labels))}
    option = rf"[{''.join(names)}]\b"
    plain = _clean(text)
    plain = plain.upper() if len(plain) < 3 else plain  # "a." is an answer, "a day" is none
    rival = rf"\b{option}(?=$|[.,;:)]| (?:and|or)\b)"
    return _parse(plain, _Options(names, dict(enumerate(labels)), option, rival))


def declines(text: str) -> bool:
    """Does a text decline to answer as somebody?"""
    return bool(REFUSAL.search(_clean(text)))


def _clean(text: str) -> str:
    plain = (
        unicodedata.normalize("NFKC", without_thoughts(text)).replace("’", "'").replace("‘", "'")
    )
    lines = (" ".join(line.split()) for line in DECORATION.sub("", plain).splitlines())
    return "\n".join(line for line in lines if line)


def _parse(text: str, options: _Options) -> Parsed:
    chosen = set(_chosen(text, options))
    if len(chosen) == 1 and None not in chosen and not ENUMERATION.search(text):
        return Parsed(chosen.pop(), "ok")
    return Parsed(None, "refused" if not chosen and declines(text) else "unparsed")


def _chosen(text: str, options: _Options) -> Iterator[int | None]:
    """Every option that a line chooses; None for a line that names several."""
    pattern = re.compile(rf"(?:{OPENING}|{SAYING})(?P<name>{options.option}){ENDING}")
    for number, line in enumerate(text.split("\n")):
        for found in pattern.finditer(line):
            name = found["name"]
            value = options.names.get(name, options.names.get(name.lower()))
            rest = line[found.end() :].lstrip(" .,:;=)–—-")
            rivals = set(re.findall(options.rival, line)) - {name}
            if name.lower() in WORDS:
                rivals |= {w for w in WORDS if re.search(rf"\b{w}\b", line.lower())} - {
                    name.lower()
                }
            yield value if not rivals else None
            yield from (k for k in _texts(rest, options.texts) if k != value)
        if number == 0:
            yield from _texts(line, options.texts)


def _texts(line: str, texts: Mapping[int, str]) -> Iterator[int]:
    """The option whose text the line begins with; the longest, where one begins another."""
    fits = [k for k, t in texts.items() if _begins(line, t)]
    yield from sorted(fits, key=lambda k: -len(texts[k]))[:1]


def _begins(line: str, text: str) -> bool:
    wanted = _clean(text).rstrip(".").lower()
    return bool(re.match(rf"{re.escape(wanted)}(?:$|[.,;:!]| because\b)", line.lower()))
