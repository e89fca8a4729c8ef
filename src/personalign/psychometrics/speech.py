"""Who is speaking? Raters of different make that learnt each scale's poles from a corpus's text.

A rater sees a reply alone: neither who gave it nor under which condition. It learns from replies to
situations that build, and what it is worth is measured on replies to situations that it has not
seen (five folds over situations). Its probabilities are calibrated on those (Platt 1999, Advances
in Large Margin Classifiers 61–74), so that a rater that cannot tell says a half; one that is not
shown to be better than chance on a scale says nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import binomtest

from personalign.errors import InputError
from personalign.personas import Persona
from personalign.records import Scene

__all__ = ["Accuracy", "SpeechRater", "train"]

FOLDS = 5
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How many of so many replies that it had not seen a rater placed on the right pole."""

    right: int
    of: int

    @property
    def low(self) -> float:
        """Lower end of Wilson's 95 % interval."""
        return float(binomtest(self.right, self.of).proportion_ci(0.95, "wilson").low)


@dataclass(frozen=True)
class SpeechRater:
    """One rater.

    Attributes:
        name: Of its make, such as `words`.
        features: Texts → what it sees of them, [n, F].
        poles: Scale → classifier with a `decision_function`.
        scaling: Scale → slope and intercept of the calibration.
        accuracy: Scale → its figures, for every scale that it was taught.
    """

    name: str
    features: Callable[[Sequence[str]], Any]
    poles: Mapping[str, Any]
    scaling: Mapping[str, tuple[float, float]]
    accuracy: Mapping[str, Accuracy]

    @property
    def scales(self) -> tuple[str, ...]:
        """Those on which it is shown to be better than chance."""
        return tuple(s for s, found in self.accuracy.items() if found.low > 0.5)

    def __call__(self, texts: Sequence[str]) -> dict[str, Floats]:
        """Scale → probability of the positive pole, [n], 0 to 1, where it can tell."""
        seen = self.features(texts)
        found = {}
        for scale in self.scales:
            slope, intercept = self.scaling[scale]
            decided = np.asarray(self.poles[scale].decision_function(seen), dtype=float)
            found[scale] = expit(slope * decided + intercept)
        return found


def train(
    scenes: Sequence[Scene],
    personas: Mapping[str, Persona],
    encode: Callable[[Sequence[str]], Any] | None = None,
) -> SpeechRater:
    """A rater of words, or of what `encode` makes of texts.

    Args:
        scenes: Situations of split `build`, with replies.
        personas: Says which pole of a scale a reply's persona stands on; replies of others are
            left out.
        encode: Texts → vectors, [n, F], such as a sentence encoder.

    Raises:
        InputError: for a scene that measures, or where no reply stands on a scale.
    """
    if held_out := [s.id for s in scenes if s.split != "build"]:
        raise InputError(f"scene {held_out[0]!r} measures", "give the scenes of split 'build'")
    said = [
        (text, personas[name].traits, k)
        for k, scene in enumerate(scenes)
        for name, text in scene.replies.items()
        if name in personas
    ]
    scales = sorted({scale for _, traits, _ in said for scale, at in traits.items() if at})
    if not scales:
        raise InputError("no reply stands on a scale", "give scenes that personas answered")
    texts, groups = [text for text, *_ in said], np.array([k for *_, k in said])
    features = encode or _words().fit(texts).transform
    seen = features(texts)
    taught = {
        scale: found
        for scale in scales
        if (found := _taught(seen, np.array([t.get(scale, 0.0) for _, t, _ in said]), groups))
    }
    return SpeechRater(
        "words" if encode is None else "sentences",
        features,
        {scale: pole for scale, (pole, _, _) in taught.items()},
        {scale: scaling for scale, (_, scaling, _) in taught.items()},
        {scale: accuracy for scale, (_, _, accuracy) in taught.items()},
    )


def _taught(
    seen: Any, at: Floats, groups: NDArray[np.intp]
) -> tuple[Any, tuple[float, float], Accuracy] | None:
    """A pole's classifier, its calibration and its figures; None where there is one pole only."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold, cross_val_predict

    kept = np.flatnonzero(at)
    positive, whose = at[kept] > 0, groups[kept]
    if positive.all() or not positive.any() or len(set(whose)) < FOLDS:
        return None
    pole = LogisticRegression(C=10, max_iter=500)
    unseen = cross_val_predict(
        pole, seen[kept], positive, groups=whose, cv=GroupKFold(FOLDS), method="decision_function"
    )
    platt = LogisticRegression(C=1e6).fit(unseen[:, None], positive)
    right = int(((unseen > 0) == positive).sum())
    scaling = float(platt.coef_[0, 0]), float(platt.intercept_[0])
    return pole.fit(seen[kept], positive), scaling, Accuracy(right, len(kept))


def _words() -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2)
