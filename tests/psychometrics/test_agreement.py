"""Measures of one trait agree, measures of a method alone do not pass for it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from personalign.errors import InputError
from personalign.psychometrics.agreement import multitrait_multimethod

SCALES = ("EI", "SN", "TF")


def planted(arms: int, trait: float, method: float, seed: int = 0) -> pd.DataFrame:
    """Position = trait · T + method · M + noise, for two measures of three scales."""
    rng = np.random.default_rng(seed)
    of_scale = {s: rng.standard_normal(arms) for s in SCALES}
    rows = []
    for measure in ("behaviour", "statements"):
        own = rng.standard_normal(arms)
        for s in SCALES:
            value = trait * of_scale[s] + method * own + 0.3 * rng.standard_normal(arms)
            rows += [(f"a{k}", measure, s, v) for k, v in enumerate(value)]
    return pd.DataFrame(rows, columns=["arm", "measure", "scale", "position"])


def test_traits_converge() -> None:
    found = multitrait_multimethod(planted(40, trait=1, method=0))
    assert len(found.correlations) == 15
    kinds = [c.kind for c in found.correlations]
    assert [kinds.count(k) for k in sorted(set(kinds))] == [3, 6, 6]
    assert found.convergent is not None
    assert found.discriminant is not None
    assert found.convergent > 0.8 > 0.3 > found.discriminant
    assert found.above == 1


def test_methods_do_not_pass_for_traits() -> None:
    found = multitrait_multimethod(planted(40, trait=0, method=1))
    within = [c.value for c in found.correlations if c.kind == "discriminant within"]
    assert min(v for v in within if v is not None) > 0.8
    assert found.convergent is not None
    assert abs(found.convergent) < 0.3
    assert found.above is not None
    assert found.above < 0.6


def test_a_correlation_is_pearsons_with_fishers_interval() -> None:
    frame = planted(12, 1, 0.5)
    found = multitrait_multimethod(frame).correlations[0]
    wide = frame.pivot(index="arm", columns=["measure", "scale"], values="position")
    a, b = ((t.measure, t.scale) for t in (found.a, found.b))
    r = stats.pearsonr(wide[a], wide[b]).statistic
    edge = 1.959964 / np.sqrt(12 - 3)
    assert found.value == pytest.approx(r)
    assert found.low == pytest.approx(np.tanh(np.arctanh(r) - edge), abs=1e-6)
    assert found.high == pytest.approx(np.tanh(np.arctanh(r) + edge), abs=1e-6)


def test_too_few_arms_are_missing_with_the_reason() -> None:
    found = multitrait_multimethod(planted(2, 1, 0))
    assert {c.value for c in found.correlations} == {None}
    assert found.correlations[0].reason == "2 arms have both, and a correlation needs 3"
    assert (found.convergent, found.discriminant, found.above) == (None, None, None)
    three = multitrait_multimethod(planted(3, 1, 0)).correlations[0]
    assert three.value is not None
    assert (three.low, three.reason) == (None, "no interval: Fisher's needs four arms")


def test_arms_without_a_measure_are_counted() -> None:
    frame = planted(10, 1, 0)
    frame = frame[~((frame["arm"] == "a0") & (frame["measure"] == "statements"))]
    found = multitrait_multimethod(frame)
    crossed = next(c for c in found.correlations if c.kind == "convergent")
    assert (crossed.n, crossed.missing) == (9, {"incomplete": 1})


def test_what_does_not_vary_is_missing() -> None:
    frame = planted(10, 1, 0)
    frame.loc[frame["scale"] == "EI", "position"] = 0.0
    reasons = {c.reason for c in multitrait_multimethod(frame).correlations}
    assert reasons == {None, "a position is the same in all arms"}


def test_malformed_positions_are_errors() -> None:
    frame = planted(4, 1, 0)
    with pytest.raises(InputError, match="no column 'arm'"):
        multitrait_multimethod(frame.drop(columns="arm"))
    with pytest.raises(InputError, match="two positions"):
        multitrait_multimethod(pd.concat([frame, frame]))
