"""Free replies to other people's openings: who is heard in them, by raters that saw neither."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from personalign.corpus import scenes
from personalign.errors import InputError, ModelError
from personalign.judges.form import FORMS
from personalign.measures import Material, Measures, holds, measure
from personalign.measures import speech as spoken
from personalign.measures.holds import Holds
from personalign.measures.interview import Interview
from personalign.measures.speech import Speech, openings, shipped
from personalign.models.local import LocalModel
from personalign.models.respondent import Candidates, respondent
from personalign.models.sampling import Sampling
from personalign.personas import DICHOTOMIES, catalog
from personalign.psychometrics import speech
from personalign.records import Arm, Scene, Transcript


@pytest.fixture(scope="module")
def built() -> list[Scene]:
    return scenes.select(scenes.load("starter/mbti"), "build", 24)


@pytest.fixture
def asked(built: list[Scene], monkeypatch: pytest.MonkeyPatch) -> Speech:
    def missing() -> None:
        raise ModelError("no encoder")

    monkeypatch.setattr(measure, "packaged_encoder", missing)
    short = Sampling(max_new_tokens=24, temperature=0.7, top_p=0.9)
    for room in (spoken, holds):
        monkeypatch.setattr(room, "DRAWN", short)
    monkeypatch.setattr(spoken, "GREEDY", Sampling(max_new_tokens=24))
    return Speech(Material(Measures(openings=4, draws=2, holds=2), built, {}, seed=3))


def rows_of(entries: Sequence[object]) -> pd.DataFrame:
    columns = ["sample", "cluster", "metric", "value", "state"]
    return pd.DataFrame([e for e in entries if isinstance(e, tuple)], columns=columns)


def test_there_are_sixty_openings_and_none_is_the_corpus_own() -> None:
    found = openings()
    assert len({o.id for o in found}) == len({o.text for o in found}) == len(found) >= 60
    known = {m.content.lower() for s in scenes.load("starter/mbti") for m in s.prompt}
    fives = {five for text in known for five in grams(text)}
    assert not [o.text for o in found if fives & set(grams(o.text.lower()))]


def grams(text: str, n: int = 6) -> list[tuple[str, ...]]:
    words = text.split()
    return [tuple(words[k : k + n]) for k in range(len(words) - n + 1)]


def test_few_openings_are_of_many_areas() -> None:
    assert len({o.area for o in openings(16)}) >= 9
    assert openings(16) == openings(16) != openings(16, seed=1)


def test_a_rater_is_worth_what_it_is_worth_on_situations_it_has_not_seen(
    built: list[Scene],
) -> None:
    rater = speech.train(built, catalog())
    assert set(rater.scales) == set(DICHOTOMIES)
    measuring = scenes.select(scenes.load("starter/mbti"), "measure", 8)
    said = [(catalog()[n].traits, t) for s in measuring for n, t in s.replies.items()]
    found = rater([text for _, text in said])
    for scale, values in found.items():
        right = np.mean((values > 0.5) == np.array([traits[scale] > 0 for traits, _ in said]))
        known = rater.accuracy[scale]
        assert right == pytest.approx(known.right / known.of, abs=0.12)


def test_a_rater_has_seen_no_word_that_only_measures(built: list[Scene]) -> None:
    measuring = scenes.select(scenes.load("starter/mbti"), "measure", 4)
    rater = speech.train(built, catalog())
    words = [
        {w for s in of for r in s.replies.values() for w in bare(r)} for of in (built, measuring)
    ]
    only = sorted(words[1] - words[0])
    assert only
    assert rater.features(only).nnz == 0
    assert rater.features(sorted(words[0])).nnz > 0


def bare(text: str) -> list[str]:
    return re.findall(r"\w\w+", text.lower())


def test_a_scale_with_one_pole_and_unknown_personas_are_left_out(built: list[Scene]) -> None:
    strangers = [s.model_copy(update={"replies": s.replies | {"stranger": "Hm."}}) for s in built]
    assert speech.train(strangers, catalog()).accuracy == speech.train(built, catalog()).accuracy
    loud = [
        s.model_copy(update={"replies": {n: t for n, t in s.replies.items() if n[0] == "E"}})
        for s in built
    ]
    assert set(speech.train(loud, catalog()).accuracy) == {"SN", "TF", "JP"}


def test_interviews_are_rated_by_the_rater_of_words(asked: Speech) -> None:
    interview = Interview(asked.material)
    question = next(item for item in interview.inventory.items if item.scale == "EI")
    text = "I would stay at home with a book."
    (rater,) = asked.material.raters
    assert interview._rate(question, text) == rater([text])["EI"][0]
    assert interview._rate(question.model_copy(update={"scale": "O"}), text) is None


def test_a_rater_that_cannot_tell_says_nothing(built: list[Scene]) -> None:
    rng = np.random.default_rng(0)
    mixed = []
    for scene in built:
        names, texts = list(scene.replies), list(scene.replies.values())
        told = dict(zip(names, rng.permutation(np.array(texts, dtype=object)), strict=True))
        mixed.append(scene.model_copy(update={"replies": told}))
    rater = speech.train(mixed, catalog())
    assert rater.scales == ()
    assert set(rater.accuracy) == set(DICHOTOMIES)
    assert rater(["I would rather stay at home."]) == {}


def test_a_scene_that_measures_is_refused() -> None:
    held_out = scenes.select(scenes.load("starter/mbti"), "measure", 1)
    with pytest.raises(InputError, match="measures"):
        speech.train(held_out, catalog())


def test_base_and_arm_share_prompts_and_numbers_and_are_placed(
    asked: Speech, tiny: LocalModel
) -> None:
    infp = Arm(persona="INFP", condition="prompted")  # type: ignore[arg-type]
    both = [list(asked.ask(respondent(tiny), arm)) for arm in (Arm(), infp)]
    said = [[e for e in entries if isinstance(e, Transcript)] for entries in both]
    assert [(t.sample, t.reply, t.seed) for t in said[0]] == [
        (t.sample, t.reply, t.seed) for t in said[1]
    ]
    rows = [rows_of(entries) for entries in both]
    places = [asked.positions(r) for r in rows]
    assert places[0].shape == (4, 4)
    assert places[0].abs().max().max() <= 1
    pd.testing.assert_frame_equal(*places)
    named = {m.partition(":")[0] for m in rows[1]["metric"]} - {
        m.partition(":")[0] for m in rows[0]["metric"]
    }
    assert named == {"named"}
    said_by = asked.spoken(rows[1])
    told = {"length", "ended", "empty", "repeated", "looped", "foreign", "surprise"}
    assert set(said_by.manner) == told  # no encoder here, so that nothing is known of fit
    assert said_by.manner.notna().all(axis=None)
    assert 9 < said_by.manner["surprise"].mean() < 13  # random weights, log 49152 = 10.8
    assert not said_by.named.empty


def test_the_first_reply_is_greedy_and_its_repetition_stands_apart(
    asked: Speech, tiny: LocalModel
) -> None:
    entries = list(asked.ask(respondent(tiny), Arm()))
    rows = rows_of(entries)
    first = rows[rows["metric"] == "repeated:0"].set_index("sample")["value"]
    second = rows[rows["metric"] == "repeated:1"].set_index("sample")["value"]
    manner = asked.spoken(rows).manner
    pd.testing.assert_series_equal(manner["looped"], first, check_names=False)
    pd.testing.assert_series_equal(manner["repeated"], second, check_names=False)
    said = [e for e in entries if isinstance(e, Transcript)]
    again = respondent(tiny).draw([t.prompt for t in said], asked.samplings[0], [99] * len(said))
    assert [reply.text for reply in again] == [t.reply for t in said]


def test_surprise_is_under_base_whoever_speaks(asked: Speech, tiny: LocalModel) -> None:
    """A system prompt changes what is said, and not by whom it is weighed."""
    texts = ["Sit down and rest.", "", "Make a list.", "Breathe."]
    plain, told = respondent(tiny), respondent(tiny, "You are a pirate.")
    weighed = [asked._surprise(texts, who.base) for who in (plain, told)]
    assert weighed[0] == weighed[1]
    assert weighed[0][1] is None
    (own,) = told.score([Candidates(asked.openings[0].prompt, texts[:1], whole=False)])
    assert weighed[0][0] != pytest.approx(-float(own[0].mean()), rel=1e-6)


def test_fit_falls_where_replies_are_to_other_prompts(asked: Speech) -> None:
    encode = Bags()
    said = [o.text for o in asked.openings]
    own = asked._fit(said, encode)  # type: ignore[arg-type]
    others = asked._fit(said[1:] + said[:1], encode)  # type: ignore[arg-type]
    assert all((x or 0) > 0.5 for x in own)
    assert all((x or 0) < 0 for x in others)
    assert asked._fit(["", *said[1:]], encode)[0] is None  # type: ignore[arg-type]


class Bags:
    """Texts as unit vectors of their words."""

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        words = sorted({w for o in openings() for w in o.text.split()})
        found = np.array([[float(t.split().count(w)) for w in words] for t in texts])
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)


def test_openings_come_from_a_file_too(built: list[Scene], tmp_path: Path) -> None:
    own = tmp_path / "own.txt"
    own.write_text("My tent leaks.\nThe bus is late again.\nWho feeds the cat?\n")
    material = Material(Measures(openings=2, openings_from=str(own), holds=2), built, {}, seed=0)
    assert {o.text for o in Speech(material).openings} < set(own.read_text().splitlines())
    assert all(o.of and o.id.endswith(f"/{o.of}") for o in Holds(material).openings)


def test_openings_that_train_are_refused(built: list[Scene], tmp_path: Path) -> None:
    """A corpus cannot say who is heard beyond it."""
    own = tmp_path / "own.txt"
    own.write_text("My tent leaks.\n" + built[3].prompt[-1].content + "\n")
    material = Material(Measures(openings_from=str(own)), built, {}, seed=0)
    with pytest.raises(InputError, match="is a situation that trains"):
        _ = Speech(material).openings


def test_daily_dialog_starts_conversations(shared_data: Path, built: list[Scene]) -> None:
    source = f"dailydialog:{shared_data / 'dailydialog'}"
    found = openings(24, 0, source)
    assert len(found) == len({o.text for o in found}) == 24
    assert len({o.area for o in found}) >= 5


def test_holds_puts_the_same_openings_in_ten_ways(asked: Speech, tiny: LocalModel) -> None:
    held = Holds(asked.material)
    ways = [way["id"] for way in (*shipped()["breaks"], *shipped()["formats"])]
    assert len(ways) == 10
    assert held.size == 20
    assert held.material.raters is asked.material.raters
    entries = list(held.ask(respondent(tiny), Arm(persona="INFP")))
    rows = rows_of(entries)
    assert rows["cluster"].nunique() == 2
    assert set(rows["sample"].str.partition("/")[0]) == set(ways)
    heard = held.spoken(rows)
    assert list(heard.positions.index.unique(level=0)) == ways
    assert heard.positions.shape == (20, 4)
    formed = heard.manner["form"].dropna().index.unique(level=0)
    assert set(formed) == set(FORMS)
    assert rows[rows["metric"] == "form:0"]["state"].eq("ok").all()
    said = {t.sample: t.prompt[0].content for t in entries if isinstance(t, Transcript)}
    assert all("{opening}" not in text for text in said.values())
    bare = {o.id: o.text for o in openings()}
    assert all(bare[sample.partition("/")[2]] in text for sample, text in said.items())


def test_a_planted_voice_is_heard(built: list[Scene]) -> None:
    rater = speech.train(built, catalog())
    measuring = scenes.select(scenes.load("starter/mbti"), "measure", 10)
    said = {n: rater([s.replies[n] for s in measuring]) for n in ("INFP", "ESTJ")}
    for scale, (positive, _) in DICHOTOMIES.items():
        side = 1 if positive in "INFP" else -1
        assert side * (said["INFP"][scale].mean() - said["ESTJ"][scale].mean()) > 0.3


def test_the_files_of_the_room_are_packaged() -> None:
    assert (Path(measure.__file__).parent / "openings.yaml").is_file()
