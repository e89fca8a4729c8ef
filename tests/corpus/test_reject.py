"""Rejected replies in three ways, of comparable length, to the same prompt."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from provider import MODEL, Server, serve

from personalign.corpus.ask import Limits, asking
from personalign.corpus.dialogues import Dialogue
from personalign.corpus.ledger import Ledger
from personalign.corpus.reject import Paired, Rejecting, Unpaired, Way, pair_up, replies, unfit
from personalign.files import stream
from personalign.personas import Persona
from personalign.records import Message, PreferencePair

CHOSEN = "I would sit with it for a night and write down what it means to me before I answer them."


def dialogue(number: int = 0, turns: int = 3) -> Dialogue:
    said = [
        Message(role=role, content=f"{text} {number}.{turn}")
        for turn in range(turns)
        for role, text in (("user", "Something happened today, number"), ("assistant", CHOSEN))
    ]
    return Dialogue(
        id=f"d{number}", persona="Quiet", scene="s-1", area="work", feature="They wait.",
        turns=tuple(said), origin={"model": "m", "prompt": "natural@1", "seed": number},
    )  # fmt: skip


def paired(
    folder: Path, quiet: Persona, loud: Persona, limits: Limits, how: Rejecting, **server: Any
) -> tuple[Paired, list[PreferencePair], Server]:
    gate = server.pop("gate", lambda pair: None)

    async def work(url: str) -> Paired:
        async with asking(MODEL, Ledger(folder / "l.sqlite"), limits, url) as asker:
            said = [dialogue(0), dialogue(1)]
            return await pair_up(asker, said, how, quiet, loud, folder, gate=gate)

    with serve(**server) as running:
        counts = asyncio.run(work(running.url))
    return counts, list(stream(folder / "pairs.jsonl", PreferencePair)), running


def test_every_persona_turn_is_one_pair_with_its_whole_history(
    tmp_path: Path, quiet: Persona, loud: Persona, limits: Limits
) -> None:
    counts, pairs, _ = paired(tmp_path, quiet, loud, limits, Rejecting())
    assert (counts.replies, counts.pairs) == (6, 6)
    assert [len(p.prompt) for p in pairs] == [1, 3, 5, 1, 3, 5]
    for pair in pairs:
        assert pair.prompt[-1].role == "user"
        assert pair.prompt == dialogue(int(pair.origin["seed"])).turns[: len(pair.prompt)]
        assert pair.chosen[0].content.startswith(CHOSEN)
    assert pairs[1].origin == {
        "dialogue": "d0", "turn": 3, "scene": "s-1", "area": "work", "feature": "They wait.",
        "persona": "Quiet", "model": "m", "prompt": "natural@1", "seed": 0, "opposite": "Loud",
        "rejected_way": "opposite", "rejected_model": MODEL,
        "rejected_prompt": pairs[1].origin["rejected_prompt"], "rejected_seed": 3,
    }  # fmt: skip


@pytest.mark.parametrize("way", ["opposite", "inversion", "base"])
def test_what_each_way_asks(
    tmp_path: Path, quiet: Persona, loud: Persona, limits: Limits, way: Way
) -> None:
    counts, _, server = paired(tmp_path, quiet, loud, limits, Rejecting(way=way))
    assert counts.pairs == 6
    first = next(b["messages"] for b in server.bodies if "0.1" not in str(b["messages"]))
    system = first[0]["content"]
    assert ("loud friend" in system) == (way == "opposite")
    assert (CHOSEN in first[-1]["content"]) == (way == "inversion")
    if way == "base":
        assert "friend" not in system
    if way != "inversion":
        assert [m["role"] for m in first] == ["system", "user"]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("Go!", "length"),
        ("word " * 200, "length"),
        (CHOSEN + " 0.0", "too_alike"),
        ("I'm sorry, but I can't help with that. " * 2, "refusal"),
        ("*shrugs*", "empty"),
    ],
)
def test_a_reply_that_cannot_stand_beside_is_dropped_with_its_reason(
    tmp_path: Path, quiet: Persona, loud: Persona, limits: Limits, reply: str, reason: str
) -> None:
    how = Rejecting(tries=2)
    counts, pairs, server = paired(tmp_path, quiet, loud, limits, how, reply=lambda b: reply)
    assert pairs == []
    assert counts.dropped == {reason: 6}
    assert server.requests == 12
    kept = list(stream(tmp_path / "pairs.rejected.jsonl", Unpaired))
    assert [(u.dialogue, u.turn) for u in kept][:3] == [("d0", 1), ("d0", 3), ("d0", 5)]


def test_names_quotes_and_directions_are_taken_off(
    tmp_path: Path, quiet: Persona, loud: Persona, limits: Limits
) -> None:
    said = 'Loud: "*grins* Call all of them tonight, make it a party and settle it right there."'
    _, pairs, _ = paired(tmp_path, quiet, loud, limits, Rejecting(), reply=lambda b: said)
    assert {p.rejected[0].content for p in pairs} == {
        "Call all of them tonight, make it a party and settle it right there."
    }


def test_a_gate_drops_with_its_reason(
    tmp_path: Path, quiet: Persona, loud: Persona, limits: Limits
) -> None:
    def gate(pair: PreferencePair) -> str | None:
        return "long_history" if len(pair.prompt) > 3 else None

    counts, pairs, _ = paired(tmp_path, quiet, loud, limits, Rejecting(), gate=gate)
    assert counts.dropped == {"long_history": 2}
    assert len(pairs) == 4


def test_lost_replies_are_asked_again(
    tmp_path: Path, quiet: Persona, loud: Persona, limits: Limits
) -> None:
    once = limits.model_copy(update={"attempts": 1})
    faults = {0: "500", 1: "500"}.get
    counts, pairs, _ = paired(tmp_path, quiet, loud, once, Rejecting(), faults=faults)
    assert (counts.lost, len(pairs)) == (2, 4)


def test_comparable_length_has_both_edges() -> None:
    four = "one two three four"
    assert unfit(four, "five six", (0.5, 2.0)) is None
    assert unfit(four, "five", (0.5, 2.0)) == "length"
    assert unfit(four, "a b c d e f g h", (0.5, 2.0)) is None
    assert unfit(four, "a b c d e f g h i", (0.5, 2.0)) == "length"
    assert unfit(four, "four three two one", (0.5, 2.0)) == "too_alike"


def test_replies_of_a_dialogue() -> None:
    assert [r.turn for r in replies([dialogue()])] == [1, 3, 5]
