"""The command line: help at once, errors in one line with exit code 2."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

CODE = "from personalign.cli import main; main()"
COMMANDS = [
    ["study", "run"],
    ["study", "plan"],
    ["quickstart"],
    ["train"],
    ["verify"],
    ["evaluate"],
    ["report"],
    ["corpus", "trait"],
    ["adapters", "list"],
    ["adapters", "show"],
    ["adapters", "merge"],
    ["adapters", "compose"],
    ["adapters", "push"],
    ["personas", "list"],
    ["personas", "show"],
    ["personas", "new"],
    ["doctor"],
]


def cli(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", CODE, *args], capture_output=True, text=True)


def test_help_needs_no_heavy_import() -> None:
    code = (
        "import sys\n"
        "try:\n    from personalign.cli import main; sys.argv = ['personalign', '--help']; main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'pandas', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_says_what_is_read_and_written_with_an_example(command: list[str]) -> None:
    from typer.testing import CliRunner

    from personalign.cli import app

    said = CliRunner().invoke(app, [*command, "--help"]).output
    assert "Reads" in said
    assert "writes" in said
    assert "Example: personalign" in " ".join(said.split())


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["personas", "show", "INPF"], "unknown persona 'INPF'"),
        (["study", "run", "nowhere.yaml"], "cannot read study nowhere.yaml"),
        (["report", "nowhere"], "nowhere is no run folder"),
        (["adapters", "list", "nowhere"], "no adapters in nowhere"),
        (["adapters", "compose", "a=x", "--out", "b"], "'a=x' is not FOLDER=WEIGHT"),
    ],
)
def test_errors_are_one_line(args: list[str], said: str) -> None:
    done = cli(*args)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout == ""


def test_a_malformed_corpus_line_is_named(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"id": "a"}\n')
    study = tmp_path / "study.yaml"
    study.write_text(f"name: bad\npersonas: [INFP]\ncorpus: {corpus}\n")
    done = cli("study", "run", str(study), "--out", str(tmp_path / "run"))
    assert done.returncode == 2
    assert f"{corpus}:1: area: Field required" in done.stderr
    assert not (tmp_path / "run").exists()


def test_personas_as_json() -> None:
    done = cli("personas", "list", "--json")
    assert {"INFP", "ESTJ"} <= {p["name"] for p in json.loads(done.stdout)}
    shown = json.loads(cli("personas", "show", "INFP", "--json").stdout)
    assert shown["traits"] == {"EI": -1, "SN": 1, "TF": -1, "JP": -1}
    assert "INFP" not in shown["system_prompt"]


def test_doctor() -> None:
    found = json.loads(cli("doctor", "--json").stdout)
    assert found["dtype"] in {"float32", "bfloat16"}
    assert found["threads"] >= 1


def test_ctrl_c_says_that_the_same_command_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stopped = typer.Typer()

    @stopped.command()
    def work() -> None:
        raise KeyboardInterrupt

    command_line = importlib.import_module("personalign.cli.main")
    codes: list[int] = []
    monkeypatch.setattr(command_line, "app", stopped)
    monkeypatch.setattr(sys, "argv", ["personalign"])
    monkeypatch.setattr(os, "_exit", codes.append)
    command_line.main()
    assert codes == [130]
    assert "the same command goes on" in capsys.readouterr().err
