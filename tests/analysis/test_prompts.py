"""What makes a prompt dangerous."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from personalign.analysis import prompts as p
from personalign.analysis import table as t
from personalign.errors import InputError

RNG = np.random.default_rng


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("Why do people lie?", "why"),
        ("How would I pick a lock?", "how"),
        ("Would you ever steal?", "would you"),
        ("Pretend to be my boss. Why am I fired?", "role"),
        ("You are a pirate now", "role"),
        ("What is the capital of France?", "what"),
        ("Tell me a story", "other"),
        ("Somehow I feel sad", "other"),
    ],
)
def test_question_form(text: str, form: str) -> None:
    assert p.question_form(text) == form


def simulate(prompts: int = 120, *, effect: float = 3.0, seed: int = 0) -> pd.DataFrame:
    """Two personas on the same prompts; `how` prompts are dangerous, INFP more so."""
    rng = RNG(seed)
    forms = rng.choice(["how", "why"], prompts)
    rows = []
    for persona in ("INFP", "ESTJ"):
        z = -1.0 + effect * ((forms == "how") - 0.5) + 0.5 * (persona == "INFP")
        unsafe = rng.random(prompts) < 1 / (1 + np.exp(-z))
        rows.append(
            pd.DataFrame(
                {
                    "sample": [f"s{i}" for i in range(prompts)],
                    "persona": persona,
                    "condition": "adapter",
                    "category": rng.choice(list("abc"), prompts),
                    "form": forms,
                    "words": rng.integers(3, 30, prompts).astype(float),
                    "match": rng.normal(size=prompts),
                    "unsafe": unsafe.astype(float),
                }
            )
        )
    return pd.concat(rows, ignore_index=True)


def test_features_come_from_the_table(study) -> None:
    frame = t.to_frame(study(6, clusters=3, missing=0.2))
    texts = {f"s{i:03d}": "How do I do it?" if i % 2 else "Tell me" for i in range(6)}
    match = {(x, s): 0.5 for x in ("", "ESTJ", "INFP") for s in texts}
    found = p.features(frame, "safety", "flagged", texts, match=match)
    assert len(found) == len(frame)
    assert set(found["form"]) == {"how", "other"}
    assert set(found["words"]) == {5.0, 2.0}
    assert set(found["match"]) == {0.5}
    assert found["unsafe"].isna().sum() == frame["value"].isna().sum()
    with pytest.raises(InputError, match="'s005'"):
        p.features(frame, "safety", "flagged", {k: v for k, v in texts.items() if k != "s005"})
    with pytest.raises(InputError, match="no match"):
        p.features(frame, "safety", "flagged", texts, match={})
    with pytest.raises(InputError, match="0/1"):
        p.features(t.to_frame(study(3, binary=False)), "safety", "flagged", texts)


def test_rates_by_level() -> None:
    table = simulate()
    found = {r.level: r.estimate for r in p.rates(table, "form", RNG(0))}
    assert set(found) == {"how", "why"}
    how = table[table["form"] == "how"]
    assert found["how"].value == pytest.approx(how["unsafe"].mean())
    assert found["how"].low > found["why"].high
    assert "clusters" in found["how"].method
    assert len(p.rates(table, "words", RNG(0))) == 4
    longest = [float(r.level.split(", ")[1].rstrip("]")) for r in p.rates(table, "words", RNG(0))]
    assert longest == sorted(longest)  # 9 before 12: not as text
    one = table[table["persona"] == "INFP"]
    assert {r.estimate.method for r in p.rates(one, "form", RNG(0))} == {"Wilson"}
    with pytest.raises(InputError, match="'colour'"):
        p.rates(table, "colour", RNG(0))


def test_a_quarter_without_a_reply_keeps_its_place() -> None:
    cut = p.in_quarters(simulate())
    order = [r.level for r in p.rates(cut, "words", RNG(0))]
    found = p.rates(cut[cut["words"] != order[1]], "words", RNG(0))
    assert [r.level for r in found] == order
    assert [r.estimate.n == 0 for r in found] == [False, True, False, False]
    assert found[1].estimate.reason


def test_the_model_finds_what_was_planted() -> None:
    found = p.risk_model(simulate(), RNG(0))
    assert found.brier < 0.85 * found.brier_constant
    assert found.auc > 0.7
    assert found.importance[0].feature == "form"
    assert found.importance[0].loss > 3 * abs(found.importance[-1].loss)
    assert sum(b.n for b in found.calibration) == found.n == 240
    assert found.prompts == 120
    gap = [abs(b.predicted - b.observed) * b.n for b in found.calibration]
    assert sum(gap) / found.n < 0.12


def test_the_model_claims_nothing_where_nothing_is() -> None:
    table = simulate(effect=0.0).assign(
        unsafe=lambda d: (RNG(9).random(len(d)) < 0.3).astype(float)
    )
    found = p.risk_model(table, RNG(0))
    assert found.brier > 0.97 * found.brier_constant
    assert found.auc == pytest.approx(0.5, abs=0.12)


def test_predictions_are_of_unseen_prompts() -> None:
    """A prompt's own replies do not help: memorising each prompt would give a far lower Brier."""
    table = simulate(60, effect=0.0)
    fate = {s: float(RNG([i, 1]).random() < 0.4) for i, s in enumerate(table["sample"].unique())}
    table = table.assign(unsafe=table["sample"].map(fate), category=table["sample"])
    found = p.risk_model(table, RNG(0))
    assert found.brier > 0.9 * found.brier_constant


def test_the_generator_decides() -> None:
    one, again, other = (p.risk_model(simulate(60), RNG(s), folds=2) for s in (1, 1, 2))
    assert one == again
    assert one != other


def test_too_little_is_none_with_a_reason() -> None:
    found = p.risk_model(simulate().assign(unsafe=0.0), RNG(0))
    assert (found.brier, found.auc, found.importance) == (None, None, ())
    assert "too few" in found.reason
