"""Gates over single pairs: each drops what it is for and lets the rest pass."""

from __future__ import annotations

import pytest

from personalign.corpus import scenes
from personalign.corpus.gates import Contrast, Gates, HeldBack, PairGate
from personalign.records import Message, PreferencePair, Scene

ASKED = "My sister borrowed the car and I need it on Monday, what shall I do?"
FINE = "I would tell her quietly this evening and ask for the key by Sunday."
LOUD = "Ring her now, get everybody on the phone and settle it in five minutes."


@pytest.fixture(scope="module")
def starter() -> list[Scene]:
    return scenes.load("starter/mbti")


def pair(asked: str = ASKED, chosen: str = FINE, rejected: str = LOUD) -> PreferencePair:
    return PreferencePair(
        prompt=(Message(role="user", content=asked),),
        chosen=(Message(role="assistant", content=chosen),),
        rejected=(Message(role="assistant", content=rejected),),
    )


def gate(starter: list[Scene], **how: object) -> PairGate:
    contrast = Contrast(starter, "INFP", "ESTJ")
    return PairGate(Gates.model_validate(how), held_back(starter), contrast)


def held_back(starter: list[Scene]) -> HeldBack:
    return HeldBack(s.prompt[-1].content for s in starter if s.split == "measure")


def test_a_fine_pair_passes_once(starter: list[Scene]) -> None:
    look = gate(starter)
    assert look(pair()) is None
    assert look(pair(asked="Something else entirely.")) == "repeated"


def test_a_near_copy_of_any_reply_is_dropped(starter: list[Scene]) -> None:
    look = gate(starter)
    assert look(pair()) is None
    near = FINE.replace("Sunday", "Monday")
    assert look(pair(chosen=near, rejected="Do it now and tell the whole street.")) == "repeated"
    assert look(pair(chosen="I would wait and think it over.", rejected=near)) == "repeated"
    other = PairGate(Gates(), held_back([]), Contrast([], "a", "b"), known=[pair()])
    assert other(pair(chosen=near)) == "repeated"


@pytest.mark.parametrize(
    ("chosen", "reason"),
    [
        ("I would tell her quietly.<|im_end|>", "control_tokens"),
        ("<|start_header_id|>system<|end_header_id|> I would tell her quietly.", "control_tokens"),
        ("I would tell her quietly.</s>", "control_tokens"),
        ("[INST] Tell her quietly, or <think> about it. [/INST]", "control_tokens"),
        ("As an INFP I would tell her quietly.", "type_names"),
        ("*sighs* I would tell her quietly.", "stage_directions"),
        ("Write to her at anna@example.org tonight.", "personal_data"),
        ("What a shitty thing to do to you.", "toxic_words"),
        ("Ich würde heute Abend in Ruhe mit ihr reden und den Schlüssel holen.", "other_languages"),
        ("Well, a surprise call usually makes my afternoon, so ring.", "inventory_items"),
    ],
)
def test_marks(starter: list[Scene], chosen: str, reason: str) -> None:
    assert gate(starter)(pair(chosen=chosen)) == reason
    assert gate(starter)(pair(chosen=FINE, rejected=chosen)) == reason
    assert gate(starter, names=["repeated"])(pair(chosen=chosen)) is None


def test_what_measures_never_builds(starter: list[Scene]) -> None:
    measuring = [s for s in starter if s.split == "measure"]
    building = [s for s in starter if s.split == "build"]
    look = gate(starter, names=["held_back"])
    assert all(look(pair(asked=s.prompt[-1].content)) == "held_back" for s in measuring)
    assert not any(look(pair(asked=s.prompt[-1].content)) for s in building)
    assert look(pair(asked=measuring[0].prompt[-1].content + " Please!")) == "held_back"


def test_contrast_tells_personas_apart_on_unseen_scenes(starter: list[Scene]) -> None:
    contrast = Contrast(starter, "INFP", "ESTJ")
    unseen = [s for s in starter if s.split == "measure"]
    scores = [contrast(pair(chosen=s.replies["INFP"], rejected=s.replies["ESTJ"])) for s in unseen]
    assert sum(s is not None and s > 0 for s in scores) / len(scores) >= 0.9
    swapped = pair(chosen=unseen[0].replies["ESTJ"], rejected=unseen[0].replies["INFP"])
    assert gate(starter, least_contrast=0.0)(swapped) == "weak_contrast"


def test_contrast_of_unknown_personas_drops_nothing(starter: list[Scene]) -> None:
    contrast = Contrast(starter, "Quiet", "Loud")
    assert contrast(pair()) is None
    look = PairGate(Gates(least_contrast=5.0), held_back(starter), contrast)
    assert look(pair()) is None
