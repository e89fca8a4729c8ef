"""Blind reading: what is shown, in which order, what is kept, and what it tells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from personalign.errors import CorpusError, InputError
from personalign.psychometrics.reading import (
    Trial,
    agreement,
    answers,
    raters,
    read,
    told,
    trials,
)
from personalign.records import Message, ScoreRow, Transcript


def said(
    persona: str, condition: str, sample: str, reply: str = "", task: str = "speech"
) -> Transcript:
    return Transcript(
        persona=persona, condition=condition, task=task, sample=sample, tokens=3, seed=0,  # type: ignore[arg-type]
        prompt=(Message(role="user", content=f"About {sample}."),),
        reply=reply or f"{persona or 'nobody'} {condition} {sample}",
    )  # fmt: skip


@pytest.fixture
def transcripts() -> list[Transcript]:
    samples = [f"work-{k:02}" for k in range(30)]
    arms = [("", "base"), *((p, c) for p in ("INFP", "ESTJ") for c in ("prompted", "adapter"))]
    return [said(persona, condition, s) for persona, condition in arms for s in samples]


def test_every_persona_is_read_against_base_and_another(transcripts: list[Transcript]) -> None:
    found = trials(transcripts, seed=0)
    assert len({t.id for t in found}) == len(found) == 30 * 4 * 2
    for t in found:
        assert t.own == f"{t.persona} {t.condition} {t.sample}"
        other = "nobody base" if t.foil == "base" else f"{t.foil} {t.condition}"
        assert t.other == f"{other} {t.sample}"


def test_the_order_is_one_lot_and_sides_are_a_readers_own(transcripts: list[Transcript]) -> None:
    found = trials(transcripts, seed=0)
    assert [t.id for t in trials(list(reversed(transcripts)), 0)] == [t.id for t in found]
    assert [t.id for t in trials(transcripts, 1)] != [t.id for t in found]
    sides = {who: [t.first(who, 0) for t in found] for who in ("anna", "bert")}
    assert sides["anna"] != sides["bert"]
    for firsts in sides.values():
        assert 0.4 < np.mean(firsts) < 0.6


def test_equal_and_blank_replies_and_harmful_prompts_are_not_read() -> None:
    heard = [
        said("", "base", "a", "Yes."),
        said("INFP", "adapter", "a", " Yes.\n"),
        said("", "base", "b"),
        said("INFP", "adapter", "b", "  "),
        said("", "base", "c", task="safety"),
        said("INFP", "adapter", "c", task="safety"),
    ]
    assert trials(heard, 0) == []


def test_reading_is_kept_line_by_line_and_goes_on(
    transcripts: list[Transcript], tmp_path: Path
) -> None:
    order = trials(transcripts, 0, "study", "tiny@1")
    met: list[str] = []

    def ask(trial: Trial, own_first: bool) -> bool | None:
        if len(met) % 4 == 3:
            met.append("")
            return None
        met.append(trial.id)
        return own_first  # always right

    assert [read(order, tmp_path, "anna", 0, ask) for _ in range(2)] == [3, 3]
    assert [name for name in met if name] == [t.id for t in order[:6]]
    rows = answers(tmp_path)
    assert [row.value for row in rows] == [1.0] * 6
    assert {(row.run, row.base_model, row.task) for row in rows} == {("study", "tiny@1", "reading")}
    assert {row.metric.split(":")[2] for row in rows} == {"first", "second"}
    with pytest.raises(InputError, match="reader"):
        read(order, tmp_path, "../anna", 0, ask)
    (tmp_path / "bert.jsonl").write_text("{}\n")
    with pytest.raises(CorpusError, match=r"bert\.jsonl:1"):
        answers(tmp_path)


def simulated(
    seed: int, readers: int, prompts: int, p: float, spread: float = 0.0
) -> list[ScoreRow]:
    """Readers who tell each prompt with a chance around `p`."""
    rng = np.random.default_rng(seed)
    rows = []
    for k in range(prompts):
        chance = np.clip(p + spread * rng.uniform(-1, 1), 0, 1)
        trial = Trial(
            task="speech", sample=f"s{k}", persona="INFP", condition="adapter", foil="base",  # type: ignore[arg-type]
            prompt=(Message(role="user", content="x"),), own="a", other="b",
        )  # fmt: skip
        for r in range(readers):
            first = trial.first(f"r{r}", 0)
            rows.append(trial.row(f"r{r}", bool(rng.random() < chance) == first, 0))
    return rows


@pytest.mark.parametrize(
    ("readers", "prompts", "p", "spread"),
    [(1, 20, 0.5, 0.0), (1, 30, 0.85, 0.0), (3, 30, 0.7, 0.3), (2, 40, 0.9, 0.1)],
)
def test_simulated_readers_are_covered(readers: int, prompts: int, p: float, spread: float) -> None:
    """Of 300 studies each; the binomial error of 95 % is 1.3 %."""
    hits = 0
    for seed in range(300):
        (whole,) = (t for t in told(simulated(seed, readers, prompts, p, spread)) if not t.reader)
        assert whole.share.n == readers * prompts
        assert whole.share.low is not None
        assert whole.share.high is not None
        hits += whole.share.low <= p <= whole.share.high
    assert hits / 300 >= 0.95 - 0.026


def test_readers_who_hear_agree_and_readers_who_guess_do_not() -> None:
    (hear,) = agreement(simulated(0, 2, 80, 0.95))
    (guess,) = agreement(simulated(0, 2, 80, 0.5))
    assert (hear.a, hear.b) == ("r0", "r1")
    assert (hear.kappa.low or 0) > 0.5
    assert (guess.kappa.low or 0) < 0 < (guess.kappa.high or 0)
    assert (guess.same.low or 0) < 0.5 < (guess.same.high or 0)


def test_raters_are_put_to_what_people_read() -> None:
    """One that hears I in every INFP reply, and one that hears the opposite."""
    rows = simulated(0, 1, 20, 1.0)
    scores = pd.DataFrame(
        [
            {"task": "speech", "persona": persona, "condition": condition, "sample": f"s{k}",
             "metric": f"{rater}:EI:{draw}", "value": value if draw == 0 else 0.5}
            for k in range(20)
            for draw in (0, 1)
            for rater, own, base in (("words", 0.2, 0.6), ("sentences", 0.9, 0.4))
            for persona, condition, value in (("", "base", base), ("INFP", "adapter", own))
        ]
    )  # fmt: skip
    machines = raters(rows, scores, {"INFP": {"EI": -1, "SN": 1}})
    shares = {t.reader: t.share.value for t in told(machines) if t.reader}
    assert shares == {"words": 1.0, "sentences": 0.0}
    same = {(a.a, a.b): a.same.value for a in agreement([*rows, *machines])}
    assert same == {("r0", "words"): 1.0, ("r0", "sentences"): 0.0, ("sentences", "words"): 0.0}
    assert raters(rows, scores[scores["persona"] == ""], {"INFP": {"EI": -1}}) == []
