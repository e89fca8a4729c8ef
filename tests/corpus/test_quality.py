"""The gates catch planted faults, and the shipped corpora pass every one."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from personalign.cli.main import app
from personalign.corpus import quality
from personalign.corpus.faults import FAULTS, Fault, inventory_items, words
from personalign.corpus.pairs import opposite_pairs
from personalign.corpus.scenes import STARTER, load
from personalign.corpus.shingles import Shingles, repeats
from personalign.personas import catalog
from personalign.records import Message, PreferencePair, Scene, to_jsonl

Said = list[tuple[str, str, str]]


@pytest.fixture(scope="module")
def said() -> Said:
    scenes = load("starter/mbti")[:30]
    return [(s.id, name, text) for s in scenes for name, text in s.replies.items()]


def planted(said: Said, text: str, every: int = 40) -> Said:
    return [(i, n, text if k % every == 0 else t) for k, (i, n, t) in enumerate(said)]


def faultless(fault: Fault, said: Said) -> quality.GateResult:
    return quality.faultless(fault, FAULTS[fault], said)


@pytest.mark.parametrize("corpus", STARTER)
def test_shipped_corpora_pass_every_gate(corpus: str) -> None:
    results = quality.check(load(corpus), catalog())
    assert [(r.gate, r.value, r.examples) for r in results if not r.passed] == []
    assert sum("by words" in r.gate for r in results) == (4 if corpus == "starter/mbti" else 5)


def test_personas_outside_the_catalogue_are_held_to_every_gate_but_signal() -> None:
    said = [s.replies for s in load("starter/mbti")[:40]]
    own = [
        s.model_copy(update={"replies": {"baker": r["INFP"], "INTJ": r["ESTJ"]}})
        for s, r in zip(load("starter/mbti"), said, strict=False)
    ]
    assert {s.split for s in own} == {"build", "measure"}
    gates = {r.gate for r in quality.check(own, catalog())}
    assert "opening words" in gates
    assert not any("by words" in gate for gate in gates)


@pytest.mark.parametrize("corpus", STARTER)
def test_what_builds_passes_every_gate_on_its_own(corpus: str) -> None:
    results = quality.check([s for s in load(corpus) if s.split == "build"], catalog())
    assert [(r.gate, r.value, r.examples) for r in results if not r.passed] == []


@pytest.mark.parametrize(
    ("corpus", "scenes", "replies", "build"),
    [("starter/mbti", 120, 16, 96), ("starter/big_five", 60, 10, 48)],
)
def test_shipped_corpora_are_whole(corpus: str, scenes: int, replies: int, build: int) -> None:
    found = load(corpus)
    assert len(found) == scenes
    assert {len(s.replies) for s in found} == {replies}
    assert Counter(s.split for s in found) == {"build": build, "measure": scenes - build}
    lengths = [len(words(t)) for s in found for t in s.replies.values()]
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
    assert faultless("type_names", said).passed
    assert faultless("type_names", planted(said, text)).value >= 10


@pytest.mark.parametrize("text", ["Hm. *smiles* Yes.", "[pauses] No.", "Yes (laughs softly), do."])
def test_stage_directions_are_caught(said: Said, text: str) -> None:
    assert not faultless("stage_directions", planted(said, text)).passed


@pytest.mark.parametrize("text", ["Write to ann.b@mail.org now.", "Call +44 20 7946 0958 today."])
def test_personal_data_is_caught(said: Said, text: str) -> None:
    assert not faultless("personal_data", planted(said, text)).passed


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


def test_a_corpus_of_which_only_one_split_is_answered_has_no_signal_to_measure() -> None:
    some = load("starter/mbti")[:20]
    assert {s.split for s in some} == {"build", "measure"}
    mute = [s.model_copy(update={"replies": {}}) if s.split == "measure" else s for s in some]
    assert quality.signal(mute, catalog()) == []
    first = [mute[0].model_copy(update={"replies": {}}), *some[1:]]
    assert len(quality.signal(first, catalog())) == 8


def test_a_repeated_opening_phrase_is_caught(said: Said) -> None:
    same = [
        (i, n, f"Here it is. {t}" if n == "ENTJ" and k % 3 else t)
        for k, (i, n, t) in enumerate(said)
    ]
    assert quality.opening_phrases(said).passed
    assert quality.opening_phrases(same).examples[0].startswith("ENTJ: 'here it is'")
    assert quality.opening_phrases(same[:2]).value == 0


@pytest.mark.parametrize("text", ["What a shitty thing to do.", "He is a MORON, that man."])
def test_toxic_words_are_caught(said: Said, text: str) -> None:
    assert faultless("toxic_words", said).passed
    assert not faultless("toxic_words", planted(said, text)).passed


@pytest.mark.parametrize(
    "text",
    [
        "Ich würde heute Abend in Ruhe mit ihr reden und dann den Schlüssel holen.",
        "저는 오늘 저녁에 조용히 이야기하고 열쇠를 받아 올 거예요. 걱정하지 마세요.",
        "미안해요.",
    ],
)
def test_other_languages_are_caught(said: Said, text: str) -> None:
    assert faultless("other_languages", said).passed
    assert not faultless("other_languages", planted(said, text)).passed


def test_inventory_items_are_caught(said: Said) -> None:
    items = inventory_items()
    assert len(items) > 300
    item = "A surprise call usually makes my afternoon."
    assert item in items
    assert faultless("inventory_items", said).passed
    found = faultless("inventory_items", planted(said, f"Well, {item.lower()} So ring me."))
    assert repr(item) in found.examples[0]


def test_a_shipped_measure_situation_in_another_corpus_is_caught() -> None:
    measure = next(s for s in load("starter/mbti") if s.split == "measure")
    learnt = measure.model_copy(update={"id": "mine", "split": "build"})
    results = {r.gate: r for r in quality.check([learnt], catalog())}
    assert results["measure situations among build"].examples == (f"{measure.id} ~ mine: 1.00",)


@pytest.mark.slow
@pytest.mark.parametrize("corpus", STARTER)
def test_words_tell_personas_apart_in_an_area_that_was_not_trained_on(corpus: str) -> None:
    accuracies = quality.leave_one_area_out(load(corpus), catalog())
    assert min(accuracies.values()) >= quality.LEAST_SIGNAL


def test_pairs_are_checked_as_the_scenes_that_they_came_from() -> None:
    scenes = [s for s in load("starter/mbti") if s.split == "build"]
    ways = [("INFP", "ESTJ"), ("ESTJ", "INFP"), ("INFP", "INFJ")]
    pairs = [p for one, other in ways for p in opposite_pairs(scenes, one, other)]
    found = quality.as_scenes(pairs)
    three = [{n: s.replies[n] for n in ("INFP", "ESTJ", "INFJ")} for s in scenes]
    assert [s.replies for s in found] == three


def test_a_second_reply_to_one_prompt_is_not_lost() -> None:
    def said(text: str) -> tuple[Message, ...]:
        return (Message(role="assistant", content=text),)

    prompt = (Message(role="user", content="What now?"),)
    pairs = [
        PreferencePair(prompt=prompt, chosen=said(a), rejected=said("Sit."))
        for a in ("Go.", "Run.")
    ]
    found = quality.as_scenes(pairs)
    assert [s.replies for s in found] == [{"chosen": "Go.", "rejected": "Sit."}, {"chosen": "Run."}]


def test_the_command_checks_pairs_and_fails_where_a_gate_does(tmp_path: Path) -> None:
    pairs = opposite_pairs([s for s in load("starter/mbti") if s.split == "build"], "INFP", "ESTJ")
    file = tmp_path / "pairs.jsonl"
    file.write_text(to_jsonl(pairs), encoding="utf-8")
    assert CliRunner().invoke(app, ["corpus", "check", str(file)]).exit_code == 0
    bad = pairs[0].model_copy(
        update={"chosen": (Message(role="assistant", content="As an INFP, I wait."),)}
    )
    file.write_text(to_jsonl([*pairs, bad]), encoding="utf-8")
    result = CliRunner().invoke(app, ["corpus", "check", str(file), "--json"])
    assert result.exit_code == 1
    failed = [r for r in json.loads(result.output) if not r["passed"]]
    assert [r["gate"] for r in failed] == ["type names"]
    assert "'INFP'" in failed[0]["examples"][0]


def test_runs_of_words_never_cross_from_one_text_to_the_next() -> None:
    texts = [words.split() for words in ("a b c d e f g", "x a b c d e f", "a b c", "d e f", "")]
    assert Shingles(texts).shared(more_than=1) == [("a b c d e f", [0, 1])]


def test_repeats_agree_with_comparing_every_two() -> None:
    said = [t for s in load("starter/mbti")[:6] for t in s.replies.values()]
    texts = [list(words(t)) for t in said]
    texts += [[*w[:k], "zebra", *w[k:]] for k, w in enumerate(texts[:40])]
    texts += [[*w[:9], "zebra", *w[9:30], "tiger", *w[30:]] for w in texts[40:80]]

    def alike(a: list[str], b: list[str]) -> float:
        x, y = (set(zip(w, w[1:], w[2:], strict=False)) for w in (a, b))
        return len(x & y) / len(x | y)

    by_hand = {
        j for j in range(len(texts)) if any(alike(texts[i], texts[j]) >= 0.7 for i in range(j))
    }
    assert {r.text for r in repeats(texts, 0.7)} == by_hand
    assert len(by_hand) >= 70
