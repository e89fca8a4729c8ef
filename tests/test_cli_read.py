"""`personalign read`: two replies, one question, nothing given away, nothing obeyed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from personalign import report
from personalign.cli.main import app
from personalign.cli.show import printable
from personalign.records import Message, Transcript, to_jsonl

EVIL = "\x1b]0;owned\x07\x1b[2J[bold]loud[/bold] :warning: \u202egnp"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    (folder / "replies").mkdir(parents=True)
    for slug, persona, condition in (("base", "", "base"), ("INFP-adapter", "INFP", "adapter")):
        lines = [
            Transcript(
                persona=persona, condition=condition, task="speech", sample=f"work-0{k}",  # type: ignore[arg-type]
                prompt=(Message(role="user", content=f"Question {k} {EVIL}"),), tokens=4, seed=0,
                reply=f"Words of {'moss' if persona else 'stone'} {k} {EVIL}",
            )
            for k in range(3)
        ]  # fmt: skip
        (folder / "replies" / f"{slug}.speech.jsonl").write_text(to_jsonl(lines))
    manifest = {"study": {"name": "s"}, "system_prompts": {"INFP": f"You wander. {EVIL}"}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_reading_shows_text_as_text_and_goes_on(run: Path) -> None:
    args = ["read", str(run), "--reader", "anna"]
    found = CliRunner().invoke(app, args, input="1\nx\n2\nq\n")
    assert found.exit_code == 0, found.output
    assert not {"\x1b", "\x07", "\u202e"} & set(found.stdout)
    assert "[bold]loud[/bold]" in found.stdout
    assert ":warning:" in found.stdout
    assert found.stdout.count("You wander.") == 1
    assert "adapter" not in found.stdout.partition("2 read")[0]
    assert len((run / "readings" / "anna.jsonl").read_text().splitlines()) == 2
    again = CliRunner().invoke(app, args, input="1\n")
    assert "1 read" in again.stdout
    assert "0 read" in CliRunner().invoke(app, args).stdout


def test_an_end_of_input_stops_and_results_are_json(run: Path) -> None:
    args = ["read", str(run), "--reader", "bert", "--json"]
    found = CliRunner().invoke(app, args, input="1\n1\n")
    assert found.exit_code == 0
    assert len((run / "readings" / "bert.jsonl").read_text().splitlines()) == 2
    rows = json.loads(CliRunner().invoke(app, ["read", str(run), "--json"]).stdout)
    assert [(r["who"], r["what"], r["n"]) for r in rows] == [
        ("all", "tells INFP adapter from base", 2),
        ("bert", "tells INFP adapter from base", 2),
    ]


def test_the_report_shows_what_was_read(run: Path) -> None:
    before = report.build(run).read_text(encoding="utf-8")
    assert 'id="reading"' not in before
    for reader in ("anna", "bert"):
        CliRunner().invoke(app, ["read", str(run), "--reader", reader], input="1\n1\n1\n")
    page = report.build(run).read_text(encoding="utf-8")
    section = page[page.index('id="reading"') :]
    assert "INFP · adapter against base: told in" in section
    assert "of 6 readings" in section
    assert "anna" in section


@pytest.mark.parametrize(
    ("option", "told"),
    [
        (["--persona", "INFJ"], "unknown persona 'INFJ'"),
        (["--condition", "x"], "unknown condition"),
    ],
)
def test_who_is_not_there_is_named(run: Path, option: list[str], told: str) -> None:
    found = CliRunner().invoke(app, ["read", str(run), "--reader", "anna", *option])
    assert told in str(found.exception)


def test_a_run_without_replies_is_named(tmp_path: Path) -> None:
    found = CliRunner().invoke(app, ["read", str(tmp_path), "--reader", "anna"])
    assert "holds no replies of a persona" in str(found.exception)


def test_printable_keeps_lines_and_letters() -> None:
    assert printable("Grüße,\n안녕 – “ok”") == "Grüße,\n안녕 – “ok”"
    assert printable("a\x1b[31m[red]b") == "a?[31m\\[red]b"
