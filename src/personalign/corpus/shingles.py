"""Word sequences of many texts as integers, so that a whole corpus is compared in arrays.

Every distinct sequence gets a number of its own; nothing is hashed, so equal numbers *are* equal
sequences.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from personalign.corpus.copies import NearCopies

__all__ = ["Repeat", "Shingles", "repeats"]

Codes = npt.NDArray[np.int64]


class Repeat(NamedTuple):
    """`text` is a near-duplicate of the earlier text `of`."""

    text: int
    of: int
    similarity: float


class Shingles:
    """All runs of three and of six words in a list of texts.

    Args:
        texts: The words of each text.
    """

    def __init__(self, texts: Sequence[Sequence[str]]) -> None:
        known: dict[str, int] = {}
        self.texts = texts
        words_W = np.array(
            [known.setdefault(word, len(known)) for words in texts for word in words], np.int64
        )
        lengths = [len(words) for words in texts]
        self._owner_W = np.repeat(np.arange(len(texts)), lengths)
        self._start = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        self._threes = _joined(_joined(words_W, words_W, 1), words_W, 2)

    def trigrams(self) -> tuple[Codes, Codes]:
        """Every distinct trigram of every text: its code, and the text it stands in."""
        codes, owners, _ = self._distinct(self._threes, 3)
        return codes, owners

    def shared(self, more_than: int) -> list[tuple[str, list[int]]]:
        """Runs of six words in more than so many texts, with the texts, the most frequent first."""
        codes, owners, places = self._distinct(_joined(self._threes, self._threes, 3), 6)
        counts = np.bincount(codes)
        frequent = np.flatnonzero(counts > more_than)
        found = []
        for code in frequent[np.argsort(-counts[frequent], kind="stable")]:
            start = int(np.searchsorted(codes, code))
            sharers = owners[start : start + counts[code]].tolist()
            found.append((self._run(places[start], sharers[0]), sharers))
        return found

    def _distinct(self, codes: Codes, length: int) -> tuple[Codes, Codes, Codes]:
        """Codes in order, each once a text, that do not run over its end; with owner and place."""
        last = self._owner_W[length - 1 :]
        places = np.flatnonzero(self._owner_W[: len(last)] == last)
        codes, owners = codes[places], self._owner_W[places]
        _, first = np.unique(codes * len(self.texts) + owners, return_index=True)
        return codes[first], owners[first], places[first]

    def _run(self, place: int, owner: int) -> str:
        start = place - self._start[owner]
        return " ".join(self.texts[owner][start : start + 6])


def repeats(texts: Sequence[Sequence[str]], similarity: float) -> list[Repeat]:
    """Texts that are near-duplicates of an earlier one, by Jaccard over word trigrams.

    A text that repeats another is compared no further, so a block of copies costs one comparison
    each. |A ∩ B| ≥ s |A ∪ B| implies |A ∩ B| ≥ s |A|: texts of which too few trigrams stand
    anywhere else have no near-duplicate and are left out beforehand, which is nearly all of them;
    that is why this stands beside `NearCopies`, which takes texts one by one, and in front of it.
    """
    known, kept, found = NearCopies(similarity), list[int](), list[Repeat]()
    for here, shingles in sorted(_suspects(Shingles(texts), similarity).items()):
        if original := known.find(shingles):
            found.append(Repeat(here, kept[original.number], original.similarity))
        else:
            known.add(shingles)
            kept.append(here)
    return found


def _suspects(shingles: Shingles, similarity: float) -> dict[int, set[int]]:
    codes, owners = shingles.trigrams()
    elsewhere = np.bincount(codes)[codes] > 1
    total = np.bincount(owners, minlength=len(shingles.texts))
    shared = np.bincount(owners, weights=elsewhere, minlength=len(shingles.texts))
    kept = (shared >= similarity * total)[owners]
    sets: dict[int, set[int]] = defaultdict(set)
    order = np.argsort(owners[kept], kind="stable")
    for owner, code in zip(owners[kept][order].tolist(), codes[kept][order].tolist(), strict=True):
        sets[owner].add(code)
    return dict(sets)


def _joined(left: Codes, right: Codes, shift: int) -> Codes:
    """The code of each run made of a left run and the right one `shift` words later."""
    after = right[shift:]
    if not len(after):
        return after
    packed = left[: len(after)] * (int(right.max()) + 1) + after
    codes: Codes = np.unique(packed, return_inverse=True)[1].astype(np.int64)
    return codes
