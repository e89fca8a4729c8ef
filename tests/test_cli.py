"""The command line: help at once, errors in one line with exit code 2."""

from __future__ import annotations

import copy
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from safetensors.torch import save_file
from transformers import GenerationConfig
from typer.testing import CliRunner

from personalign.cli import app
from personalign.findings import NOTHING
from personalign.judges.calibration import measured
from personalign.judges.labelled import Labelled
from personalign.judges.verdict import Verdict
from personalign.models.local import LocalModel

CODE = "from personalign.cli import main; main()"


def commands(group: Any, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command that can be called, by the words that call it."""
    for name, found in group.commands.items():
        if hasattr(found, "commands"):
            yield from commands(found, (*before, name))
        else:
            yield (*before, name)


COMMANDS = list(commands(typer.main.get_command(app)))


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
def test_help_says_what_is_read_and_written_with_an_example(command: tuple[str, ...]) -> None:
    said = CliRunner().invoke(app, [*command, "--help"]).output
    assert "Reads" in said
    assert "writes" in said
    assert "Example: personalign" in " ".join(said.split())


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["personas", "show", "INPF"], "unknown persona 'INPF'"),
        (["study", "run", "nowhere.yaml"], "cannot read nowhere.yaml"),
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


def test_doctor_says_what_a_bases_template_does(embedded: LocalModel, tmp_path: Path) -> None:
    tokenizer = copy.deepcopy(embedded.tokenizer)
    tokenizer.chat_template = (
        "{% for m in messages %}{% if loop.last and m.role == 'user' %}LAST{% endif %}"
        "<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>"
    )
    tokenizer.save_pretrained(tmp_path)
    GenerationConfig(temperature=0.6, repetition_penalty=1.3, do_sample=True).save_pretrained(
        tmp_path
    )
    save_file({}, tmp_path / "model.safetensors")
    done = cli("doctor", "--base", str(tmp_path), "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 1
    assert found["system"] == "lost"
    assert "differently once a reply follows" in found["refused"]
    assert found["left_out"] == {"do_sample": True, "repetition_penalty": 1.3, "temperature": 0.6}
    good = json.loads(cli("doctor", "--base", "embedded", "--json").stdout)
    assert (good["system"], good["thoughts"], good["refused"]) == ("own message", "none", "")


def test_evaluate_counts_samples_and_says_how_far_judges_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def contrast(task: str, metric: str, missing: dict[str, int]) -> dict[str, object]:
        arms = {"a": {"persona": "", "condition": "base"},
                "b": {"persona": "INFP", "condition": "adapter"}}  # fmt: skip
        found = {"difference": 0.5, "low": 0.25, "high": 0.75, "p_adjusted": 0.01, "n": 37,
                 "test": "sign-flip", "method": "sign-flip", "discordant": 20}  # fmt: skip
        return {"task": task, "metric": metric, **arms, **found, "missing": missing}

    rows = [Labelled(prompt="p", response="r", is_safe=k > 1) for k in range(4)]
    said = [Verdict(outcome="unsafe" if k in (0, 2) else "safe") for k in range(4)]
    known = measured("strict:[bold]x", "mine", rows, said, "new to the judge")
    (tmp_path / "calibrations").mkdir()
    (tmp_path / "calibrations" / "known.json").write_text(known.model_dump_json())
    contrasts = [
        contrast("known", "unsafe", {"judge_error": 2, "unparsed": 1}),
        contrast("unknown", "hostility", {}),
        contrast("social", "correct", {}),
    ]
    whole = NOTHING.model_dump(mode="json") | {"contrasts": contrasts}
    (tmp_path / "analysis.json").write_text(json.dumps(whole))
    monkeypatch.setenv("COLUMNS", "200")
    importlib.import_module("personalign.cli.main")._show_analysis(tmp_path, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[-2:] == ["n", "missing"]
    assert lines[1].rstrip().endswith("37  2 judge_error, 1 unparsed")
    assert lines[4:] == [
        f"known: {known.summary()}",
        "unknown: its judge's agreement was not measured",
    ]
    assert "judge strict:[bold]x: sensitivity 0.500" in lines[4]


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
