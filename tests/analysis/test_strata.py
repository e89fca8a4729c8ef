"""Two questions of a benchmark of kinds: other prompts of these, or other kinds."""

from __future__ import annotations

import numpy as np
import pytest

from personalign.analysis import summary, table
from personalign.analysis.estimates import clustered_proportion
from personalign.analysis.strata import stratified

RNG = np.random.default_rng
KINDS = np.arange(700) // 50


def test_kinds_that_differ_make_other_kinds_uncertain_and_not_these() -> None:
    x = (RNG(0).random(700) < np.linspace(0.02, 0.9, 14)[KINDS]).astype(float)
    low, high = stratified(x, KINDS, share=True) or (0, 1)
    other = clustered_proportion(x, KINDS)
    assert other.low is not None
    assert other.high is not None
    assert high - low < 0.07
    assert other.high - other.low > 0.3


@pytest.mark.parametrize("binary", [True, False])
def test_coverage_over_these_kinds(binary: bool) -> None:
    rates, hits = np.linspace(0.02, 0.6, 14), 0
    for seed in range(500):
        rng = RNG([seed, 41])
        x = rates[KINDS] + rng.normal(size=700)
        if binary:
            x = (rng.random(700) < rates[KINDS]).astype(float)
        low, high = stratified(x, KINDS, share=binary) or (0, 0)
        hits += low <= rates.mean() <= high
    assert 0.93 <= hits / 500 <= 0.98


def test_what_has_no_strata_has_no_such_interval() -> None:
    x = RNG(0).normal(size=20)
    assert stratified(x, np.arange(20), share=False) is None
    assert stratified(x, np.minimum(np.arange(20), 5), share=False) is None  # kinds of one
    assert stratified(np.ones(20) * 0.3, np.arange(20) % 2, share=False) is None


def test_records_hold_both(study) -> None:
    found = summary.analyse(table.to_frame(study(60, clusters=10)), draws=200)
    assert all(e.on_benchmark and e.low is not None for e in found.estimates)
    assert all(c.on_benchmark and c.low is not None for c in found.contrasts)
    alone = summary.analyse(table.to_frame(study(60)), draws=200)
    assert {e.on_benchmark for e in alone.estimates} == {None}
