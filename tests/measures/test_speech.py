"""Free replies to other people's openings: who is heard in them, by raters that saw neither."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from personalign.corpus import scenes
from personalign.errors import InputError, ModelError
from personalign.measures import Material, Measures
from personalign.measures import speech as measure
from personalign.measures.speech import Speech, openings
from personalign.models.local import LocalModel
from personalign.models.respondent import respondent
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
    return Speech(Material(Measures(openings=4, draws=2), built, {}, seed=3))


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
    columns = ["sample", "cluster", "metric", "value", "state"]
    rows = [pd.DataFrame([e for e in b if isinstance(e, tuple)], columns=columns) for b in both]
    places = [asked.positions(r) for r in rows]
    assert places[0].shape == (4, 4)
    assert places[0].abs().max().max() <= 1
    pd.testing.assert_frame_equal(*places)
    named = {m.partition(":")[0] for m in rows[1]["metric"]} - {
        m.partition(":")[0] for m in rows[0]["metric"]
    }
    assert named == {"named"}
    assert {"tokens:0", "ended:1", "empty:0", "repeated:1"} <= set(rows[0]["metric"])


def test_a_planted_voice_is_heard(built: list[Scene]) -> None:
    rater = speech.train(built, catalog())
    measuring = scenes.select(scenes.load("starter/mbti"), "measure", 10)
    said = {n: rater([s.replies[n] for s in measuring]) for n in ("INFP", "ESTJ")}
    for scale, (positive, _) in DICHOTOMIES.items():
        side = 1 if positive in "INFP" else -1
        assert side * (said["INFP"][scale].mean() - said["ESTJ"][scale].mean()) > 0.3


def test_the_files_of_the_room_are_packaged() -> None:
    assert (Path(measure.__file__).parent / "openings.yaml").is_file()
