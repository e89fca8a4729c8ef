"""Gates for one pair at a time: what would teach a model the wrong thing, or too little."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import chain
from typing import Any, Literal, get_args

from pydantic import Field

from personalign.corpus.copies import NearCopies, trigrams
from personalign.corpus.faults import FAULTS, Fault
from personalign.records import PreferencePair, Record, Scene

__all__ = ["NEAR", "Contrast", "Gate", "Gates", "HeldBack", "PairGate"]

Gate = Fault | Literal["repeated", "held_back"]

NEAR = 0.7
"""Jaccard similarity of word trigrams from which on a text repeats another."""
FEWEST = 20
"""Scenes with replies of both, below which nothing is learned from them."""


class Gates(Record):
    """Which gates pairs must pass. A style that names types (`lapd`) fails `type_names`."""

    names: tuple[Gate, ...] = (*get_args(Fault), "repeated", "held_back")
    least_contrast: float | None = Field(default=None)
    """Least trait contrast, in logits; only for personas with replies in a shipped corpus."""


class HeldBack:
    """Situations of the other split: is a text nearly one of them?"""

    def __init__(self, situations: Iterable[str]) -> None:
        self._known = NearCopies(NEAR)
        for text in sorted(set(situations)):
            self._known.add(trigrams(text))

    def __contains__(self, text: str) -> bool:
        return self._known.find(trigrams(text)) is not None


class Contrast:
    """How much more a reply reads like one persona than another, learned from scenes with both.

    A logistic regression on TF-IDF words; the score of a pair is the difference of logits.
    """

    def __init__(self, scenes: Sequence[Scene], persona: str, opposite: str) -> None:
        building = (s.replies for s in scenes if s.split == "build")
        both = [r for r in building if persona in r and opposite in r]
        self.known = len(both) >= FEWEST
        self._texts = [r[persona] for r in both], [r[opposite] for r in both]

    @cached_property
    def _model(self) -> Any:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline

        model = make_pipeline(
            TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2)),
            LogisticRegression(C=10, max_iter=500),
        )
        one, other = self._texts
        return model.fit([*one, *other], [1] * len(one) + [0] * len(other))

    def __call__(self, pair: PreferencePair) -> float | None:
        """Logits by which the chosen reply is more like the persona; None where unknown."""
        if not self.known:
            return None
        texts = [pair.chosen[-1].content, pair.rejected[-1].content]
        chosen, rejected = self._model.decision_function(texts)
        return float(chosen - rejected)


class PairGate:
    """Says why a pair must be dropped, or None; remembers the replies that it let pass.

    Args:
        how: Which gates.
        held_back: What the person in the dialogue must not say.
        contrast: Tells the persona from its opposite.
        known: Pairs of the other split, whose replies must not be repeated.
    """

    def __init__(
        self,
        how: Gates,
        held_back: HeldBack,
        contrast: Contrast,
        known: Iterable[PreferencePair] = (),
    ) -> None:
        self.how = how
        self._held_back = held_back
        self._contrast = contrast
        self._said = NearCopies(NEAR)
        for text in chain.from_iterable(map(_replies, known)):
            self._said.add(trigrams(text))

    def __call__(self, pair: PreferencePair) -> str | None:
        names, replies = self.how.names, _replies(pair)
        asked = [m.content for m in pair.prompt if m.role == "user"]
        for name, find in FAULTS.items():
            if name in names and any(find(text) for text in (*asked, *replies)):
                return name
        if "held_back" in names and any(text in self._held_back for text in asked):
            return "held_back"
        least = self.how.least_contrast
        if least is not None and (score := self._contrast(pair)) is not None and score < least:
            return "weak_contrast"
        return "repeated" if "repeated" in names and self._is_repeated(replies) else None

    def _is_repeated(self, replies: Sequence[str]) -> bool:
        shingles = [trigrams(text) for text in replies]
        if any(self._said.find(s) for s in shingles):
            return True
        for s in shingles:
            self._said.add(s)
        return False


def _replies(pair: PreferencePair) -> tuple[str, str]:
    return pair.chosen[-1].content, pair.rejected[-1].content
