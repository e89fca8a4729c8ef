"""People decide about pairs; the pairs stay, the decisions are kept, agreement is measured."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from personalign.corpus.review import Decision, agreement, apply, decisions, pair_id, review
from personalign.errors import CorpusError, InputError
from personalign.files import Lines, stream
from personalign.records import Message, PreferencePair


def pair(n: int) -> PreferencePair:
    said = {k: (Message(role="assistant", content=f"{k} {n}"),) for k in ("chosen", "rejected")}
    prompt = (Message(role="user", content=f"question {n}"),)
    return PreferencePair.model_validate({"prompt": prompt, **said, "origin": {"seed": n}})


PAIRS = [pair(n) for n in range(6)]


def decided(n: int, who: str, verdict: str, **text: str) -> Decision:
    data = {"pair": pair_id(PAIRS[n]), "reviewer": who, "verdict": verdict} | text
    return Decision.model_validate(data)


def by(who: str, verdicts: str) -> dict[str, Decision]:
    names = {"a": "accept", "r": "reject", "e": "edit"}
    made = [
        decided(n, who, names[v], **({"chosen": f"{who} {n}"} if v == "e" else {}))
        for n, v in enumerate(verdicts)
        if v != "-"
    ]
    return {d.pair: d for d in made}


def test_stopping_and_going_on_loses_nothing(tmp_path: Path) -> None:
    def two(p: PreferencePair, n: int) -> Decision | None:
        return None if n == 2 else Decision(pair=pair_id(p), reviewer="anna", verdict="accept")

    assert review(PAIRS, tmp_path, "anna", two) == 2
    assert review(PAIRS, tmp_path, "anna", two) == 2
    found = decisions(tmp_path)["anna"]
    assert list(found) == [pair_id(p) for p in PAIRS[:4]]
    assert all(d.at for d in found.values())


def test_the_same_pair_twice_is_asked_about_once(tmp_path: Path) -> None:
    def yes(p: PreferencePair, n: int) -> Decision:
        return Decision(pair=pair_id(p), reviewer="anna", verdict="accept")

    assert review([PAIRS[0], PAIRS[1], PAIRS[0]], tmp_path, "anna", yes) == 2


def test_an_edit_that_makes_both_replies_one_is_named(tmp_path: Path) -> None:
    edit = decided(0, "anna", "edit", chosen=PAIRS[0].rejected[0].content)
    with pytest.raises(CorpusError, match=r"'anna' edited it: .*equals the rejected"):
        apply(PAIRS, {"anna": {edit.pair: edit}}, tmp_path / "reviewed.jsonl")
    assert not (tmp_path / "reviewed.jsonl").exists()


def test_applying_keeps_edits_and_provenance_and_never_touches_the_pairs(tmp_path: Path) -> None:
    with Lines(tmp_path / "pairs.jsonl") as lines:
        for p in PAIRS:
            lines.add(p)
    before = (tmp_path / "pairs.jsonl").read_bytes()
    found = {"anna": by("anna", "aer-a-"), "ben": by("ben", "aaae--")}
    whole = stream(tmp_path / "pairs.jsonl", PreferencePair)
    counts = apply(whole, found, tmp_path / "reviewed.jsonl", "keep")
    assert counts.model_dump() == {
        "pairs": 6, "accepted": 2, "edited": 2, "rejected": 1, "unseen": 1,
    }  # fmt: skip
    kept = {p.origin["seed"]: p for p in stream(tmp_path / "reviewed.jsonl", PreferencePair)}
    assert set(kept) == {0, 1, 3, 4, 5}
    assert kept[1].chosen[0].content == "anna 1"
    assert kept[1].rejected == PAIRS[1].rejected
    assert kept[1].origin["edited_from"] == pair_id(PAIRS[1])
    assert kept[0].origin["reviewed_by"] == "anna,ben"
    assert kept[5] == PAIRS[5]
    assert (tmp_path / "pairs.jsonl").read_bytes() == before
    assert apply(PAIRS, found, tmp_path / "seen.jsonl", "drop").unseen == 1
    assert len(list(stream(tmp_path / "seen.jsonl", PreferencePair))) == 4


def test_kappa_by_hand() -> None:
    """5 of 6 alike; by chance (3·4 + 3·2) / 36 = 0.5; kappa = (5/6 − 1/2) / (1 − 1/2) = 2/3."""
    (found,) = agreement({"anna": by("anna", "aaarrr"), "ben": by("ben", "aaraar")})
    assert found.same == pytest.approx(3 / 6)
    assert found.kappa == pytest.approx(0.0)
    (found,) = agreement({"anna": by("anna", "aaarrr"), "ben": by("ben", "aaaarr")})
    assert (found.pairs, found.kappa) == (6, pytest.approx((5 / 6 - 0.5) / 0.5))


def test_kappa_is_undefined_without_variation_or_pairs() -> None:
    (found,) = agreement({"anna": by("anna", "aaa"), "ben": by("ben", "aaa")})
    assert (found.same, found.kappa) == (1.0, None)
    (found,) = agreement({"anna": by("anna", "aa"), "ben": by("ben", "--aa")})
    assert (found.pairs, found.same, found.kappa) == (0, None, None)


def test_an_edit_needs_a_text() -> None:
    with pytest.raises(ValidationError, match="edit needs"):
        decided(0, "anna", "edit")


def test_a_reviewer_is_no_path(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="reviewer"):
        review(PAIRS, tmp_path, "../anna", lambda p, n: None)


def test_a_broken_decision_is_named(tmp_path: Path) -> None:
    (tmp_path / "anna.jsonl").write_text("{}\n")
    with pytest.raises(CorpusError, match=r"anna.jsonl:1"):
        decisions(tmp_path)
