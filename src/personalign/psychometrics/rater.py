"""Which pole of a scale does a text sound like? Learnt from what personas say in a corpus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from personalign.errors import InputError
from personalign.personas import Persona
from personalign.psychometrics.inventory import OpenQuestion
from personalign.records import Scene

__all__ = ["TextRater"]


@dataclass(frozen=True)
class TextRater:
    """A classifier for each scale; called with a question and a reply, it rates the reply.

    Attributes:
        words: What turns texts into weights of their words and word pairs.
        poles: Scale → logistic regression on those weights.
        scenes: Ids of the scenes that it learnt from, all of split `build`.
    """

    words: Any
    poles: Mapping[str, Any]
    scenes: frozenset[str]

    @classmethod
    def train(cls, scenes: Sequence[Scene], personas: Mapping[str, Persona]) -> TextRater:
        """Learn each scale's poles from the replies of `build` scenes.

        TF-IDF of words and word pairs and logistic regression: the method by which the corpus
        gates tell that the poles differ in words.

        Args:
            personas: The catalogue; says which pole of a scale a reply's persona stands on. Replies
                of personas that it does not hold are left out.

        Raises:
            InputError: for a scene of split `measure`: what is held out must not be seen.
        """
        if held_out := [s.id for s in scenes if s.split != "build"]:
            raise InputError(
                f"scene {held_out[0]!r} is of split 'measure' and must not train a rater",
                "give the scenes of split 'build'",
            )
        said = [
            (text, personas[name].traits)
            for s in scenes
            for name, text in s.replies.items()
            if name in personas
        ]
        scales = sorted({scale for _, traits in said for scale, at in traits.items() if at})
        if not scales:
            raise InputError("no reply stands on a scale", "give scenes that personas answered")
        words = _word_weights()
        weights = words.fit_transform([text for text, _ in said])
        poles = {}
        for scale in scales:
            at = np.array([traits.get(scale, 0.0) for _, traits in said])
            if at.min() < 0 < at.max():
                poles[scale] = _pole().fit(weights[at != 0], at[at != 0] > 0)
        return cls(words, poles, frozenset(s.id for s in scenes))

    def __call__(self, question: OpenQuestion, reply: str) -> float | None:
        """Probability, 0 to 1, that the reply is of the positive pole of the question's scale.

        None where the corpus had no personas on both poles of the scale.
        """
        if question.scale not in self.poles:
            return None
        return float(self.poles[question.scale].predict_proba(self.words.transform([reply]))[0, 1])


def _word_weights() -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2)


def _pole() -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=10, max_iter=500)
