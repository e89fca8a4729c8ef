"""Gates for one pair at a time: what would teach a model the wrong thing, or too little."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any, Literal

from pydantic import Field

from personalign.corpus.quality import JARGON, PERSONAL, STAGE, words
from personalign.records import PreferencePair, Record, Scene

__all__ = ["Contrast", "Gate", "Gates", "Measured", "PairGate"]

Gate = Literal["type_names", "stage_directions", "personal_data", "repeated", "measured"]

MARKS: dict[Gate, re.Pattern[str]] = {
    "type_names": JARGON,
    "stage_directions": STAGE,
    "personal_data": PERSONAL,
}
NEAR = 0.7


class Gates(Record):
    """Which gates pairs must pass. A style that names types (`lapd`) fails `type_names`."""

    names: tuple[Gate, ...] = (
        "type_names", "stage_directions", "personal_data", "repeated", "measured",
    )  # fmt: skip
    least_contrast: float | None = Field(default=None)
    """Least trait contrast, in logits; only for personas with replies in a shipped corpus."""


class Measured:
    """Situations that measure personas: is a text nearly one of them?"""

    def __init__(self, scenes: Iterable[Scene]) -> None:
        from datasketch import MinHashLSH

        self._index = MinHashLSH(threshold=NEAR - 0.1, num_perm=64)
        self._grams: list[set[str]] = []
        for text in {s.prompt[-1].content for s in scenes if s.split == "measure"}:
            self._index.insert(len(self._grams), _sketch(grams := _trigrams(text)))
            self._grams.append(grams)

    def __contains__(self, text: str) -> bool:
        grams = _trigrams(text)
        near = (self._grams[i] for i in self._index.query(_sketch(grams)))
        return any(len(grams & g) / len(grams | g) >= NEAR for g in near)


def _trigrams(text: str) -> set[str]:
    w = words(text)
    return {" ".join(w[k : k + 3]) for k in range(max(1, len(w) - 2))}


def _sketch(grams: set[str]) -> Any:
    from datasketch import MinHash

    sketch = MinHash(num_perm=64, seed=1)
    sketch.update_batch([g.encode() for g in grams])
    return sketch


class Contrast:
    """How much more a reply reads like one persona than another, learned from scenes with both.

    A logistic regression on TF-IDF words; the score of a pair is the difference of logits.
    """

    def __init__(self, scenes: Sequence[Scene], persona: str, opposite: str) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline

        building = (s.replies for s in scenes if s.split == "build")
        both = [r for r in building if persona in r and opposite in r]
        self.known = len(both) >= 20
        self._model = make_pipeline(
            TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2)),
            LogisticRegression(C=10, max_iter=500),
        )
        if self.known:
            texts = [r[persona] for r in both] + [r[opposite] for r in both]
            self._model.fit(texts, [1] * len(both) + [0] * len(both))

    def __call__(self, pair: PreferencePair) -> float | None:
        """Logits by which the chosen reply is more like the persona; None where unknown."""
        if not self.known:
            return None
        texts = [pair.chosen[-1].content, pair.rejected[-1].content]
        chosen, rejected = self._model.decision_function(texts)
        return float(chosen - rejected)


class PairGate:
    """Says why a pair must be dropped, or None; remembers what was said already."""

    def __init__(self, how: Gates, measured: Measured, contrast: Contrast) -> None:
        self.how = how
        self._measured = measured
        self._contrast = contrast
        self._said: set[bytes] = set()

    def __call__(self, pair: PreferencePair) -> str | None:
        names = self.how.names
        replies = [pair.chosen[-1].content, pair.rejected[-1].content]
        for name, pattern in MARKS.items():
            if name in names and any(pattern.search(r) for r in replies):
                return name
        if "measured" in names and any(
            m.content in self._measured for m in pair.prompt if m.role == "user"
        ):
            return "measured"
        least = self.how.least_contrast
        if least is not None and (score := self._contrast(pair)) is not None and score < least:
            return "weak_contrast"
        return "repeated" if "repeated" in names and self._is_repeated(replies[0]) else None

    def _is_repeated(self, reply: str) -> bool:
        text = " ".join(re.findall(r"\w+", reply.casefold()))
        digest = blake2b(text.encode(), digest_size=12).digest()
        known = digest in self._said
        self._said.add(digest)
        return known
