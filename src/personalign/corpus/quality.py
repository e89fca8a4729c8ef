"""Quality gates of a factorial corpus: what would teach a model the wrong thing.

Each gate measures one number over all replies, compares it with a stated limit and shows
examples. Gates need no model and no network.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

from personalign.personas import Persona
from personalign.records import Record, Scene

__all__ = ["GateResult", "check", "words"]

MOST_LENGTH_DEVIATION = 0.10
MOST_OPENING = 0.08
MOST_SHARED = 3
PHRASE = 6
NEAR = 0.7
LEAST_SIGNAL = 0.85
MOST_SURFACE = 0.62
EXAMPLES = 5

JARGON = re.compile(
    r"\b(?:(?i:intro|extra|extro)ver(?:t|sion)\w*|(?i:as an? (?:thinker|feeler|judger|perceiver))"
    r"|(?i:judging type|perceiving type|personality type|intuitive type|sensing type)"
    r"|MBTI|(?i:neuroticism|agreeableness|conscientiousness)|[IE][SN][TF][JP])\b"
)
STAGE = re.compile(r"\*[^*]+\*|\[[^\]]+\]|\((?i:smiles|laughs|sighs|nods|pauses)[^)]*\)")
PERSONAL = re.compile(r"[\w.+-]+@[\w-]+\.\w+|\+?\d[\d ()-]{7,}\d")
FIELD = re.compile(r"[A-Za-z']+")

Said = tuple[str, str, str]
"""Scene id, persona, reply."""


class GateResult(Record):
    """One gate: the measured value, the limit it is held to, and what stands out."""

    gate: str
    passed: bool
    value: float
    limit: float
    examples: tuple[str, ...] = ()


def words(text: str) -> list[str]:
    """Lower-case words of a text."""
    return [w.lower() for w in FIELD.findall(text)]


def check(scenes: Sequence[Scene], personas: Mapping[str, Persona]) -> list[GateResult]:
    """All gates over a factorial corpus.

    Args:
        personas: The catalogue; says which scales a reply's persona stands on.
    """
    said = [(s.id, name, text) for s in scenes for name, text in s.replies.items()]
    gates: list[Callable[[list[Said]], GateResult]] = [
        length_balance,
        openings,
        lambda all_: marked("type names and jargon", JARGON, all_),
        lambda all_: marked("stage directions", STAGE, all_),
        lambda all_: marked("personal data", PERSONAL, all_),
        shared_phrases,
        near_duplicate_replies,
    ]
    results = [gate(said) for gate in gates]
    results.append(leaks(scenes))
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
    first: dict[str, Counter[str]] = defaultdict(Counter)
    for _, name, text in said:
        first[name][words(text)[0]] += 1
    shares = {
        (name, word): count / counts.total()
        for name, counts in first.items()
        for word, count in counts.most_common(1)
    }
    worst = sorted(shares, key=lambda k: -shares[k])
    examples = tuple(f"{n}: {w!r} {shares[n, w]:.1%}" for n, w in worst[:EXAMPLES])
    return _at_most("opening words", shares[worst[0]], MOST_OPENING, examples)


def marked(gate: str, pattern: re.Pattern[str], said: Sequence[Said]) -> GateResult:
    """No reply holds what the pattern finds."""
    found = [(i, n, m.group()) for i, n, text in said if (m := pattern.search(text))]
    return _at_most(gate, len(found), 0, tuple(f"{i} {n}: {m!r}" for i, n, m in found[:EXAMPLES]))


def shared_phrases(said: Sequence[Said]) -> GateResult:
    """No sequence of six words stands in more than three replies."""
    where: dict[tuple[str, ...], set[tuple[str, str]]] = defaultdict(set)
    for i, name, text in said:
        w = words(text)
        for k in range(len(w) - PHRASE + 1):
            where[tuple(w[k : k + PHRASE])].add((i, name))
    most = sorted(where, key=lambda phrase: -len(where[phrase]))[:EXAMPLES]
    examples = tuple(f"{' '.join(p)!r}: {len(where[p])} replies" for p in most if len(where[p]) > 1)
    value = max((len(replies) for replies in where.values()), default=0)
    return _at_most("shared six-word phrases", value, MOST_SHARED, examples)


def near_duplicate_replies(said: Sequence[Said]) -> GateResult:
    """No two replies reach Jaccard 0.7 over word trigrams."""
    texts = {f"{i} {name}": text for i, name, text in said}
    found = list(_near(texts))
    examples = tuple(f"{a} ~ {b}: {j:.2f}" for a, b, j in found[:EXAMPLES])
    return _at_most("near-duplicate replies", len(found), 0, examples)


def leaks(scenes: Sequence[Scene]) -> GateResult:
    """No `measure` situation is nearly a `build` situation."""
    split = {s.id: s.split for s in scenes}
    texts = {s.id: " ".join(m.content for m in s.prompt) for s in scenes}
    found = [(a, b, j) for a, b, j in _near(texts) if split[a] != split[b]]
    examples = tuple(f"{a} ~ {b}: {j:.2f}" for a, b, j in found[:EXAMPLES])
    return _at_most("measure situations among build", len(found), 0, examples)


def _trigrams(text: str) -> set[str]:
    w = words(text)
    return {" ".join(w[k : k + 3]) for k in range(max(1, len(w) - 2))}


def _near(texts: Mapping[str, str]) -> Iterator[tuple[str, str, float]]:
    """Pairs at Jaccard ≥ 0.7: candidates by MinHash LSH (Broder 1997), then exactly."""
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=NEAR - 0.1, num_perm=64)
    grams = {key: _trigrams(text) for key, text in texts.items()}
    for key, shingles in grams.items():
        sketch = MinHash(num_perm=64, seed=1)
        sketch.update_batch([s.encode() for s in shingles])
        for other in index.query(sketch):
            similarity = len(shingles & grams[other]) / len(shingles | grams[other])
            if similarity >= NEAR:
                yield other, key, similarity
        index.insert(key, sketch)


def signal(scenes: Sequence[Scene], personas: Mapping[str, Persona]) -> list[GateResult]:
    """Scale by scale: words tell the pole (≥ 85 %), surface features do not (≤ 62 %).

    Classifiers are trained on `build` and tested on `measure`.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    by_words = make_pipeline(
        TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2),
        LogisticRegression(C=10, max_iter=500),
    )
    by_surface = make_pipeline(
        FunctionTransformer(lambda texts: [_surface(t) for t in texts]),
        StandardScaler(),
        LogisticRegression(max_iter=500),
    )
    results = []
    for scale in sorted({s for n in scenes[0].replies for s in personas[n].traits}):
        train, test = (_poles(scenes, split, scale, personas) for split in ("build", "measure"))
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


def _poles(
    scenes: Sequence[Scene], split: str, scale: str, personas: Mapping[str, Persona]
) -> tuple[list[str], list[bool]]:
    sided = [
        (text, personas[name].traits[scale] > 0)
        for s in scenes
        if s.split == split
        for name, text in s.replies.items()
        if personas[name].traits.get(scale)
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
