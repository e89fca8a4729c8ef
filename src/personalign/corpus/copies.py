"""Texts met so far, and whether another one nearly repeats one of them."""

from __future__ import annotations

import re
import sqlite3
from array import array
from collections.abc import Callable, Iterable, Iterator, Set
from hashlib import blake2b
from math import ceil
from typing import NamedTuple, TypeVar

__all__ = ["NearCopies", "Original", "codes", "distinct", "trigrams"]

SHARED = 4
T = TypeVar("T")


class Original(NamedTuple):
    """The number of an earlier text, in the order of adding, and how similar it is."""

    number: int
    similarity: float


def codes(parts: Iterable[str]) -> set[int]:
    """Strings as 64-bit numbers, the same in every process."""
    digests = (blake2b(part.encode(), digest_size=8).digest() for part in parts)
    return {int.from_bytes(d, "big", signed=True) for d in digests}


def trigrams(text: str) -> set[int]:
    """Codes of a text's word trigrams; of all its words where there are fewer than three."""
    w = _words(text)
    return codes(" ".join(w[k : k + 3]) for k in range(max(1, len(w) - 2)))


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


class NearCopies:
    """Sets of codes, and which of them has a Jaccard similarity of at least so much to another.

    Exact: nothing is missed or made up. Two sets x, y with |x ∩ y| ≥ s |x ∪ y| share at least
    min(k, ⌈s|x|⌉) of the first |x| - ⌈s|x|⌉ + k codes of x and the first so many of y, in any order
    common to all sets; only those are indexed (prefix filtering: Chaudhuri, Ganti & Kaushik 2006;
    with more than one common code: Wang, Li & Feng 2012). The index is a temporary file, so memory
    does not grow with the number of texts.
    """

    def __init__(self, similarity: float) -> None:
        self.similarity = similarity
        self.count = 0
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.execute("create table firsts (code integer, number integer, primary key "
                         "(code, number)) without rowid")  # fmt: skip
        self._db.execute("create table sets (number integer primary key, codes blob)")
        self._db.execute("begin")

    def find(self, shingles: Set[int]) -> Original | None:
        """The first text that this one nearly repeats; an empty set repeats nothing."""
        firsts = self._firsts(shingles)
        least = min(SHARED, ceil(self.similarity * len(shingles)))
        rows = self._db.execute(
            "select s.number, s.codes from (select number from firsts where code in "
            f"({','.join('?' * len(firsts))}) group by number having count(*) >= ?) f "
            "join sets s on s.number = f.number order by s.number",
            (*firsts, least),
        )
        for number, blob in rows:
            alike = _jaccard(shingles, set(array("q", blob)))
            if alike >= self.similarity:
                return Original(number, alike)
        return None

    def add(self, shingles: Set[int]) -> None:
        """Keep a text, so that later ones are compared with it."""
        rows = ((code, self.count) for code in self._firsts(shingles))
        self._db.executemany("insert into firsts values (?, ?)", rows)
        blob = array("q", sorted(shingles)).tobytes()
        self._db.execute("insert into sets values (?, ?)", (self.count, blob))
        self.count += 1

    def _firsts(self, shingles: Set[int]) -> list[int]:
        return sorted(shingles)[: len(shingles) - ceil(self.similarity * len(shingles)) + SHARED]


def _jaccard(a: Set[int], b: Set[int]) -> float:
    common = len(a & b)
    return common / (len(a) + len(b) - common)


def distinct(texts: Iterable[T], key: Callable[[T], str], similarity: float = 0.8) -> Iterator[T]:
    """Each text once; two whose word sets overlap by the similarity are one."""
    known = NearCopies(similarity)
    for item in texts:
        found = codes(_words(key(item)))
        if found and known.find(found) is None:
            known.add(found)
            yield item
