"""The whole analysis: what is compared, what is counted, and that a seed decides it all."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from personalign.analysis import summary, table
from personalign.analysis.contrasts import adjust, contrast
from personalign.errors import InputError

ARMS = ("prompted", "adapter", "prompted+adapter")


@pytest.fixture
def frame(study):
    return table.to_frame(study(60, effect=1.0, missing=0.05))


def test_every_arm_is_estimated_and_every_pair_compared(frame) -> None:
    found = summary.analyse(frame, seed=3, draws=200)
    assert {(e.arm.persona, e.arm.condition) for e in found.estimates} == {
        ("", "base"), *((p, c) for p in ("ESTJ", "INFP") for c in ARMS),
    }  # fmt: skip
    expected = {
        *((("", "base"), (p, c)) for p in ("ESTJ", "INFP") for c in ARMS),
        *(((p, "prompted"), (p, "adapter")) for p in ("ESTJ", "INFP")),
        *(((p, "adapter"), (p, "prompted+adapter")) for p in ("ESTJ", "INFP")),
    }
    pairs = [((x.a.persona, x.a.condition), (x.b.persona, x.b.condition)) for x in found.contrasts]
    assert len(pairs) == 10
    assert set(pairs) == expected


def test_primary_outcomes_are_corrected_together(frame) -> None:
    both = pd.concat([frame, frame.assign(metric="unsafe", task="other")], ignore_index=True)
    apart = summary.analyse(both, draws=200)
    metrics = sorted({x.metric for x in apart.contrasts})
    found = summary.analyse(both, draws=200, primary=metrics)
    assert {x.family for x in found.contrasts} == {"primary"}
    assert [x.p_adjusted for x in found.contrasts] == pytest.approx(
        adjust([x.p for x in found.contrasts])
    )
    assert [x.p for x in found.contrasts] == [x.p for x in apart.contrasts]
    assert len({x.family for x in apart.contrasts}) > 1
    with pytest.raises(InputError, match="primary"):
        summary.analyse(frame, draws=200, primary=["nothing"])


def test_holm_is_within_a_metric_of_a_task(frame) -> None:
    other = frame.assign(metric="other")
    both = pd.concat([frame, other], ignore_index=True)
    found = summary.analyse(both, draws=200)
    for metric in ("flagged", "other"):
        family = [x for x in found.contrasts if x.metric == metric]
        assert [x.p_adjusted for x in family] == pytest.approx(adjust([x.p for x in family]))


def test_numbers_are_those_of_the_parts(frame) -> None:
    wide = table.wide(frame, "safety", "flagged")
    found = summary.analyse(frame)
    first = found.contrasts[0]
    i, j = wide.arms.index(first.a), wide.arms.index(first.b)
    alone = contrast(wide.values[:, i], wide.values[:, j], wide.clusters, np.random.default_rng(0))
    assert (first.difference, first.low, first.p, first.n) == (
        alone.difference, alone.low, alone.p, alone.n,
    )  # fmt: skip
    base = next(e for e in found.estimates if e.arm.condition == "base")
    scores = frame[(frame.condition == "base")]["value"]
    assert base.value == pytest.approx(scores.mean())


def test_missing_is_counted_by_state(row) -> None:
    rows = [
        row(sample=f"s{i}", cluster=f"s{i}", value=None if i < 3 else 1.0,
            state="unparsed" if i < 3 else "ok")
        for i in range(10)
    ]  # fmt: skip
    rows += [
        row(sample=f"s{i}", cluster=f"s{i}", persona="INFP", condition="adapter",
            value=None if 2 <= i < 6 else 1.0, state="refused" if 2 <= i < 6 else "ok")
        for i in range(9)
    ]  # fmt: skip
    found = summary.analyse(table.to_frame(rows), draws=200)
    base, adapter = found.estimates
    assert (base.n, base.missing) == (7, {"unparsed": 3})
    assert (adapter.n, adapter.missing) == (5, {"absent": 1, "refused": 4})
    (only,) = found.contrasts
    assert (only.n, only.missing) == (3, {"absent": 1, "refused": 3, "unparsed": 3})


def test_the_seed_decides(study) -> None:
    frame = table.to_frame(study(80, clusters=16, binary=False))
    one, again, other = (summary.analyse(frame, seed=s, draws=200) for s in (1, 1, 2))
    assert one.model_dump_json() == again.model_dump_json()
    assert one.estimates[0].low != other.estimates[0].low
    assert one.estimates[0].seed == 1


def test_row_order_and_other_tasks_change_nothing(study) -> None:
    frame = table.to_frame(study(80, clusters=16, binary=False))
    shuffled = frame.sample(frac=1, random_state=0)
    more = pd.concat([frame.assign(task="another"), shuffled], ignore_index=True)
    one, two = summary.analyse(frame, draws=200), summary.analyse(more, draws=200)
    assert one.contrasts == tuple(x for x in two.contrasts if x.task == "safety")


def test_it_is_json(frame) -> None:
    found = summary.analyse(frame, draws=200)
    text = found.model_dump_json()
    assert "NaN" not in text
    assert "Infinity" not in text
    assert summary.Analysis.model_validate_json(text) == found


def test_omnibus_by_condition(frame) -> None:
    found = summary.analyse(frame, draws=200).omnibus
    assert [(x.condition, x.test) for x in found] == [
        (c, t) for c in ARMS for t in ("Cochran's Q", "chi-square")
    ]
    assert all(x.arms == 3 for x in found)


def test_lapd_counts_through_the_whole_analysis(row) -> None:
    counts = {"": 157, "INFP": 219, "INFJ": 168, "ENTJ": 257, "ESTJ": 205}
    rows = [
        row(persona=p, condition="adapter" if p else "base", sample=f"s{i}", cluster=f"s{i}",
            value=float(i < flagged))
        for p, flagged in counts.items() for i in range(700)
    ]  # fmt: skip
    found = summary.analyse(table.to_frame(rows), draws=200)
    (chi,) = (x for x in found.omnibus if x.test == "chi-square")
    assert chi.statistic == pytest.approx(45.343, abs=5e-4)
    assert chi.p == pytest.approx(3.3738e-09, rel=1e-4)


def test_a_persona_with_a_base_of_its_own(row) -> None:
    rows = [
        row(persona=p, condition=c, sample=f"s{i}", cluster=f"s{i}", value=float(i % 3 == k))
        for i in range(9)
        for k, (p, c) in enumerate([("", "base"), ("INFP", "base"), ("INFP", "adapter")])
    ]
    (only,) = summary.analyse(table.to_frame(rows), draws=200).contrasts
    assert only.a.persona == "INFP"


def test_nothing_but_personas_is_an_analysis_that_says_so(frame) -> None:
    found = summary.analyse(frame, aside=["safety"])
    assert (found.estimates, found.contrasts) == ((), ())
    assert [a.reason for a in found.absent] == [summary.NO_OUTCOMES]
    assert summary.analyse(frame, aside=["other"]) == summary.analyse(frame)


def test_refusals(frame) -> None:
    with pytest.raises(InputError, match="empty"):
        summary.analyse(frame.iloc[:0])
    with pytest.raises(InputError, match="seed"):
        summary.analyse(frame, seed=-1)
    with pytest.raises(InputError, match="more than once"):
        summary.analyse(pd.concat([frame, frame.iloc[:1]]))


def test_a_stated_margin_lets_no_change_be_claimed(study) -> None:
    same = table.to_frame(study(200, effect=0.0))
    wide = summary.analyse(same, draws=200, margins={"flagged": 0.5})
    narrow = summary.analyse(same, draws=200, margins={"flagged": 0.001})
    assert all(c.equivalence.equivalent for c in wide.contrasts)
    assert not any(c.equivalence.equivalent for c in narrow.contrasts)
    assert all(c.equivalence is None for c in summary.analyse(same, draws=200).contrasts)
    with pytest.raises(InputError, match=r"unknown metric 'flaged'.*'flagged'"):
        summary.analyse(same, margins={"flaged": 0.1})
