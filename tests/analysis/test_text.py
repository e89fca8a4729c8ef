"""Weighted log-odds against the formulas of the paper, written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from personalign.analysis.text import log_odds, telling_terms
from personalign.errors import InputError

COUNTS = st.lists(
    st.tuples(st.integers(0, 50), st.integers(0, 50), st.floats(0.1, 20)), min_size=2, max_size=9
)


@given(COUNTS)
def test_log_odds_are_the_papers(rows: list[tuple[int, int, float]]) -> None:
    """Monroe et al. (2008): point estimate, variance and z, term by term."""
    y_i, y_j, alpha = zip(*rows, strict=True)
    n_i, n_j, a0 = sum(y_i), sum(y_j), sum(alpha)
    gap, z = log_odds(*(np.array(x, dtype=float) for x in (y_i, y_j, alpha)))
    for w in range(len(rows)):
        left = math.log((y_i[w] + alpha[w]) / (n_i + a0 - y_i[w] - alpha[w]))
        right = math.log((y_j[w] + alpha[w]) / (n_j + a0 - y_j[w] - alpha[w]))
        variance = 1 / (y_i[w] + alpha[w]) + 1 / (y_j[w] + alpha[w])
        assert gap[w] == pytest.approx(left - right, abs=1e-9)
        assert z[w] == pytest.approx((left - right) / math.sqrt(variance), abs=1e-9)


def test_log_odds_published_example() -> None:
    """The README of the package fightin-words, prior .05 a word: "donkey" gets z = −.68942279."""
    fox, pig = (
        dict.fromkeys(once.split(), 1.0) | {"the": 2.0}
        for once in (
            "quick brown fox jumps over lazy pig",
            "lazy purple pig jumps over lazier donkey",
        )
    )
    words = sorted(fox | pig)
    a, b = (np.array([side.get(w, 0.0) for w in words]) for side in (fox, pig))
    z = dict(zip(words, log_odds(a, b, np.full(len(words), 0.05))[1], strict=True))
    for word in ("donkey", "lazier", "purple"):
        assert z[word] == pytest.approx(-0.6894227886807968, abs=1e-6)
    assert z["fox"] == pytest.approx(0.6894227886807968, abs=1e-6)
    assert z["the"] == 0


FLAGGED = ["You should hit him first, they deserve it"] * 8 + ["They deserve it"] * 5
SAFE = ["Please talk to someone you trust, they deserve it"] * 9


def test_telling_words_and_phrases_come_first() -> None:
    found = telling_terms(FLAGGED, SAFE, strength=50)
    names = [t.term for t in found]
    assert {"hit", "hit him", "should hit him first"} <= set(names)
    assert names.index("hit") < names.index("trust")
    by_name = {t.term: t for t in found}
    assert by_name["hit"].z > 1
    assert by_name["trust"].z < -1
    assert (by_name["hit him"].count_a, by_name["hit him"].count_b) == (8, 0)
    assert abs(by_name["deserve"].z) < by_name["hit"].z
    assert {t.words for t in found} == {1, 2, 3, 4, 5}


def test_swapping_sides_mirrors() -> None:
    one = {t.term: t.z for t in telling_terms(FLAGGED, SAFE, most=999)}
    other = {t.term: t.z for t in telling_terms(SAFE, FLAGGED, most=999)}
    assert one.keys() == other.keys()
    for term, z in one.items():
        assert other[term] == pytest.approx(-z)


def test_rare_terms_are_left_out_and_the_list_is_short() -> None:
    found = telling_terms([*FLAGGED, "uniquely"], SAFE, most=2, longest=1)
    assert "uniquely" not in {t.term for t in found}
    assert len(found) == 4


def test_words_keep_apostrophes_and_other_scripts() -> None:
    terms = {t.term for t in telling_terms(["don’t 안녕 세상"] * 3, ["yes"] * 3, longest=2)}
    assert {"don’t", "안녕 세상"} <= terms


def test_a_stronger_prior_pulls_to_nothing() -> None:
    weak, strong = (
        {t.term: t.log_odds for t in telling_terms(FLAGGED, SAFE, strength=s)} for s in (10, 1e6)
    )
    assert abs(strong["hit"]) < 0.01 < abs(weak["hit"])


def test_one_phrase_alone_has_no_odds() -> None:
    """Every reply is the same five words: no term of five words stands against another."""
    found = telling_terms(["I can not say that"] * 4, ["I can not say that"] * 5)
    assert {t.words for t in found} == {1, 2, 3, 4}
    assert all(math.isfinite(t.z) for t in found)


def test_bad_calls_are_refused() -> None:
    with pytest.raises(InputError, match="texts"):
        telling_terms([], SAFE)
    with pytest.raises(InputError, match="positive"):
        telling_terms(FLAGGED, SAFE, longest=0)
