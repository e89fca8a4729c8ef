"""Pairs from a model with and without a persona's prompt: both splits, kept apart, resumable."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from personalign import personas
from personalign.corpus.distil import FILES, distil, distil_corpus, whole_sentences
from personalign.corpus.scenes import load, select
from personalign.files import read_records
from personalign.models.local import Generation, LocalModel
from personalign.models.respondent import Respondent, respondent
from personalign.models.sampling import Sampling
from personalign.records import PreferencePair

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


@pytest.mark.slow
def test_the_same_seed_draws_the_same_replies(tiny: LocalModel) -> None:
    persona, scenes = personas.load("stage_magician"), select(load("starter/mbti"), "build", 2)
    drafts = list(distil(respondent(tiny), persona, scenes, sampling=SHORT))
    assert [d.scene for d in drafts] == [s.id for s in scenes]
    assert all((d.pair is None) == bool(d.reason) for d in drafts)
    assert list(distil(respondent(tiny), persona, scenes, sampling=SHORT)) == drafts


class Scripted(Respondent):
    """Answers with numbered sentences; with the persona's prompt it says so."""

    name = "scripted"

    @property
    def base(self) -> Respondent:
        return self

    def __init__(self) -> None:
        self.asked = 0

    def scoring(self, asked: Any, progress: Any = None) -> Any:
        raise AssertionError("distilling scores nothing")

    def drawing(self, prompts: Any, sampling: Any, seeds: Any) -> list[Future[Generation]]:
        said = []
        for prompt, seed in zip(prompts, seeds, strict=True):
            self.asked += 1
            who, k = "it" if prompt[0].role == "system" else "nobody", self.asked
            text = f"I am {who}, and on day {k} of {k} I do what {k} people do on {k}. Then I"
            reply: Future[Generation] = Future()
            reply.set_result(Generation(text, 24, seed, "length"))
            said.append(reply)
        return said


def test_the_chosen_reply_saw_the_prompt_and_the_pair_does_not() -> None:
    persona, scenes = personas.load("stage_magician"), select(load("starter/mbti"), "build", 20)
    drafts = list(distil(Scripted(), persona, scenes))
    for draft, scene in zip(drafts, scenes, strict=True):
        assert draft.pair is not None
        assert draft.pair.prompt == scene.prompt
        assert draft.pair.chosen[0].content.startswith("I am it, ")
        assert draft.pair.rejected[0].content.startswith("I am nobody, ")
        assert draft.pair.chosen[0].content.endswith(".")
        assert draft.pair.origin["persona"] == "stage_magician"


def test_both_splits_are_written_apart_and_not_made_twice(tmp_path: Path) -> None:
    persona, scenes, model = personas.load("night_mechanic"), load("starter/mbti"), Scripted()
    made = distil_corpus(model, persona, scenes, tmp_path, (3, 2))
    assert made == {"build": {"kept": 3}, "measure": {"kept": 2}}
    for split, file in FILES.items():
        prompts = {p.prompt for p in read_records(tmp_path / file, PreferencePair)}
        assert prompts == {s.prompt for s in select(scenes, split, len(prompts))}
    asked = model.asked
    assert distil_corpus(model, persona, scenes, tmp_path, (3, 2)) == made
    assert model.asked == asked
    held = next(s for s in scenes if s.split == "build").model_copy(update={"split": "measure"})
    again = distil_corpus(model, persona, [*scenes, held], tmp_path, (3, 2))
    assert again["build"]["held_back"] == 1


def test_what_measures_in_the_starter_corpus_builds_nobody(tmp_path: Path) -> None:
    persona, starter = personas.load("night_mechanic"), load("starter/mbti")
    own = [s.model_copy(update={"split": "build"}) for s in select(starter, "measure", 2)]
    own += [s.model_copy(update={"split": "measure"}) for s in select(starter, "build", 1)]
    made = distil_corpus(Scripted(), persona, own, tmp_path)
    assert made == {"build": {"held_back": 2}, "measure": {"kept": 1}}
