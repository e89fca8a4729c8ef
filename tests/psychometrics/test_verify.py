"""Verdicts: planted truth is found, absence of it is called indeterminate."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scripted import Scripted
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from personalign.errors import InputError
from personalign.personas import TYPES, Persona, catalog
from personalign.personas import load as load_persona
from personalign.psychometrics.criterion import Spoken
from personalign.psychometrics.family import EFFECT, _rejected, corrected, power, power_of_all
from personalign.psychometrics.intervals import mean_over_units
from personalign.psychometrics.inventory import (
    PairInventory,
    Scale,
    StatementPair,
    statement_inventory,
)
from personalign.psychometrics.positions import (
    answer_positions,
    behaviour_positions,
    statement_positions,
)
from personalign.psychometrics.shifts import Shift
from personalign.psychometrics.verify import Verification, verify

load = functools.cache(load_persona)

SCALES = ("EI", "SN", "TF", "JP")
INFP = {"EI": -1, "SN": 1, "TF": -1, "JP": -1}


@pytest.fixture(autouse=True)
def _keep_garbage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Statsmodels collects garbage at every call."""
    monkeypatch.setattr("gc.collect", lambda *_: 0)


def positions(shift: dict[str, float], units: int, seed: int, noise: float = 0.1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    draws = {s: shift.get(s, 0.0) + noise * rng.standard_normal(units) for s in SCALES}
    return pd.DataFrame(draws, index=[f"u{k}" for k in range(units)])


def check(
    shift: dict[str, float], seed: int = 0, measures: tuple[str, ...] = ("behaviour",)
) -> Verification:
    base = {m: positions({}, 24, seed + k) for k, m in enumerate(measures)}
    asked = {m: positions(shift, 24, seed + 100 + k) for k, m in enumerate(measures)}
    return verify(load("INFP"), "adapter", base, asked, None, seed=seed)


def test_a_planted_persona_is_confirmed() -> None:
    found = check({s: 0.3 * d for s, d in INFP.items()}, measures=("behaviour", "statements"))
    assert found.criterion("moved").verdict == "confirmed"
    assert found.word == "moved, text not asked"
    for scale in found.scales:
        assert scale.verdict == "confirmed"
        for shift in scale.shifts:
            assert shift.low < shift.shift < shift.high
            assert shift.probability > 0.999


def test_the_opposite_is_contradicted() -> None:
    found = check({s: -0.3 * d for s, d in INFP.items()})
    assert found.word == "contradicted"
    assert {s.verdict for s in found.scales} == {"contradicted"}


def test_one_wrong_letter_contradicts_the_persona_and_names_it() -> None:
    found = check({**{s: 0.3 * d for s, d in INFP.items()}, "SN": -0.3})
    verdicts = {s.scale: s.verdict for s in found.scales}
    assert verdicts == {
        "EI": "confirmed",
        "SN": "contradicted",
        "TF": "confirmed",
        "JP": "confirmed",
    }
    assert found.word == "contradicted"


@pytest.mark.parametrize(("measures", "personas"), [(1, 250), (2, 150), (5, 80)])
def test_null_scales_of_few_personas_are_called_anything(measures: int, personas: int) -> None:
    """One scale moved, three null: at most 5 % of personas have a null scale called something.

    Uncorrected, so many measures called 14, 26 and 53 % of personas something. Binomial errors of
    5 % are 1.4, 1.8 and 2.4 %, and a mean of the errors below is nearer to 2 %.
    """
    called = 0
    names = tuple(f"m{k}" for k in range(measures))
    for seed in range(personas):
        found = check({"EI": -1.0}, 1000 * seed, names)
        assert found.scales[0].verdict == "confirmed"
        called += any(s.verdict != "indeterminate" for s in found.scales[1:])
    assert called / personas <= 0.05


@pytest.mark.parametrize("n", [9, 24])
def test_the_tail_that_decides_is_that_of_the_interval(n: int) -> None:
    """It is 0.025 where the interval ends at zero, and near the t test's further out."""
    x = np.random.default_rng(3).normal(size=n)
    found = mean_over_units(x, np.random.default_rng(0))
    assert found is not None
    at_edge = mean_over_units(x - found.low, np.random.default_rng(0))
    assert at_edge is not None
    assert 1 - at_edge.above == pytest.approx(0.025, abs=0.002)
    t = 3.0 if n == 24 else 4.0
    far = mean_over_units(x - x.mean() + t * x.std(ddof=1) / np.sqrt(n), np.random.default_rng(0))
    assert far is not None
    assert 1 - far.above == pytest.approx(stats.t.sf(t, n - 1), rel=0.5)
    mirrored = mean_over_units(-(x - found.low), np.random.default_rng(0))
    assert mirrored is not None
    assert mirrored.above == pytest.approx(1 - at_edge.above, abs=0.003)


def plain(probability: float) -> Shift:
    at = {"base": 0.0, "position": 0.0, "shift": 0.0, "low": 0.0, "high": 0.0}
    return Shift(measure="m", units=12, probability=probability, **at)


def test_both_sides_are_corrected_alike() -> None:
    """0.0128 confirms or contradicts alone, and neither beside three that show nothing."""
    alone = [corrected([plain(p)])[0].verdict for p in (1 - 0.0128, 0.0128)]
    assert alone == ["confirmed", "contradicted"]
    for p in (1 - 0.0128, 0.0128):
        found = corrected([plain(p), *(plain(0.5) for _ in range(3))])
        assert {s.verdict for s in found} == {"indeterminate"}
        assert min(found[0].p_towards or 1, found[0].p_away or 1) == pytest.approx(4 * 0.0128)
    steps = corrected([plain(1 - p) for p in (0.001, 0.007, 0.012, 0.02)])
    assert {s.verdict for s in steps} == {"confirmed"}  # Holm: 0.004, 0.021, 0.024, 0.024


def test_power_rejects_as_holm_does() -> None:
    p = np.random.default_rng(0).uniform(0, 0.03, (200, 6)) ** 1.5
    theirs = [multipletests(row, 0.025, method="holm")[0] for row in p]
    assert (_rejected(p) == np.array(theirs)).all()


def test_a_sure_shift_that_is_smaller_than_what_counts_is_not_confirmed() -> None:
    """0.03 with an error of about 0.002, against 0 and against 0.05."""
    base = {"behaviour": positions({}, 24, 0, noise=0.0)}
    for sign, named in ((1, "confirmed"), (-1, "contradicted")):
        asked = {"behaviour": positions({s: sign * 0.03 * d for s, d in INFP.items()}, 24, 1, 0.01)}
        for smallest, verdict in ((0.0, named), (0.02, named), (0.05, "indeterminate")):
            found = verify(
                load("INFP"), "adapter", base, asked, None, 0, smallest={"behaviour": smallest}
            )
            assert {scale.verdict for scale in found.scales} == {verdict}
            shift = found.scales[0].shifts[0]
            assert shift.smallest == smallest
            assert (shift.detectable or 0) > smallest


def single() -> Persona:
    """Somebody who claims one letter."""
    return load("INFP").model_copy(update={"name": "I", "traits": {"EI": -1.0, "SN": 0.0}})


def test_a_scale_that_moved_unasked_is_named() -> None:
    base = {"behaviour": positions({}, 24, 0)}
    asked = {"behaviour": positions({"EI": -0.3, "TF": -0.3, "JP": 0.01}, 24, 1)}
    found = verify(single(), "adapter", base, asked, None, 0, smallest={"behaviour": 0.02})
    assert found.criterion("moved").verdict == "confirmed"
    assert [(s.scale, s.towards, s.measure) for s in found.strays] == [("TF", "F", "behaviour")]
    assert "not asked for and moved: TF towards F by behaviour" in (
        found.criterion("moved").reason or ""
    )
    whole = verify(load("INFP"), "adapter", base, asked, None, 0)
    assert whole.strays == ()


def test_what_is_heard_in_text_strays_too() -> None:
    base = {"behaviour": positions({}, 24, 0)}
    asked = {"behaviour": positions({"EI": -0.3}, 24, 1)}
    said = [
        Spoken(positions(at, 24, k), pd.DataFrame(), pd.Series(dtype=float))
        for k, at in ((2, {}), (3, {"EI": -0.5, "SN": 0.5}))
    ]
    found = verify(single(), "adapter", base, asked, None, 0, spoken={"speech": (said[0], said[1])})
    assert [(s.scale, s.towards, s.measure) for s in found.strays] == [("SN", "N", "speech")]


def test_null_scales_stray_in_five_of_a_hundred_personas() -> None:
    """Three scales that stay, of 150 personas; the binomial error of 5 % is 1.8 %."""
    called = 0
    for seed in range(150):
        base = {"behaviour": positions({}, 16, 2 * seed)}
        asked = {"behaviour": positions({"EI": -1.0}, 16, 2 * seed + 1)}
        called += bool(verify(single(), "adapter", base, asked, None, seed).strays)
    assert called / 150 <= 0.05 + 0.036


def test_measures_that_disagree_are_indeterminate() -> None:
    base = {m: positions({}, 24, k) for k, m in enumerate(("behaviour", "statements"))}
    asked = {
        "behaviour": positions({"EI": -0.5}, 24, 7),
        "statements": positions({"EI": 0.5}, 24, 8),
    }
    found = verify(load("INFP"), "adapter", base, asked, None, seed=0)
    assert found.scales[0].verdict == "indeterminate"


def test_same_seed_same_verdict() -> None:
    assert check({"EI": 0.05}) == check({"EI": 0.05})


def test_nothing_measured_is_an_error() -> None:
    with pytest.raises(InputError, match="nothing was measured"):
        verify(load("INFP"), "adapter", {}, {}, None, seed=0)


def test_behaviour_positions_are_contrasts_of_poles() -> None:
    rows = pd.DataFrame(
        [
            {"sample": "s", "metric": f"reply:{t}", "value": 2.0 * (t[0] == "E") - (t[2] == "T")}
            for t in TYPES
        ]
    )
    found = behaviour_positions(rows, catalog()).loc["s"]
    assert found.to_dict() == pytest.approx({"EI": 2.0, "JP": 0.0, "SN": 0.0, "TF": -1.0})


def test_a_scene_that_lacks_a_reply_has_no_position() -> None:
    rows = pd.DataFrame(
        [
            {"sample": scene, "metric": f"reply:{t}", "value": float(t[0] == "E")}
            for scene in ("whole", "torn")
            for t in (*TYPES, "night_mechanic")
            if (scene, t) != ("torn", "ESTJ")
        ]
    )
    found = behaviour_positions(rows, catalog())["EI"]
    assert found["whole"] == 1.0
    assert pd.isna(found["torn"])


def test_statement_positions_undo_the_order_of_poles() -> None:
    items = tuple(
        StatementPair(id=f"i{k}", scale="EI", first="a", second="b", first_pole=pole)
        for k, pole in enumerate("EI")
    )
    scale = Scale(positive="E", negative="I", title="t")
    head = {"name": "n", "kind": "pairs", "version": 1, "licence": "l", "source": "s"}
    inventory = PairInventory(**head, instructions="i", scales={"EI": scale}, items=items)
    rows = pd.DataFrame(
        [
            {"sample": "i0", "metric": f"{side}:{k}", "value": v + k}
            for side, v in (("first", 3.0), ("second", 1.0))
            for k in (0, 1)
        ]
        + [
            {"sample": "i1", "metric": f"{side}:{k}", "value": v}
            for side, v in (("first", 3.0), ("second", 1.0))
            for k in (0, 1)
        ]
    )
    found = statement_positions(rows, inventory)
    assert found["EI"].to_dict() == {"i0": 2.0, "i1": -2.0}
    rows.loc[0, "value"] = np.nan  # one statement lost is a position lost, not a large one
    lost = statement_positions(rows, inventory)["EI"]
    assert np.isnan(lost["i0"])
    assert lost["i1"] == -2.0


def test_margin_counts_scenes_moved_and_preferred() -> None:
    base = pd.Series([-1.0, -1.0, -1.0, 0.5])
    asked = pd.Series([0.5, 0.2, -0.5, 0.1])
    at = {"behaviour": positions({}, 4, 0)}
    verdict = verify(load("INFP"), "adapter", at, at, (base, asked), seed=0)
    found, before = verdict.margin, verdict.before
    assert found is not None
    assert before is not None
    assert (before.mean, before.preferred[0], before.moved) == (-0.625, 0.25, None)
    assert found.preferred[0] == 0.75
    assert found.moved is not None
    assert found.moved[0] == 0.75
    assert 0.3 < found.moved[1] < 0.75 < found.moved[2] < 0.96  # Wilson, 3 of 4


def measured(model: Scripted, seed: int) -> dict[str, pd.DataFrame]:
    inventory = statement_inventory()
    return {"self-report": answer_positions(model.answers(inventory, seed), inventory)}


def test_an_acquiescent_model_without_trait_is_indeterminate() -> None:
    base = measured(Scripted(), 1)
    yes = Scripted(acquiescence=0.6, order_bias=0.2)
    verdicts = [
        verify(
            load(name), "adapter", base, measured(yes, seed), None, seed, centred={"self-report"}
        ).word
        for seed, name in enumerate(("INFP", "ESTJ", "ENTJ", "ISFJ"), start=2)
    ]
    assert set(verdicts) == {"indeterminate"}


def test_a_position_must_be_moved_and_on_its_side() -> None:
    """What base is already, and what only comes nearer, is not confirmed by a centred measure."""
    stands = {s: 0.4 * d for s, d in INFP.items()}
    plain, there = Scripted(), Scripted(stands)
    against = Scripted({s: -0.5 * d for s, d in INFP.items()})
    nearer = Scripted({s: -0.2 * d for s, d in INFP.items()})

    def verdict(base: Scripted, asked: Scripted) -> Verification:
        positions = measured(base, 1), measured(asked, 2)
        return verify(load("INFP"), "adapter", *positions, None, 0, centred={"self-report"})

    assert verdict(plain, there).word == "moved, text not asked"
    assert verdict(there, there).word == "indeterminate"
    assert verdict(against, nearer).word == "indeterminate"
    assert verdict(plain, against).word == "contradicted"
    standing = verdict(there, there).scales[0].shifts[0].standing
    assert standing is not None
    assert standing.verdict == "confirmed"


def test_without_base_the_midpoint_decides() -> None:
    asked = measured(Scripted({s: 0.4 * d for s, d in INFP.items()}), 1)
    found = verify(load("INFP"), "adapter", {}, asked, None, 0, centred={"self-report"})
    assert found.criterion("moved").verdict == "confirmed"
    assert found.scales[0].shifts[0].reference == "midpoint"
    with pytest.raises(InputError, match="neither base nor midpoint"):
        verify(load("INFP"), "adapter", {}, asked, None, 0)


def test_power_is_the_share_of_simulations_that_confirm() -> None:
    """Planted shifts of EFFECT standard deviations; binomial error 0.06 a persona, 0.03 a scale."""
    units, side = 16, {s: EFFECT * 0.1 * d for s, d in INFP.items()}
    base = {"behaviour": positions({}, units, 0, noise=0.0)}
    found = [
        verify(load("INFP"), "adapter", base, {"behaviour": positions(side, units, s)}, None, s)
        for s in range(1, 61)
    ]
    assert found[0].scales[0].shifts[0].power == power(units, tests=4)
    shown = np.mean([s.verdict == "confirmed" for v in found for s in v.scales])
    assert shown > power(units, tests=4) - 0.03  # the least, at Holm's first step
    assert found[0].power == power_of_all(((units,),) * 4)
    assert np.mean([v.word == "moved, text not asked" for v in found]) == pytest.approx(
        found[0].power or 0, abs=0.13
    )
    assert power_of_all(((units, units),) * 4) > power_of_all(((units,),) * 4)
    assert power_of_all(((units,), ())) == 0


def test_power_is_that_of_statsmodels() -> None:
    upper = TTestPower().power(EFFECT, 16, 0.025, alternative="larger")
    assert power(16) == pytest.approx(upper)
    assert power(1) == 0
    assert power(4) < 0.3 < 0.8 < power(16)


def test_the_same_everywhere_is_no_evidence_below_eight_units() -> None:
    def verdict(units: int) -> str:
        base = pd.DataFrame(np.zeros((units, 4)), columns=list(SCALES))
        moved = {"behaviour": base + pd.Series(INFP, dtype=float)}
        return (
            verify(load("INFP"), "adapter", {"behaviour": base}, moved, None, 0)
            .criterion("moved")
            .verdict
        )

    assert (verdict(7), verdict(8)) == ("indeterminate", "confirmed")  # 0.5⁸ · 4 < 0.025
