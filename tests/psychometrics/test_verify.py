"""Verdicts: planted truth is found, absence of it is called indeterminate."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest
from scripted import Scripted
from statsmodels.stats.power import TTestPower

from personalign.errors import InputError
from personalign.personas import TYPES, catalog
from personalign.personas import load as load_persona
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
from personalign.psychometrics.verify import (
    EFFECT,
    Verification,
    false_confirmations,
    power,
    verify,
)

load = functools.cache(load_persona)

SCALES = ("EI", "SN", "TF", "JP")
INFP = {"EI": -1, "SN": 1, "TF": -1, "JP": -1}


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
    assert found.verdict == "confirmed"
    for scale in found.scales:
        assert scale.verdict == "confirmed"
        for shift in scale.shifts:
            assert shift.low < shift.shift < shift.high
            assert shift.probability > 0.999


def test_the_opposite_is_contradicted() -> None:
    found = check({s: -0.3 * d for s, d in INFP.items()})
    assert found.verdict == "contradicted"
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
    assert found.verdict == "contradicted"


def test_no_effect_is_rarely_called_one() -> None:
    called = [
        scale.verdict != "indeterminate" for seed in range(60) for scale in check({}, seed).scales
    ]
    assert np.mean(called) < 0.1  # 5 % by design, and three binomial errors of 0.014


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
    found = verify(load("INFP"), "adapter", at, at, (base, asked), seed=0).margin
    assert found is not None
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
        ).verdict
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

    assert verdict(plain, there).verdict == "confirmed"
    assert verdict(there, there).verdict == "indeterminate"
    assert verdict(against, nearer).verdict == "indeterminate"
    assert verdict(plain, against).verdict == "contradicted"
    standing = verdict(there, there).scales[0].shifts[0].standing
    assert standing is not None
    assert standing.verdict == "confirmed"


def test_without_base_the_midpoint_decides() -> None:
    asked = measured(Scripted({s: 0.4 * d for s, d in INFP.items()}), 1)
    found = verify(load("INFP"), "adapter", {}, asked, None, 0, centred={"self-report"})
    assert found.verdict == "confirmed"
    assert found.scales[0].shifts[0].reference == "midpoint"
    with pytest.raises(InputError, match="neither base nor midpoint"):
        verify(load("INFP"), "adapter", {}, asked, None, 0)


def test_power_is_the_share_of_simulations_that_confirm() -> None:
    """Planted shifts of EFFECT standard deviations; binomial error 0.03."""
    units, side = 12, {s: EFFECT * 0.1 * d for s, d in INFP.items()}
    base = {"behaviour": positions({}, units, 0, noise=0.0)}
    found = [
        verify(load("INFP"), "adapter", base, {"behaviour": positions(side, units, s)}, None, s)
        for s in range(1, 51)
    ]
    shown = np.mean([s.verdict == "confirmed" for v in found for s in v.scales])
    assert found[0].scales[0].shifts[0].power == power(units)
    assert shown == pytest.approx(power(units), abs=0.1)
    assert found[0].power == pytest.approx(power(units) ** 4)


def test_power_is_that_of_statsmodels() -> None:
    upper = TTestPower().power(EFFECT, 16, 0.025, alternative="larger")
    assert power(16) == pytest.approx(upper)
    assert power(1) == 0
    assert power(4) < 0.3 < 0.8 < power(16)


def test_nothing_is_confirmed_as_none_of_sixteen() -> None:
    found = [
        false_confirmations(
            {"behaviour": positions({}, 24, seed)}, {"behaviour": positions({}, 24, 500 + seed)}, 0
        )
        for seed in range(20)
    ]
    assert {f.labels for f in found} == {16}
    assert np.mean([f.rate for f in found]) <= 1 / 16 / 20


def test_a_persona_passes_for_itself_alone() -> None:
    base = {"behaviour": positions({}, 24, 0)}
    asked = {"behaviour": positions({s: 0.3 * d for s, d in INFP.items()}, 24, 1)}
    assert false_confirmations(base, asked, 0, own="INFP").confirmed == ()
    alone = false_confirmations(base, asked, 0)
    assert (alone.confirmed, alone.rate) == (("INFP",), 1 / 16)


def test_the_same_everywhere_is_no_evidence_below_six_units() -> None:
    def verdict(units: int) -> str:
        base = pd.DataFrame(np.zeros((units, 4)), columns=list(SCALES))
        moved = {"behaviour": base + pd.Series(INFP, dtype=float)}
        return verify(load("INFP"), "adapter", {"behaviour": base}, moved, None, 0).verdict

    assert (verdict(5), verdict(6)) == ("indeterminate", "confirmed")
