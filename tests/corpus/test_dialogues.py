"""Dialogues from a real server that fails in every way: nothing lost, nothing asked twice."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import provider
import pytest
from provider import MODEL, dialogue, serve

from personalign.corpus import scenes
from personalign.corpus.ask import Limits, Question, asking, ordered
from personalign.corpus.dialogues import (
    Dialogue,
    Generated,
    RejectedDialogue,
    Style,
    generate,
    plan,
)
from personalign.corpus.ledger import Ledger, Totals
from personalign.corpus.profiles import from_persona
from personalign.corpus.prompting import prompt
from personalign.errors import CorpusError, InputError, ModelError, RunError
from personalign.files import stream
from personalign.personas import Persona
from personalign.records import Message, Scene


@pytest.fixture
def places() -> list[Scene]:
    return scenes.select(scenes.load("starter/mbti"), "build", 12)


Make = Callable[..., tuple[Generated, Totals]]


@pytest.fixture
def make(tmp_path: Path, quiet: Persona, limits: Limits, places: list[Scene]) -> Make:
    """Generate into `tmp_path` with a server at a URL."""

    def run(url: str, count: int = 20, **more: Any) -> tuple[Generated, Totals]:
        async def work() -> tuple[Generated, Totals]:
            ledger = Ledger(tmp_path / "ledger.sqlite")
            within = limits.model_copy(update=more)
            async with asking(MODEL, ledger, within, url) as asker:
                jobs = plan(quiet, from_persona(quiet), places, count)
                return await generate(asker, jobs, Style(), tmp_path), ledger.totals()

        return asyncio.run(work())

    return run


def test_a_dialogue_knows_where_it_comes_from(make: Make, tmp_path: Path) -> None:
    with serve() as server:
        counts, totals = make(server.url, 5)
    assert (counts.asked, counts.dialogues, counts.lost) == (5, 5, 0)
    assert (totals.requests, totals.answers, totals.failed) == (5, 5, 0)
    found = list(stream(tmp_path / "dialogues.jsonl", Dialogue))
    assert [d.origin["seed"] for d in found] == [0, 1, 2, 3, 4]
    assert found[0].origin["model"] == MODEL
    assert found[0].origin["prompt"] == prompt("natural").identity
    assert len({d.id for d in found}) == 5
    assert len({d.scene for d in found}) == 5


FAULTS = ["429", "500", "503", "timeout", "malformed", "cut", "empty", "refusal"]


def test_every_failure_is_survived_and_nothing_is_counted_twice(make: Make) -> None:
    """Each kind of failure hits two of the first requests, then all go through."""
    plan_of = {n: FAULTS[n % len(FAULTS)] for n in range(2 * len(FAULTS))}
    with serve(faults=plan_of.get) as server:
        counts, totals = make(server.url, 24, timeout=1)
        assert counts.dialogues == 24
        assert counts.lost == 0
        assert counts.rejected == {"refusal": 2}
        assert totals.answers == 26
        assert totals.requests == server.requests == 26 + 14
        assert totals.failed == 14
        before = server.requests
        again, after = make(server.url, 24)
        assert server.requests == before
    assert again == counts
    assert after == totals


@pytest.mark.parametrize("fault", ["500", "timeout", "cut", "malformed", "429"])
def test_what_is_lost_is_said_and_asked_again(make: Make, tmp_path: Path, fault: str) -> None:
    limits = {"attempts": 2, "timeout": 0.5}
    with serve(faults=lambda n: fault if n < 6 else None) as server:
        counts, totals = make(server.url, 3, **limits)
        assert counts.lost == 3
        assert totals.answers == 0
        counts, totals = make(server.url, 3, **limits)
    assert (counts.dialogues, counts.lost, totals.answers) == (3, 0, 3)
    assert totals.requests == 9


def test_a_wrong_key_ends_it_at_once(make: Make) -> None:
    with serve(faults=lambda n: "401") as server, pytest.raises(ModelError, match="401"):
        make(server.url, 200)
    assert server.requests <= 8


def test_a_dead_provider_ends_it(make: Make) -> None:
    with pytest.raises(ModelError, match="questions in a row"):
        make("http://127.0.0.1:9/v1", 200, attempts=1, give_up=5)


def test_one_bad_request_does_not_end_it(make: Make) -> None:
    with serve(faults=lambda n: "400" if n == 3 else None) as server:
        counts, _ = make(server.url, 10)
    assert (counts.dialogues, counts.lost) == (9, 1)


def test_empty_replies_are_rejected_with_their_reason(make: Make, tmp_path: Path) -> None:
    with serve(faults=lambda n: "empty") as server:
        counts, totals = make(server.url, 2)
    assert counts.rejected == {"empty": 4}
    assert totals.failed == totals.requests == 2 * 2 * 4


def test_every_rejected_dialogue_is_kept_with_its_reason(make: Make, tmp_path: Path) -> None:
    replies = {0: "I can't help with that.", 1: "Persona: I begin.\nUser: No.", 2: "Prose."}

    def reply(body: dict[str, Any]) -> str:
        return replies.get(body["seed"] % 1_000_003, dialogue(body["seed"]))

    with serve(reply=reply) as server:
        counts, _ = make(server.url, 5)
    kept = list(stream(tmp_path / "dialogues.rejected.jsonl", RejectedDialogue))
    assert counts.rejected == {"refusal": 2, "persona_first": 2, "missing_speaker": 2}
    assert Counter(r.reason for r in kept) == counts.rejected
    assert all(r.text for r in kept)
    assert counts.dialogues == 2


def test_max_cost_stops_before_it_is_passed(make: Make) -> None:
    prices = {"price_in": 1000.0, "price_out": 1000.0, "concurrency": 1}
    with serve() as server:
        with pytest.raises(RunError, match="--max-cost 3 reached"):
            make(server.url, 50, max_cost=3.0, **prices)
        asked = server.requests
        assert 1 <= asked <= 3 / 0.15
        counts, totals = make(server.url, 50, max_cost=30.0, **prices)
        assert server.requests == 50
    assert counts.dialogues == 50
    assert totals.cost == pytest.approx(50 * 0.15)


def test_every_request_counts_not_only_those_with_an_answer(make: Make, tmp_path: Path) -> None:
    """Empty replies are billed; what broke off may be; an HTTP error is not."""
    prices = {"price_in": 1000.0, "price_out": 1000.0, "concurrency": 1, "attempts": 3}
    with serve(faults={0: "empty", 1: "500"}.get) as server:
        _, totals = make(server.url, 1, **prices)
    assert totals.cost == pytest.approx(2 * 0.15)
    with serve(faults={0: "cut"}.get) as server:
        _, more = make(server.url, 1, **prices)
    most = Style().max_tokens / 1000
    assert more.cost - totals.cost > 0.15 + most


def test_tokens_that_a_server_does_not_count_are_estimated(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = provider.completion

    def silent(body: dict[str, Any], text: str) -> dict[str, Any]:
        return {k: v for k, v in whole(body, text).items() if k != "usage"}

    monkeypatch.setattr(provider, "completion", silent)
    with serve() as server:
        _, totals = make(server.url, 2, price_in=1.0, price_out=1.0)
    assert totals.tokens_in > 200
    assert totals.tokens_out > 50
    assert totals.cost > 0


@pytest.mark.parametrize(
    ("body", "state"),
    [
        ({"error": {"code": "content_filter", "message": "no"}}, "refusal"),
        ({"error": {"code": None, "message": "bad"}}, None),
        ({"error": "bad"}, None),
        (["what"], None),
    ],
)
def test_a_filter_is_a_refusal_and_other_bad_requests_are_lost(
    make: Make, monkeypatch: pytest.MonkeyPatch, body: Any, state: str | None
) -> None:
    whole = provider.respond

    async def failing(send: Any, status: int, said: Any, headers: Any = None) -> None:
        await whole(send, status, body if status == 400 else said, headers)

    monkeypatch.setattr(provider, "respond", failing)
    with serve(faults=lambda n: "400") as server:
        counts, _ = make(server.url, 1)
    assert (counts.rejected, counts.lost) == (({state: 2}, 0) if state else ({}, 1))


def test_max_cost_needs_prices(make: Make) -> None:
    with pytest.raises(InputError, match="without prices"):
        make("http://127.0.0.1:9/v1", 1, max_cost=1.0)


def test_concurrency_is_used_and_never_passed(make: Make) -> None:
    with serve(seconds=0.05) as server:
        make(server.url, 40, concurrency=5)
    assert server.most_open == 5


def test_rate_limit(make: Make) -> None:
    with serve() as server:
        make(server.url, 1)
        began = time.monotonic()
        make(server.url, 7, per_minute=600)
    assert time.monotonic() - began >= 0.5


def test_another_server_under_the_same_name_is_another_model(make: Make) -> None:
    with serve() as one, serve() as two:
        make(one.url, 3)
        make(two.url, 3)
        assert (one.requests, two.requests) == (3, 3)


def test_the_same_question_at_once_is_asked_once(tmp_path: Path, limits: Limits) -> None:
    said = Message(role="user", content="How are you?")
    question = Question("test", "none", (Message(role="system", content="x"), said), 1)

    async def work(url: str) -> set[str]:
        async with asking(MODEL, Ledger(tmp_path / "l.sqlite"), limits, url) as asker:
            return {a.text for a in await asyncio.gather(*[asker.ask(question)] * 20)}

    with serve(seconds=0.05) as server:
        assert len(asyncio.run(work(server.url))) == 1
        assert server.requests == 1


CHILD = """
import asyncio, sys
sys.path.insert(0, sys.argv[3])
from pathlib import Path
from people import persona
from test_dialogues import *
quiet = persona("Quiet", "Loud", "quiet", -0.8)
places = scenes.select(scenes.load("starter/mbti"), "build", 12)
async def work():
    ledger = Ledger(Path(sys.argv[2]) / "ledger.sqlite")
    async with asking(MODEL, ledger, Limits(concurrency=8), sys.argv[1]) as asker:
        await generate(asker, plan(quiet, from_persona(quiet), places, 40), Style(),
                       Path(sys.argv[2]))
asyncio.run(work())
"""


def test_a_kill_loses_nothing_that_was_answered(make: Make, tmp_path: Path) -> None:
    with serve(seconds=0.1) as server:
        here = str(Path(__file__).parent)
        child = subprocess.Popen([sys.executable, "-c", CHILD, server.url, str(tmp_path), here])
        deadline = time.monotonic() + 30
        while sum(server.answered.values()) < 15 and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        assert not (tmp_path / "dialogues.jsonl").exists()
        db = sqlite3.connect(tmp_path / "ledger.sqlite")
        settled = db.execute("select count(*) from answers").fetchone()[0]
        db.close()
        assert settled >= 8
        counts, totals = make(server.url, 40)
        asked = sum(server.answered.values())
    assert counts.dialogues == 40
    assert totals.answers == 40
    assert totals.open <= 8
    assert asked <= 40 + 8
    assert server.requests <= totals.requests <= server.requests + 8


def test_ordered_keeps_the_order_and_a_bounded_window() -> None:
    taken = 0
    most = 0

    def items() -> Any:
        nonlocal taken
        for i in range(100):
            taken += 1
            yield i

    async def work(i: int) -> int:
        await asyncio.sleep(0.001 * (i % 7))
        return i * i

    async def run() -> list[int]:
        nonlocal most
        results = []
        async for i, square in ordered(items(), work, 10):
            results.append(square)
            most = max(most, taken - i)
        return results

    assert asyncio.run(run()) == [i * i for i in range(100)]
    assert most <= 10


def test_a_plan_is_even_and_reproducible(quiet: Persona, places: list[Scene]) -> None:
    profile = from_persona(quiet)
    jobs = list(plan(quiet, profile, places, 84, seed=3))
    assert jobs == list(plan(quiet, profile, places, 84, seed=3))
    assert jobs != list(plan(quiet, profile, places, 84, seed=4))
    assert set(Counter(j.scene.id for j in jobs).values()) == {7}
    assert len({j.feature for j in jobs}) == len(profile.features)


def test_a_measuring_scene_builds_nobody(quiet: Persona) -> None:
    measuring = scenes.select(scenes.load("starter/mbti"), "measure", 2)
    with pytest.raises(CorpusError, match="must not build"):
        next(plan(quiet, from_persona(quiet), measuring, 1))


@pytest.mark.parametrize("name", ["natural", "lapd"])
def test_shipped_styles_fill(name: str, quiet: Persona) -> None:
    system, user = prompt(name).filled(
        persona=quiet.system_prompt(), name="Quiet", feature="f", scene="s", least=4, most=10
    )
    assert "$" not in system.content + user.content
    assert "never" in system.content


def test_a_prompt_with_an_unknown_placeholder_is_said(tmp_path: Path) -> None:
    path = tmp_path / "own.md"
    path.write_text("System\n---\nAbout $nothing")
    with pytest.raises(InputError, match="nothing"):
        prompt(str(path)).filled(scene="x")
    with pytest.raises(InputError, match="unknown prompt"):
        prompt("naturl")
