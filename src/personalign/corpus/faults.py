"""What must not stand in a text that a model learns from; each finder says what it found."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from personalign.files import read_document

__all__ = ["FAULTS", "Fault", "Quotations", "inventory_items", "words"]

Fault = Literal[
    "control_tokens", "type_names", "stage_directions", "personal_data", "toxic_words",
    "other_languages", "inventory_items",
]  # fmt: skip

LEAST_ENGLISH = 0.2
"""Least share of function words in a text of eight words or more. They are half of running
English; the shipped texts lie above 0.26."""
ITEM_WORDS = 4
"""Shorter inventory items ("I worry") are met in any text."""
MOST_QUOTED = 0.7

JARGON = re.compile(
    r"\b(?:(?i:intro|extra|extro)ver(?:t|sion)\w*|(?i:as an? (?:thinker|feeler|judger|perceiver))"
    r"|(?i:judging type|perceiving type|personality type|intuitive type|sensing type)"
    r"|MBTI|(?i:neuroticism|agreeableness|conscientiousness)|[IE][SN][TF][JP])\b"
)
CONTROL = re.compile(
    r"<[|｜][^|｜<>\n]{1,40}[|｜]>|</?s>|<(?:bos|eos|pad|unk)>|<(?:start|end)_of_turn>"
    r"|\[/?INST\]|<</?SYS>>|</?think>|\[/?THINK\]"
)
"""What families of chat templates write between texts; in a text it is a leftover of another
trainer's format, or a trick."""
STAGE = re.compile(r"\*[^*]+\*|\[[^\]]+\]|\((?i:smiles|laughs|sighs|nods|pauses)[^)]*\)")
PERSONAL = re.compile(r"[\w.+-]+@[\w-]+\.\w+|\+?\d[\d ()-]{7,}\d")
FIELD = re.compile(r"[A-Za-z']+")

TOXIC = frozenset(
    FIELD.findall(
        "fuck fucks fucked fucker fuckers fucking motherfucker shit shits shitty bullshit bitch "
        "bitches bastard bastards cunt cunts whore whores slut sluts retard retards retarded "
        "faggot faggots moron morons subhuman subhumans vermin"
    )
)
"""A floor that keeps slurs out of training text, no classifier of harm."""
FUNCTION_WORDS = frozenset(
    FIELD.findall(
        "the a an and or but if so to of in on at for with from by as than then that this these "
        "those it its it's i i'd i'm i'll you you're you'd your we we'll us our he she him her "
        "they them their me my is are was were be been do does did don't have has had not no what "
        "who when where which how why there can could will would should may might must just about "
        "out up let's only one before after over into"
    )
)


@lru_cache(maxsize=2**17)
def words(text: str) -> tuple[str, ...]:
    """Lower-case words of a text."""
    return tuple(FIELD.findall(text.lower()))


def _matching(pattern: re.Pattern[str]) -> Callable[[str], str | None]:
    def find(text: str) -> str | None:
        found = pattern.search(text)
        return repr(found.group()) if found else None

    return find


def _toxic_word(text: str) -> str | None:
    found = TOXIC.intersection(words(text))
    return repr(min(found)) if found else None


def _other_language(text: str) -> str | None:
    share = _english(text)
    return f"{share:.0%} English function words" if share < LEAST_ENGLISH else None


def _english(text: str) -> float:
    """Share of function words among all that is written; 1 where there is too little to say."""
    written = text.split()
    if len(written) < 8:
        return 1.0 if "".join(filter(str.isalpha, text)).isascii() else 0.0
    return sum(w in FUNCTION_WORDS for w in words(text)) / len(written)


class Quotations:
    """Finds a questionnaire's item of which 70 % of the word trigrams stand in a text."""

    def __init__(self, items: Iterable[str]) -> None:
        long = [item for item in items if len(words(item)) >= ITEM_WORDS]
        self._size = {item: len(_trigrams(item)) for item in long}
        self._holders: dict[tuple[str, ...], list[str]] = defaultdict(list)
        for item in long:
            for gram in _trigrams(item):
                self._holders[gram].append(item)

    def __call__(self, text: str) -> str | None:
        met = _trigrams(text) & self._holders.keys()
        hits = Counter(item for gram in met for item in self._holders[gram])
        quoted = (i for i, n in hits.items() if n >= MOST_QUOTED * self._size[i])
        return next(map(repr, quoted), None)


def _trigrams(text: str) -> set[tuple[str, ...]]:
    w = words(text)
    return set(zip(w, w[1:], w[2:], strict=False))


@cache
def inventory_items() -> tuple[str, ...]:
    """All items of the shipped inventories: what a persona says of itself when it is measured."""
    folder = Path(str(resources.files("personalign"))) / "psychometrics" / "inventories"
    data: list[Any] = [
        read_document(Path(str(file))).data["items"] for file in sorted(folder.glob("*.yaml"))
    ]
    return tuple(_strings(data))


def _strings(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict | list):
        for part in node.values() if isinstance(node, dict) else node:
            yield from _strings(part)


@cache
def _quotations() -> Quotations:
    return Quotations(inventory_items())


FAULTS: Mapping[Fault, Callable[[str], str | None]] = {
    "control_tokens": _matching(CONTROL),
    "type_names": _matching(JARGON),
    "stage_directions": _matching(STAGE),
    "personal_data": _matching(PERSONAL),
    "toxic_words": _toxic_word,
    "other_languages": _other_language,
    "inventory_items": lambda text: _quotations()(text),
}
"""By name: what of this kind a text holds, or None. The languages are all but English."""
