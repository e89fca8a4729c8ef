"""Who answers: names say all, wrappers compose, all who ask meet in one queue."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from personalign.errors import InputError
from personalign.models.engine import adopt
from personalign.models.local import LocalModel
from personalign.models.respondent import Candidates, Prompted, respondent, seed_of
from personalign.models.sampling import Sampling
from personalign.records import Message

HELLO = (Message(role="user", content="Hello"),)
BRIEF = Sampling(max_new_tokens=6, temperature=1.0)


@pytest.fixture(scope="module")
def local(tiny_base: Path, adapters: dict[str, Path]) -> LocalModel:
    local = LocalModel.load(str(tiny_base), "float32", "cpu")
    for name, folder in adapters.items():
        local.add_adapter(name, folder)
    return local


def test_names_tell_apart_what_answers_differently(local: LocalModel) -> None:
    ways = [(None, None), ("Be kind.", None), (None, "one"), ("Be kind.", "one"), (None, "two")]
    names = [respondent(local, *way).name for way in ways]
    assert len(set(names)) == len(ways)
    assert all(name.startswith(local.identity) for name in names)


def test_a_prompt_is_a_respondent_around_a_respondent(local: LocalModel) -> None:
    whole = Prompted(Prompted(respondent(local), "Be kind."), "Be brief.")
    told = (Message(role="system", content="Be kind.\n\nBe brief."), *HELLO)
    asked = ["Yes.", "No, never."]
    (found,) = whole.score([Candidates(HELLO, asked)])
    (expected,) = respondent(local).score([Candidates(told, asked)])
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert whole.draw([HELLO], BRIEF, [3]) == respondent(local).draw([told], BRIEF, [3])


def test_plain_text_has_neither_template_nor_system_prompt(local: LocalModel) -> None:
    asked = [Candidates("The sky is", [" blue", " green"])]
    (bare,), (told,) = respondent(local).score(asked), respondent(local, "Be kind.").score(asked)
    assert all(torch.equal(a, b) for a, b in zip(bare, told, strict=True))


def test_whoever_asks_at_the_same_time_is_answered_in_one_batch(local: LocalModel) -> None:
    people = [respondent(local, None, name) for name in (None, "one", "two")]
    queue = adopt(local).queue
    waiting = [r for who in people for r in who.drawing([HELLO], BRIEF, [7])]
    together = [reply.result() for reply in waiting]
    assert queue.batches[-1] == len(people)
    alone = [who.draw([HELLO], BRIEF, [7])[0] for who in people]
    assert [g.text for g in together] == [g.text for g in alone]
    assert len({g.text for g in together}) > 1


def test_progress_counts_what_was_asked_by_oneself(local: LocalModel) -> None:
    done: list[int] = []
    other: list[int] = []
    asked = [Candidates(HELLO, ["Yes."])]
    first = respondent(local).scoring(asked, done.append)
    second = respondent(local).scoring(asked, other.append)
    first.result(), second.result()
    assert (sum(done), sum(other)) == (1, 1)


def test_what_is_longer_than_the_window_is_said(local: LocalModel) -> None:
    long = (Message(role="user", content="word " * 3000),)
    with pytest.raises(InputError, match="in a window of"):
        respondent(local).score([Candidates(long, ["Yes."])])
    (reply,) = respondent(local).draw([long], BRIEF, [0])
    assert (reply.text, reply.ended) == ("", "length")


def test_seeds_are_of_what_is_asked_and_how_often() -> None:
    other = (Message(role="user", content="Hello?"),)
    seeds = {seed_of(0, HELLO), seed_of(1, HELLO), seed_of(0, HELLO, 1), seed_of(0, other)}
    assert len(seeds) == 4
    assert seed_of(0, HELLO) == seed_of(0, list(HELLO))
