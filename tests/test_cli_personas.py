"""`personalign personas new`: writes one file, never over another; errors exit with 2."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from personalign.cli import main
from personalign.personas import read


def run(monkeypatch: pytest.MonkeyPatch, *args: str) -> int:
    monkeypatch.setattr(sys, "argv", ["personalign", "personas", *args])
    with pytest.raises(SystemExit) as exit_:
        main()
    return int(exit_.value.code or 0)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_new_persona_can_be_shown(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "new", "baker") == 0
    assert capsys.readouterr().out == "baker.yaml\n"
    assert run(monkeypatch, "show", "baker.yaml") == 0
    assert capsys.readouterr().out.startswith("baker: …\n\nYou are someone who …\n")


def test_from_a_persona_into_a_file(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, "new", "baker", "--from", "night_mechanic", "--out", "a/b.yml") == 0
    first = read(here / "a" / "b.yml")
    assert first.name == "baker"
    assert "brakes that hold" in first.values
    assert run(monkeypatch, "new", "cook", "--from", "a/b.yml") == 0
    assert read(here / "cook.yaml").identity == first.identity


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["a b"], "'a b' cannot name a persona"),
        (["INFP"], "'INFP' is in the catalogue"),
        (["baker", "--from", "night_mechanik"], "did you mean 'night_mechanic'?"),
        (["baker", "--from", "nowhere.yaml"], "cannot read nowhere.yaml"),
        (["baker", "--out", "baker.txt"], "baker.txt would not be found"),
        (["baker", "--out", "there.yaml"], "there.yaml is there already"),
        (["baker", "--out", "there.yaml/baker.yaml"], "cannot write there.yaml/baker.yaml"),
    ],
)
def test_errors_are_one_line_and_write_nothing(
    args: list[str],
    said: str,
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (here / "there.yaml").write_text("mine")
    assert run(monkeypatch, "new", *args) == 2
    err = capsys.readouterr().err
    assert said in err
    assert len(err.strip().splitlines()) == 1
    assert [(p.name, p.read_text()) for p in here.iterdir()] == [("there.yaml", "mine")]
