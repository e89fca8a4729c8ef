"""What it takes to be confirmed: planted personas are, null ones are not, and the word says why."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest

from personalign.personas import TYPES, load
from personalign.psychometrics.criteria import own, word
from personalign.psychometrics.criterion import Criterion, Figure, Spoken
from personalign.psychometrics.fluent import FIGURES, fluent, ratio
from personalign.psychometrics.holds import SMALLEST, holds
from personalign.psychometrics.verify import Verification, verify

SCALES = ("EI", "SN", "TF", "JP")
INFP = {"EI": -1, "SN": 1, "TF": -1, "JP": -1}
SIDES = dict(INFP)
OPENINGS, SITUATIONS, EACH = 64, 24, 16
WAYS = ("act", "yourself", "plain", "other", "know", "machine", "chat", "email", "list", "json")


def positions(
    rng: np.random.Generator, units: int, at: dict[str, float], noise: float
) -> pd.DataFrame:
    return pd.DataFrame({s: at.get(s, 0.0) + noise * rng.standard_normal(units) for s in SCALES})


def manner(rng: np.random.Generator, **change: float) -> pd.DataFrame:
    """Two replies an opening: most end, few repeat, about eighty tokens, most are to the point."""

    def share(name: str, at: float = 0.0) -> np.ndarray:
        return rng.binomial(2, at + change.get(name, 0.0), OPENINGS) / 2

    def level(name: str, low: float, high: float) -> np.ndarray:
        return change.get(name, 0.0) + rng.uniform(low, high, OPENINGS)

    return pd.DataFrame(
        {
            "repeated": level("repeated", 0, 0.06),
            "looped": level("looped", 0, 0.2),
            "ended": share("ended", 0.8),
            "empty": share("empty"),
            "foreign": share("foreign"),
            "length": 80 * change.get("length", 1.0) * rng.lognormal(0, 0.3, OPENINGS),
            "surprise": level("surprise", 0.4, 1.6),
            "fit": change.get("fit", 1.0) * rng.normal(0.4, 0.15, OPENINGS),
        }
    )


def put(rng: np.random.Generator, at: dict[str, float], lost: str | None, form: float) -> Spoken:
    """What is said to openings put in ten ways; in one, as base would."""
    index = pd.MultiIndex.from_product([WAYS, range(EACH)])
    found = positions(rng, len(index), at, 0.4).set_axis(index)
    if lost:
        found.loc[lost] = positions(rng, EACH, {}, 0.4).to_numpy()
    kept = pd.Series(rng.binomial(1, form, len(index)), index, dtype=float)
    asked = kept.where(index.get_level_values(0).isin(("email", "list", "json")))
    return Spoken(found, pd.DataFrame({"form": asked}), pd.Series(dtype=float))


def persona(
    seed: int,
    moved: float = 0.5,
    text: dict[str, float] | None = None,
    gain: float = 0.5,
    lost: str | None = None,
    form: float = 0.7,
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
    openings = (
        Spoken(positions(rng, OPENINGS, {}, 0.4), manner(rng), none),
        Spoken(positions(rng, OPENINGS, shift, 0.4), manner(rng, **change), none),
    )
    ways = put(rng, {}, None, 0.7), put(rng, shift, lost, form)
    return verify(
        load("INFP"), "adapter", {"behaviour": base}, {"behaviour": after}, None, seed,
        gains=gains, spoken={"speech": openings, "holds": ways},
    )  # fmt: skip


def test_planted_personas_are_confirmed() -> None:
    found = [persona(seed) for seed in range(20)]
    assert sum(v.word == "confirmed" for v in found) >= 15
    names = [c.name for c in found[0].criteria]
    assert names == ["moved", "own", "shown", "holds", "fluent"]
    for c in found[0].criteria:
        assert c.reason
        assert c.low is not None
        assert c.high is not None
        assert c.low < (c.value or 0) < c.high
    held, spoken = (found[0].criterion(name) for name in ("holds", "fluent"))
    assert [f.name for f in held.figures] == list(WAYS)
    assert [f.name for f in spoken.figures] == list(FIGURES)


NULLS: dict[str, dict[str, Any]] = {
    "nothing": {"moved": 0.0, "text": {}, "gain": 0.0},
    "log-probs only": {"text": {}},
    "one letter not in text": {"text": {"EI": -0.5, "SN": 0.5, "TF": -0.5}},
    "another's reply": {"gain": 0.0},
    "not in JSON": {"lost": "json"},
    "half as much to the point": {"fit": 0.5},
    "half of the forms": {"form": 0.35},
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
    assert persona(1, text=strong, fit=0.1).word == "shown, but text degraded"
    assert persona(1, text=strong, form=0.05).word == "shown, but text degraded"
    assert persona(1, text=strong, surprise=5.0).word == "shown, but text degraded"
    assert persona(1, text=strong, lost="plain").word != "confirmed"
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
        load("INFP"), "adapter", {"m": base}, {"m": after}, None, 0,
        spoken={"speech": (said[0], said[1])},
    )  # fmt: skip
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


def spoken(manner: pd.DataFrame) -> Spoken:
    return Spoken(pd.DataFrame(index=manner.index), manner, pd.Series(dtype=float))


def talk(before: pd.DataFrame, after: pd.DataFrame) -> Criterion:
    """Fluency where forms are as base's."""
    forms = put(np.random.default_rng(0), {}, None, 1.0)
    return fluent((spoken(before), spoken(after)), (forms, forms))


def test_fluent_goes_by_the_margins() -> None:
    rng = np.random.default_rng(0)
    base = manner(rng)
    assert talk(base, base).verdict == "confirmed"
    for name, margin in FIGURES.items():
        if margin.by != "difference":
            continue
        by = 1.2 * (margin.least or margin.most or 0.0)
        assert talk(base, base.assign(**{name: base[name] + by})).verdict == "contradicted", name
        assert talk(base, base.assign(**{name: base[name] - by})).verdict == "confirmed", name
    for factor, verdict in ((0.3, "contradicted"), (0.45, "confirmed"), (3.3, "contradicted")):
        assert talk(base, base.assign(length=base["length"] * factor)).verdict == verdict
    for factor, verdict in ((0.4, "contradicted"), (0.6, "confirmed"), (2.0, "confirmed")):
        assert talk(base, base.assign(fit=base["fit"] * factor)).verdict == verdict
    assert fluent((spoken(base[:1]), spoken(base[:1])), None).verdict == "not asked"


def test_fluency_that_was_not_measured_whole_is_not_asked() -> None:
    base = manner(np.random.default_rng(0)).drop(columns="fit")
    found = talk(base, base)
    assert found.verdict == "not asked"
    assert len(found.figures) == len(FIGURES) - 1
    assert "fit not asked" in (found.reason or "")
    worse = talk(base, base.assign(repeated=base["repeated"] + 0.2))
    assert worse.verdict == "contradicted"


def test_a_form_that_base_never_keeps_cannot_be_lost() -> None:
    base, rng = spoken(manner(np.random.default_rng(0))), np.random.default_rng(0)
    never, some = put(rng, {}, None, 0.0), put(rng, {}, None, 0.5)
    assert fluent((base, base), (never, some)).verdict == "confirmed"
    assert fluent((base, base), (some, never)).verdict == "contradicted"


@pytest.mark.parametrize("name", ["repeated", "fit"])
def test_a_change_as_large_as_the_margin_is_called_fluent_in_five_of_a_hundred(name: str) -> None:
    """Of 400 simulated; the binomial error is 1.1 %."""
    edge = {"repeated": 0.05, "fit": 0.5}[name]
    called = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        found = talk(manner(rng), manner(rng, **{name: edge}))
        called += next(f for f in found.figures if f.name == name).verdict == "confirmed"
    assert called / 400 <= 0.05 + 0.022


def test_a_ratio_of_means_is_covered_by_its_interval() -> None:
    """Of 600 pairs of samples; the binomial error of 90 % is 1.2 %."""
    hits = 0
    for seed in range(600):
        rng = np.random.default_rng(seed)
        before = pd.Series(rng.normal(0.4, 0.3, 20))
        low, high = (ratio(before, 0.7 * before + rng.normal(0, 0.2, 20)) or (0, 0, 0))[1:]
        hits += low <= 0.7 <= high
    assert abs(hits / 600 - 0.90) < 0.03
    assert ratio(pd.Series([-0.1, 0.1, 0.0]), pd.Series([0.1, 0.2, 0.3])) is None


def test_holding_is_said_way_by_way() -> None:
    rng = np.random.default_rng(0)
    base, at = put(rng, {}, None, 0.5), {s: 0.5 * d for s, d in SIDES.items()}
    held = holds(base, put(rng, at, None, 0.5), SIDES)
    assert held.verdict == "confirmed"
    assert all(f.low > SMALLEST for f in held.figures)
    gone = holds(base, put(rng, at, "plain", 0.5), SIDES)
    assert gone.verdict in ("indeterminate", "contradicted")
    assert "in 9 of 10 ways; plain is the least sure" in (gone.reason or "")
    assert holds(base, put(rng, {s: -d for s, d in at.items()}, None, 0.5), SIDES).verdict == (
        "contradicted"
    )
    single = Spoken(base.positions.xs(0, level=1, drop_level=False), base.manner, base.named)
    assert holds(single, single, SIDES).verdict == "not asked"
    assert holds(base, base, {"O": 1}).verdict == "not asked"


def test_what_holds_is_called_lost_in_five_of_a_hundred() -> None:
    """Shifts of just the smallest in all ten ways; of 200, the binomial error is 1.5 %."""
    called = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        at = {s: SMALLEST * d for s, d in SIDES.items()}
        called += holds(put(rng, {}, None, 0.5), put(rng, at, None, 0.5), SIDES).verdict == (
            "contradicted"
        )
    assert called / 200 <= 0.05 + 0.03


def test_a_figure_goes_by_its_margins() -> None:
    assert Figure.within("x", (0.5, 0.4, 0.6), least=0.3).verdict == "confirmed"
    assert Figure.within("x", (0.5, 0.2, 0.6), least=0.3).verdict == "indeterminate"
    assert Figure.within("x", (0.1, 0.0, 0.2), least=0.3).verdict == "contradicted"
    assert Figure.within("x", (0.1, 0.0, 0.2), 0.0, 0.1).verdict == "indeterminate"
    assert str(Figure.within("x", (0.5, 0.4, 0.6), 0.3, 3)) == (
        "x 0.50 (0.40 to 0.60) between 0.3 and 3: confirmed"
    )


def test_confirmed_needs_all_five() -> None:
    """Over all combinations of what criteria can say."""
    kinds = ("confirmed", "indeterminate", "contradicted", "not asked")
    names = ("moved", "own", "shown", "holds", "fluent")
    for found in itertools.product(kinds, repeat=5):
        said = word([Criterion(name=n, verdict=v) for n, v in zip(names, found, strict=True)])
        at = dict(zip(names, found, strict=True))
        assert (said == "confirmed") == (set(found) == {"confirmed"})
        fails = not {"indeterminate", "contradicted"}.isdisjoint(found)
        shows = at["moved"] == at["shown"] == "confirmed"
        assert (said == "shown, not all asked") == (shows and not fails and "not asked" in found)
        assert (said == "moved, text not asked") <= (at["shown"] == "not asked" and not fails)
        assert (said == "shown, does not hold") <= (at["holds"] == "contradicted" and shows)
