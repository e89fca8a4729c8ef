"""Quality gates of a corpus: what would teach a model the wrong thing.

Each gate measures one number over all replies, compares it with a stated limit and shows
examples. Gates need no model and no network. Preference pairs are looked at as the scenes that
they were made of.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from personalign.corpus.faults import FAULTS, words
from personalign.corpus.formats import form_of, read_pairs
from personalign.corpus.scenes import STARTER, load
from personalign.corpus.shingles import Shingles, repeats
from personalign.errors import CorpusError
from personalign.files import rows
from personalign.personas import Persona
from personalign.records import PreferencePair, Record, Scene

__all__ = [
    "GateResult",
    "as_scenes",
    "check",
    "leave_one_area_out",
    "read",
]

MOST_LENGTH_DEVIATION = 0.10
MOST_OPENING = 0.08
MOST_OPENING_PHRASE = 0.04
CHANCE = 2
"""An opening met this often is chance, whatever share of a small corpus it makes."""
MOST_SHARED = 3
LARGE = 500
"""In a corpus of so many times `MOST_SHARED` replies and more, one reply in so many may share."""
NEAR = 0.7
LEAST_SIGNAL = 0.85
MOST_SURFACE = 0.62
EXAMPLES = 5

Said = tuple[str, str, str]
"""Scene id, persona, reply."""


class GateResult(Record):
    """One gate: the measured value, the limit it is held to, and what stands out."""

    gate: str
    passed: bool
    value: float
    limit: float
    examples: tuple[str, ...] = ()


def read(source: str, skip: Callable[[CorpusError], None] | None = None) -> list[Scene]:
    """Scenes of a shipped corpus, a file or a folder; of a file of pairs, what it was made of.

    `skip` is told of each row that is no pair, which is then left out.

    Raises:
        CorpusError: naming file and line of what is neither, or twice there.
    """
    path = Path(source)
    if path.is_file() and _holds_pairs(path):
        return as_scenes(read_pairs(path, skip))
    return load(source)


def as_scenes(pairs: Iterable[PreferencePair]) -> list[Scene]:
    """Scenes of split `build` with the replies of pairs, each reply once.

    A further reply of the same persona to the same prompt opens another scene. Replies are named
    `chosen` and `rejected` where a pair's origin does not say whose they are.
    """
    takes: dict[Any, list[dict[str, str]]] = defaultdict(lambda: [{}])
    origins: dict[Any, Mapping[str, Any]] = {}
    known = set()
    for pair in pairs:
        origins.setdefault(pair.prompt, pair.origin)
        for key, kind, messages in (
            ("persona", "chosen", pair.chosen),
            ("opposite", "rejected", pair.rejected),
        ):
            name, text = str(pair.origin.get(key, kind)), messages[-1].content
            if (pair.prompt, name, text) in known:
                continue
            known.add((pair.prompt, name, text))
            if name in takes[pair.prompt][-1]:
                takes[pair.prompt].append({})
            takes[pair.prompt][-1][name] = text
    return [
        Scene(
            id=f"{origins[prompt].get('scene', 'prompt')}#{number}.{take}",
            area=str(origins[prompt].get("area", "")),
            split="build",
            prompt=prompt,
            replies=replies,
        )
        for number, prompt in enumerate(takes, start=1)
        for take, replies in enumerate(takes[prompt], start=1)
    ]


def check(scenes: Sequence[Scene], personas: Mapping[str, Persona]) -> list[GateResult]:
    """All gates over a corpus.

    Args:
        personas: The catalogue; says which scales a reply's persona stands on.

    Raises:
        CorpusError: where no scene has a reply.
    """
    said = [(s.id, name, text) for s in scenes for name, text in s.replies.items()]
    if not said:
        raise CorpusError("no scene has a reply", "name a corpus that personas answered")
    every = [*((s.id, "situation", _asked(s)) for s in scenes), *said]
    by_reply: list[Callable[[list[Said]], GateResult]] = [
        length_balance,
        openings,
        opening_phrases,
        shared_phrases,
        near_duplicate_replies,
    ]
    results = [gate(said) for gate in by_reply]
    results += [faultless(fault, find, every) for fault, find in FAULTS.items()]
    results.append(leaks(scenes, _shipped_measure()))
    if {s.split for s in scenes} == {"build", "measure"}:
        results += signal(scenes, personas)
    return results


def length_balance(said: Sequence[Said]) -> GateResult:
    """Mean words of each persona's replies within 10 % of the overall mean."""
    by_persona: dict[str, list[int]] = defaultdict(list)
    for _, name, text in said:
        by_persona[name].append(len(words(text)))
    overall = sum(map(sum, by_persona.values())) / len(said)
    off = {n: sum(c) / len(c) / overall - 1 for n, c in by_persona.items()}
    worst = sorted(off, key=lambda n: -abs(off[n]))
    examples = tuple(f"{n}: {off[n]:+.1%}" for n in worst[:EXAMPLES])
    value = abs(off[worst[0]])
    return _at_most("word-count balance", value, MOST_LENGTH_DEVIATION, examples)


def openings(said: Sequence[Said]) -> GateResult:
    """No persona opens more than 8 % of its replies with the same word."""
    return _openings("opening words", said, 1, MOST_OPENING)


def opening_phrases(said: Sequence[Said]) -> GateResult:
    """No persona opens more than 4 % of its replies with the same three words."""
    return _openings("opening phrases", said, 3, MOST_OPENING_PHRASE)


def _openings(gate: str, said: Sequence[Said], length: int, limit: float) -> GateResult:
    first: dict[str, Counter[str]] = defaultdict(Counter)
    for _, name, text in said:
        first[name][" ".join(words(text)[:length])] += 1
    shares = {
        (name, opening): count / counts.total()
        for name, counts in first.items()
        for opening, count in counts.most_common(1)
        if count > CHANCE
    }
    worst = sorted(shares, key=lambda k: -shares[k])[:EXAMPLES]
    examples = tuple(f"{n}: {w!r} {shares[n, w]:.1%}" for n, w in worst)
    return _at_most(gate, max(shares.values(), default=0.0), limit, examples)


def faultless(fault: str, find: Callable[[str], str | None], said: Sequence[Said]) -> GateResult:
    """No text holds what the finder finds."""
    found = [(i, n, what) for i, n, text in said if (what := find(text))]
    examples = tuple(f"{i} {n}: {what}" for i, n, what in found[:EXAMPLES])
    return _at_most(fault.replace("_", " "), len(found), 0, examples)


def shared_phrases(said: Sequence[Said]) -> GateResult:
    """No sequence of six words stands in more than three replies, or 0.2 % of a large corpus."""
    limit = max(MOST_SHARED, len(said) // LARGE)
    found = Shingles([words(text) for _, _, text in said]).shared(more_than=1)
    examples = tuple(f"{phrase!r}: {len(who)} replies" for phrase, who in found[:EXAMPLES])
    value = len(found[0][1]) if found else 1
    return _at_most("shared six-word phrases", value, limit, examples)


def near_duplicate_replies(said: Sequence[Said]) -> GateResult:
    """No two replies reach Jaccard 0.7 over word trigrams."""
    found = repeats([words(text) for _, _, text in said], NEAR)
    examples = tuple(
        f"{' '.join(said[r.of][:2])} ~ {' '.join(said[r.text][:2])}: {r.similarity:.2f}"
        for r in found[:EXAMPLES]
    )
    return _at_most("near-duplicate replies", len(found), 0, examples)


def leaks(scenes: Sequence[Scene], held_back: Sequence[Scene] = ()) -> GateResult:
    """No `build` situation is nearly one that measures, of these or of others held back."""
    measure = [s for s in (*scenes, *held_back) if s.split == "measure"]
    both = [*measure, *(s for s in scenes if s.split == "build")]
    near = repeats([words(_asked(s)) for s in both], NEAR)
    found = [r for r in near if r.text >= len(measure) > r.of]
    examples = tuple(
        f"{both[r.of].id} ~ {both[r.text].id}: {r.similarity:.2f}" for r in found[:EXAMPLES]
    )
    return _at_most("measure situations among build", len(found), 0, examples)


@cache
def _shipped_measure() -> tuple[Scene, ...]:
    return tuple(s for corpus in STARTER for s in load(corpus) if s.split == "measure")


def _asked(scene: Scene) -> str:
    return "\n".join(m.content for m in scene.prompt if m.role == "user")


def _holds_pairs(path: Path) -> bool:
    """Whether the first record is a preference, of this project's form or another's."""
    first = next(rows(path), None)
    return first is not None and form_of(first.cells) is not None


def signal(scenes: Sequence[Scene], personas: Mapping[str, Persona]) -> list[GateResult]:
    """Scale by scale: words tell the pole (≥ 85 %), surface features do not (≤ 62 %).

    Classifiers are trained on `build` and tested on `measure`. Replies of personas that are not in
    the catalogue are left out, and so are scales of which `build` lacks a pole or `measure` both.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    by_words = _by_words()
    by_surface = make_pipeline(
        FunctionTransformer(lambda texts: [_surface(t) for t in texts]),
        StandardScaler(),
        LogisticRegression(max_iter=500),
    )
    results = []
    for scale in _scales(scenes, personas):
        train, test = (_poles(scenes, split, scale, personas) for split in ("build", "measure"))
        if len(set(train[1])) < 2 or not test[1]:
            continue
        accuracy, shallow = (m.fit(*train).score(*test) for m in (by_words, by_surface))
        results.append(
            GateResult(
                gate=f"{scale} by words",
                passed=accuracy >= LEAST_SIGNAL,
                value=accuracy,
                limit=LEAST_SIGNAL,
            )
        )
        results.append(_at_most(f"{scale} by surface", shallow, MOST_SURFACE, ()))
    return results


def leave_one_area_out(
    scenes: Sequence[Scene], personas: Mapping[str, Persona]
) -> dict[str, float]:
    """Accuracy by words, scale by scale, on each area of life when trained on all the others."""
    areas = sorted({s.area for s in scenes})
    found = {}
    for scale in _scales(scenes, personas):
        right = []
        for area in areas:
            train, test = (
                _poles([s for s in scenes if (s.area == area) == out], None, scale, personas)
                for out in (False, True)
            )
            right.append(_by_words().fit(*train).score(*test))
        found[scale] = sum(right) / len(right)
    return found


def _scales(scenes: Sequence[Scene], personas: Mapping[str, Persona]) -> list[str]:
    """Scales at both of whose poles a persona of the catalogue answers."""
    names = {name for scene in scenes for name in scene.replies}
    known = [personas[n].traits for n in names if n in personas]
    poles = {(scale, at > 0) for traits in known for scale, at in traits.items() if at}
    return sorted(scale for scale, high in poles if high and (scale, False) in poles)


def _by_words() -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    return make_pipeline(
        TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2),
        LogisticRegression(C=10, max_iter=500),
    )


def _poles(
    scenes: Sequence[Scene], split: str | None, scale: str, personas: Mapping[str, Persona]
) -> tuple[list[str], list[bool]]:
    sided = [
        (text, personas[name].traits[scale] > 0)
        for s in scenes
        if split in (None, s.split)
        for name, text in s.replies.items()
        if name in personas and personas[name].traits.get(scale)
    ]
    return [text for text, _ in sided], [side for _, side in sided]


def _surface(text: str) -> list[float]:
    sentences = len(re.findall(r"[.!?](?:\s|$)", text))
    marks = [text.count(mark) for mark in ",.!?;:'-"]
    return [len(words(text)), sentences, *marks]


def _at_most(gate: str, value: float, limit: float, examples: tuple[str, ...]) -> GateResult:
    return GateResult(
        gate=gate, passed=value <= limit, value=float(value), limit=limit, examples=examples
    )
