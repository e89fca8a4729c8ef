"""Single-trait pairs out of a factorial corpus."""

from __future__ import annotations

from pathlib import Path

import pytest

from personalign.corpus.pairs import trait_pairs
from personalign.corpus.scenes import load, select
from personalign.errors import CorpusError, InputError
from personalign.files import read_records
from personalign.records import PreferencePair, Scene

SCENES = select(load("starter/mbti"), "build", 3)


@pytest.mark.parametrize(
    ("dichotomy", "pole"), [(d, p) for d in ("EI", "SN", "TF", "JP") for p in d]
)
def test_pairs_differ_in_one_letter_and_no_other(dichotomy: str, pole: str) -> None:
    pairs = trait_pairs(SCENES, dichotomy, pole)
    assert len(pairs) == 8 * len(SCENES)
    other = dichotomy.replace(pole, "")
    for pair in pairs:
        chosen, rejected = str(pair.origin["persona"]), str(pair.origin["opposite"])
        differing = [(a, b) for a, b in zip(chosen, rejected, strict=True) if a != b]
        assert differing == [(pole, other)]
    scene = SCENES[0]
    texts = {p.chosen[0].content for p in pairs if p.origin["scene"] == scene.id}
    assert texts == {text for name, text in scene.replies.items() if pole in name}


def test_the_command_writes_pairs_that_a_study_reads(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from personalign.cli import app

    file = tmp_path / "I.jsonl"
    options = ["corpus", "trait", "I", "--out", str(file), "--scenes", "3"]
    assert CliRunner().invoke(app, options).exit_code == 0
    assert read_records(file, PreferencePair) == trait_pairs(SCENES, "EI", "I")


def test_unknown_traits_and_measuring_scenes_are_refused() -> None:
    with pytest.raises(InputError, match=r"unknown dichotomy 'IE'.*did you mean 'EI'"):
        trait_pairs(SCENES, "IE", "E")
    with pytest.raises(InputError, match="unknown pole 'N' in EI"):
        trait_pairs(SCENES, "EI", "N")
    with pytest.raises(CorpusError, match="must not build"):
        trait_pairs(select(load("starter/mbti"), "measure", 1), "EI", "E")
    alone: list[Scene] = [s.model_copy(update={"replies": {"INFP": "x"}}) for s in SCENES]
    with pytest.raises(CorpusError, match="differ in EI only"):
        trait_pairs(alone, "EI", "E")
