"""The Pareto front."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personalign.analysis.tradeoffs import pareto
from personalign.errors import InputError

GOALS = {"persona": "higher", "harm": "lower"}


def test_a_front_by_hand() -> None:
    points = {
        "base": {"persona": 0.0, "harm": 0.2},
        "dial 0.5": {"persona": 0.5, "harm": 0.25},
        "dial 1": {"persona": 0.9, "harm": 0.4},
        "worse": {"persona": 0.4, "harm": 0.3},
        "twin": {"persona": 0.9, "harm": 0.4},
        "lost": {"persona": None, "harm": 0.1},
    }
    found = {p.name: p for p in pareto(points, GOALS)}
    assert [n for n, p in found.items() if p.on_front] == ["base", "dial 0.5", "dial 1", "twin"]
    assert found["worse"].dominated_by == ("dial 0.5",)
    assert found["lost"].on_front is None
    assert found["lost"].reason == "not measured: persona"


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12))
def test_front_by_definition(raw: list[tuple[int, int]]) -> None:
    points = {str(i): {"persona": float(x), "harm": float(y)} for i, (x, y) in enumerate(raw)}
    for point in pareto(points, GOALS):
        x, y = point.values["persona"], point.values["harm"]
        beaten = any(u >= x and v <= y and (u > x or v < y) for u, v in raw)
        assert point.on_front is (not beaten)


def test_bad_calls_are_refused() -> None:
    with pytest.raises(InputError, match="goals"):
        pareto({}, {})
    with pytest.raises(InputError, match="lacks"):
        pareto({"a": {"persona": 1.0}}, GOALS)
