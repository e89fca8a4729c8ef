"""Prompts of our own, and what the base says to them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from personalign.corpus import scenes
from personalign.errors import CorpusError
from personalign.models.local import LocalModel
from personalign.models.sampling import Sampling
from personalign.records import Message
from personalign.training import health, neutral
from personalign.training.replies import Asked, base_replies, read_prompts

KINDS = {"fact", "list", "arithmetic", "form", "code", "conversation", "json", "format"}
TWO = [(Message(role="user", content=text),) for text in ("Name a colour.", "Where is Oslo?")]


def test_neutral_prompts_are_many_and_of_every_kind() -> None:
    lines = neutral.PROMPTS.read_text(encoding="utf-8").splitlines()
    kinds = Counter(Asked.model_validate_json(line).kind for line in lines)
    assert kinds.keys() == KINDS
    assert min(kinds.values()) >= 25
    first = [Asked.model_validate_json(line).kind for line in lines[: len(KINDS)]]
    assert set(first) == KINDS, "a part of the file is of every kind too"


def test_what_holds_to_the_base_is_not_what_is_looked_at_or_measured() -> None:
    held = {p[-1].content for p in read_prompts(neutral.PROMPTS)}
    looked = {p[-1].content for p in read_prompts(health.PROMPTS)}
    asked = {s.prompt[-1].content for s in scenes.load("starter/mbti")}
    assert len(held) == len(read_prompts(neutral.PROMPTS))
    assert not held & looked
    assert not (held | looked) & asked


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"kind": "fact"}', "2: turns: Field required"),
        ('{"kind": "fact", "turns": ["a", "b"]}', "2: turns: 2 turns"),
        ("Name a colour.", r":2"),
    ],
)
def test_a_line_that_is_no_prompt_is_named(tmp_path: Path, line: str, said: str) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text('{"kind": "fact", "turns": ["Name a colour."]}\n' + line + "\n")
    with pytest.raises(CorpusError, match=said):
        read_prompts(file)


def test_replies_are_kept_by_prompt_and_by_how_they_were_drawn(
    tiny: LocalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, asked = LocalModel.generate, list[int]()

    def counting(
        self: LocalModel, prompts: list[object], *args: object, **kwargs: object
    ) -> object:
        asked.append(len(prompts))
        return usual(self, prompts, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(LocalModel, "generate", counting)
    greedy, drawn = Sampling(max_new_tokens=6), Sampling(max_new_tokens=6, temperature=1.0)
    first = base_replies(tiny, TWO[:1], greedy, [0])
    both = base_replies(tiny, TWO, greedy, [0, 0])
    assert both[0] == first[0]
    assert asked == [1, 1]
    base_replies(tiny, TWO, drawn, [0, 0])
    base_replies(tiny, TWO, drawn, [1, 0])
    assert asked == [1, 1, 2, 1]
