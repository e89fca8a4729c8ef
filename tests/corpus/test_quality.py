"""The gates catch planted faults, and the shipped corpora pass every one."""

from __future__ import annotations

from collections import Counter

import pytest

from personalign.corpus import quality
from personalign.corpus.scenes import STARTER, load
from personalign.personas import catalog
from personalign.records import Scene

Said = list[tuple[str, str, str]]


@pytest.fixture(scope="module")
def said() -> Said:
    scenes = load("starter/mbti")[:30]
    return [(s.id, name, text) for s in scenes for name, text in s.replies.items()]


def planted(said: Said, text: str, every: int = 40) -> Said:
    return [(i, n, text if k % every == 0 else t) for k, (i, n, t) in enumerate(said)]


@pytest.mark.parametrize("corpus", STARTER)
def test_shipped_corpora_pass_every_gate(corpus: str) -> None:
    results = quality.check(load(corpus), catalog())
    assert [(r.gate, r.value, r.examples) for r in results if not r.passed] == []
    assert sum("by words" in r.gate for r in results) == (4 if corpus == "starter/mbti" else 5)


@pytest.mark.parametrize(
    ("corpus", "scenes", "replies", "build"),
    [("starter/mbti", 120, 16, 96), ("starter/big_five", 60, 10, 48)],
)
def test_shipped_corpora_are_whole(corpus: str, scenes: int, replies: int, build: int) -> None:
    found = load(corpus)
    assert len(found) == scenes
    assert {len(s.replies) for s in found} == {replies}
    assert Counter(s.split for s in found) == {"build": build, "measure": scenes - build}
    lengths = [len(quality.words(t)) for s in found for t in s.replies.values()]
    assert 25 <= min(lengths) <= max(lengths) <= 70


def test_a_longer_persona_is_caught(said: Said) -> None:
    longer = [(i, n, t + " and so on" * 5 if n == "INFP" else t) for i, n, t in said]
    assert quality.length_balance(said).passed
    result = quality.length_balance(longer)
    assert not result.passed
    assert result.examples[0].startswith("INFP: +")


def test_a_repeated_opening_is_caught(said: Said) -> None:
    result = quality.openings([(i, n, f"Honestly, {t}" if n == "ENTJ" else t) for i, n, t in said])
    assert not result.passed
    assert result.examples[0] == "ENTJ: 'honestly' 100.0%"


@pytest.mark.parametrize(
    "text", ["I am an INFP after all.", "As a thinker, I weigh it.", "Introverts need quiet."]
)
def test_type_names_and_jargon_are_caught(said: Said, text: str) -> None:
    assert quality.marked("jargon", quality.JARGON, said).passed
    assert quality.marked("jargon", quality.JARGON, planted(said, text)).value >= 10


@pytest.mark.parametrize("text", ["Hm. *smiles* Yes.", "[pauses] No.", "Yes (laughs softly), do."])
def test_stage_directions_are_caught(said: Said, text: str) -> None:
    assert not quality.marked("stage", quality.STAGE, planted(said, text)).passed


@pytest.mark.parametrize("text", ["Write to ann.b@mail.org now.", "Call +44 20 7946 0958 today."])
def test_personal_data_is_caught(said: Said, text: str) -> None:
    assert not quality.marked("personal", quality.PERSONAL, planted(said, text)).passed


def test_shared_phrases_and_near_duplicates_are_caught(said: Said) -> None:
    text = said[0][2]
    assert quality.shared_phrases(planted(said, text)).value >= 10
    result = quality.near_duplicate_replies(planted(said, f"Now {text}"))
    assert not result.passed
    assert quality.near_duplicate_replies(said).passed


def test_a_measure_situation_among_build_is_caught() -> None:
    scenes = load("starter/mbti")
    copy = next(s for s in scenes if s.split == "build").model_copy(
        update={"id": "copied", "split": "measure"}
    )
    assert quality.leaks(scenes).passed
    assert not quality.leaks([*scenes, copy]).passed


def _without_signal(scene: Scene) -> Scene:
    texts = list(scene.replies.values())
    turn = sum(map(ord, scene.id))
    moved = {n: texts[(k * 7 + turn) % 16] for k, n in enumerate(scene.replies)}
    return scene.model_copy(update={"replies": moved})


def test_a_corpus_without_signal_is_caught() -> None:
    scenes = [_without_signal(s) for s in load("starter/mbti")]
    results = [r for r in quality.signal(scenes, catalog()) if "by words" in r.gate]
    assert not any(r.passed for r in results)


def test_a_shortcut_is_caught() -> None:
    scenes = [
        s.model_copy(
            update={"replies": {n: t + ("!" if n[0] == "E" else "") for n, t in s.replies.items()}}
        )
        for s in load("starter/mbti")
    ]
    shallow = {r.gate: r.passed for r in quality.signal(scenes, catalog())}
    assert shallow["EI by surface"] is False
    assert shallow["TF by surface"] is True
