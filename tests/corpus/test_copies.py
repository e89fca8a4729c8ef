"""The index of near copies misses none and makes none up."""

from __future__ import annotations

import random

import pytest

from personalign.corpus.copies import NearCopies, distinct, trigrams


def jaccard(a: set[int], b: set[int]) -> float:
    return len(a & b) / len(a | b)


@pytest.mark.parametrize("similarity", [0.3, 0.7, 0.9])
def test_it_agrees_with_comparing_every_two(similarity: float) -> None:
    rng = random.Random(1)
    known, kept, found = NearCopies(similarity), list[set[int]](), 0
    for _ in range(400):
        base = rng.choice(kept) if kept and rng.random() < 0.6 else set[int]()
        mine = {c for c in base if rng.random() < 0.9}
        mine |= {rng.randrange(300) for _ in range(rng.randrange(1, 8))}
        first = next((i for i, k in enumerate(kept) if jaccard(mine, k) >= similarity), None)
        got = known.find(mine)
        assert (got.number if got else None) == first
        if got and first is not None:
            assert got.similarity == pytest.approx(jaccard(mine, kept[first]))
            found += 1
        known.add(mine)
        kept.append(mine)
    assert found > 0


def test_an_empty_set_repeats_nothing() -> None:
    known = NearCopies(0.7)
    known.add(set())
    assert known.find(set()) is None


def test_other_scripts_are_words_too() -> None:
    one, two = (
        trigrams(t)
        for t in ("저는 오늘 저녁에 조용히 이야기할게요", "내일 같이 산책하러 가요 우리")
    )
    assert jaccard(one, two) == 0


def test_each_text_once() -> None:
    texts = ["the cat sat on the mat today", "The cat sat on the mat today!", "a dog"]
    assert list(distinct(texts, key=str)) == [texts[0], texts[2]]
