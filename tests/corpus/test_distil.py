"""Pairs from a model with and without a persona's prompt: both splits, kept apart, resumable."""

from __future__ import annotations

from pathlib import Path

import pytest

from personalign import personas
from personalign.corpus.distil import distil, distil_corpus, whole_sentences
from personalign.corpus.scenes import load, select
from personalign.models.local import LocalModel, Sampling
from personalign.records import PreferencePair, read_jsonl

SHORT = Sampling(max_new_tokens=24, temperature=0.7)


@pytest.mark.parametrize(
    ("text", "cut", "kept"),
    [
        ("All good. I will check the", True, "All good."),
        ('He said "stop!" Then he', True, 'He said "stop!"'),
        ("no end in sight", True, ""),
        ("no end in sight", False, "no end in sight"),
        ("It costs 3.50 at the", True, ""),
    ],
)
def test_what_the_length_limit_cut_off_goes(text: str, cut: bool, kept: str) -> None:
    assert whole_sentences(text, cut) == kept


def test_replies_differ_and_the_prompt_stays_out_of_the_pair(embedded: LocalModel) -> None:
    persona = personas.load("stage_magician")
    scenes = select(load("starter/mbti"), "build", 2)
    drafts = list(distil(embedded, persona, scenes, sampling=SHORT))
    assert [d.scene for d in drafts] == [s.id for s in scenes]
    for draft, scene in zip(drafts, scenes, strict=True):
        assert draft.pair is not None or draft.reason
        if draft.pair:
            assert draft.pair.prompt == scene.prompt
            assert draft.pair.chosen != draft.pair.rejected
            assert draft.pair.origin["persona"] == "stage_magician"
    again = list(distil(embedded, persona, scenes, sampling=SHORT))
    assert again == drafts


def test_both_splits_are_written_apart_and_not_made_twice(tiny: LocalModel, tmp_path: Path) -> None:
    persona, scenes = personas.load("night_mechanic"), load("starter/mbti")
    made = distil_corpus(tiny, persona, scenes, tmp_path, (3, 2))
    assert sum(made["build"].values()) == 3
    assert sum(made["measure"].values()) == 2
    files = [tmp_path / "pairs.jsonl", tmp_path / "pairs.measure.jsonl"]
    asked = [{p.prompt for p in read_jsonl(f, PreferencePair)} for f in files]
    assert not asked[0] & asked[1]
    tiny.generate = None  # type: ignore[assignment, method-assign]
    assert distil_corpus(tiny, persona, scenes, tmp_path, (3, 2)) == made
