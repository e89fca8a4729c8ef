"""What it takes to be confirmed: planted personas are, null ones are not, and the word says why."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from personalign.personas import TYPES, load
from personalign.psychometrics.criteria import Criterion, Spoken, fluent, own, word
from personalign.psychometrics.verify import Verification, verify

SCALES = ("EI", "SN", "TF", "JP")
INFP = {"EI": -1, "SN": 1, "TF": -1, "JP": -1}
OPENINGS, SITUATIONS = 48, 24


def positions(
    rng: np.random.Generator, units: int, at: dict[str, float], noise: float
) -> pd.DataFrame:
    return pd.DataFrame({s: at.get(s, 0.0) + noise * rng.standard_normal(units) for s in SCALES})


def manner(rng: np.random.Generator, **change: float) -> pd.DataFrame:
    """Two replies an opening: most end, few repeat, about eighty tokens."""
    ended = rng.binomial(2, 0.8 + change.get("ended", 0.0), OPENINGS) / 2
    tokens = 80 * change.get("length", 1.0) * rng.lognormal(0, 0.3, OPENINGS)
    repeated = change.get("repeated", 0.0) + rng.uniform(0, 0.06, OPENINGS)
    empty = rng.binomial(2, change.get("empty", 0.0), OPENINGS) / 2
    return pd.DataFrame({"repeated": repeated, "ended": ended, "empty": empty, "tokens": tokens})


def persona(
    seed: int,
    moved: float = 0.5,
    text: dict[str, float] | None = None,
    gain: float = 0.5,
    **change: float,
) -> Verification:
    """A verdict on simulated scores: shifts towards INFP in log-probs, in text, of its reply."""
    rng = np.random.default_rng(seed)
    base = positions(rng, SITUATIONS, {}, 0.3)
    after = base + positions(rng, SITUATIONS, {s: moved * d for s, d in INFP.items()}, 0.3)
    gains = pd.DataFrame(rng.normal(0, 0.3, (SITUATIONS, 16)), columns=list(TYPES))
    gains["INFP"] += gain
    shift = text if text is not None else {s: 0.5 * d for s, d in INFP.items()}
    none: pd.Series[float] = pd.Series(dtype=float)
    said = (
        Spoken(positions(rng, OPENINGS, {}, 0.4), manner(rng), none),
        Spoken(positions(rng, OPENINGS, shift, 0.4), manner(rng, **change), none),
    )
    return verify(
        load("INFP"), "adapter", {"behaviour": base}, {"behaviour": after}, None, seed,
        gains=gains, spoken=said,
    )  # fmt: skip


def test_planted_personas_are_confirmed() -> None:
    found = [persona(seed) for seed in range(20)]
    assert sum(v.word == "confirmed" for v in found) >= 14  # one in six lacks openings to end on
    names = [c.name for c in found[0].criteria]
    assert names == ["moved", "own", "shown", "holds", "fluent"]
    for c in found[0].criteria:
        assert c.reason
        if c.verdict != "not asked":
            assert c.low is not None
            assert c.high is not None
            assert c.low < (c.value or 0) < c.high
    assert found[0].criterion("holds").verdict == "not asked"


NULLS = {
    "nothing": {"moved": 0.0, "text": {}, "gain": 0.0},
    "log-probs only": {"text": {}},
    "one letter not in text": {"text": {"EI": -0.5, "SN": 0.5, "TF": -0.5}},
    "another's reply": {"gain": 0.0},
}


@pytest.mark.parametrize("name", NULLS)
def test_null_personas_are_confirmed_in_five_of_a_hundred_at_most(name: str) -> None:
    """Of 30 simulated personas each; 1.5 expected at most have a binomial error of 1.2."""
    confirmed = sum(persona(1000 + s, **NULLS[name]).word == "confirmed" for s in range(30))
    assert confirmed <= 1.5 + 1.5


def test_a_persona_that_does_not_show_is_not_confirmed_and_the_word_says_so() -> None:
    strong = {s: 0.6 * d for s, d in INFP.items()}
    assert persona(1, text={}).word == "moved, not shown in text"
    assert persona(1, text={**strong, "JP": 0.6}).word == "contradicted"
    assert persona(1, text=strong, repeated=0.4).word == "shown, but text degraded"
    assert persona(1, text=strong, ended=-0.8).word == "shown, but text degraded"
    assert persona(1, text=strong, length=0.2).word == "shown, but text degraded"
    assert persona(1, text=strong, empty=0.4).word == "shown, but text degraded"
    assert persona(1, text=strong, gain=-0.5).word == "contradicted"
    assert persona(1, moved=0.0, text=strong).word == "indeterminate"


def test_what_no_rater_can_tell_is_not_shown() -> None:
    rng = np.random.default_rng(0)
    at = {s: d * 1.0 for s, d in INFP.items()}
    said = [
        Spoken(positions(rng, OPENINGS, to, 0.3).drop(columns="JP"), manner(rng), pd.Series())
        for to in ({}, at)
    ]
    base, after = positions(rng, 24, {}, 0.3), positions(rng, 24, at, 0.3)
    found = verify(
        load("INFP"), "adapter", {"m": base}, {"m": after}, None, 0, spoken=(said[0], said[1])
    )
    assert found.word == "moved, not shown in text"
    assert "no rater can tell JP" in (found.criterion("shown").reason or "")
    assert found.criterion("own").verdict == "not asked"


def test_own_needs_its_reply_likelier_and_first() -> None:
    """Everything became likelier, its own no more than others: not its own."""
    rng = np.random.default_rng(0)
    alike = pd.DataFrame(rng.normal(0.5, 0.1, (24, 16)), columns=list(TYPES))
    found = own(alike, "INFP", rng)
    assert (found.low or 0) > 0
    assert found.verdict == "indeterminate"
    ahead = alike.assign(INFP=alike["INFP"] + 0.5)
    assert own(ahead, "INFP", rng).verdict == "confirmed"
    assert own(ahead - 1.5, "INFP", rng).verdict == "contradicted"  # first among the falling
    assert own(alike.drop(columns="INFP"), "INFP", rng).verdict == "not asked"


def test_fluent_goes_by_the_margins() -> None:
    rng = np.random.default_rng(0)
    base = manner(rng)
    assert fluent(base, base).verdict == "confirmed"
    worse = {"repeated": 0.06, "ended": -0.2, "empty": 0.06}
    for name, by in worse.items():
        assert fluent(base, base.assign(**{name: base[name] + by})).verdict == "contradicted"
        better = base.assign(**{name: base[name] - by})
        assert fluent(base, better).verdict == "confirmed", name
    for factor, verdict in ((0.3, "contradicted"), (0.45, "confirmed"), (3.3, "contradicted")):
        assert fluent(base, base.assign(tokens=base["tokens"] * factor)).verdict == verdict
    assert fluent(base[:1], base[:1]).verdict == "not asked"


def test_a_change_as_large_as_the_margin_is_called_fluent_in_five_of_a_hundred() -> None:
    """Of 600 simulated; the binomial error is 0.9 %."""
    called = 0
    for seed in range(600):
        rng = np.random.default_rng(seed)
        called += fluent(manner(rng), manner(rng, repeated=0.05)).verdict == "confirmed"
    assert called / 600 <= 0.05 + 0.018


def test_confirmed_needs_text_whatever_else_is_not_asked() -> None:
    """Over all combinations of what criteria can say."""
    kinds = ("confirmed", "indeterminate", "contradicted", "not asked")
    names = ("moved", "own", "shown", "holds", "fluent")
    for found in itertools.product(kinds, repeat=5):
        said = word([Criterion(name=n, verdict=v) for n, v in zip(names, found, strict=True)])
        at = dict(zip(names, found, strict=True))
        whole = at["moved"] == at["shown"] == "confirmed"
        holds = {"indeterminate", "contradicted"}.isdisjoint(found)
        assert (said == "confirmed") == (whole and holds)
        assert (said == "moved, text not asked") <= (at["shown"] == "not asked")
