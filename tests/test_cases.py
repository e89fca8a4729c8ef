"""Small inputs that went wrong elsewhere (../shared/cases): each gives its right value here."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner

from personalign.cli import app
from personalign.errors import PersonalignError

CASES = Path(__file__).parents[2] / "shared" / "cases"
IMPORT = "read it with `personalign corpus import FILE"
READ = None
"""The command ends without an error."""


def case(number: str, command: str, said: str | None) -> object:
    return pytest.param(number, command.split(), said, id=f"{number} {command}")


@pytest.mark.parametrize(
    ("number", "command", "said"),
    [
        case("02", "corpus check pairs.jsonl", IMPORT),
        case("02", "train study.yaml INFP", IMPORT),
        case("02", "corpus import pairs_string_prompt.jsonl --out read.jsonl", READ),
        case("03", "corpus check pairs.jsonl", r"pairs.jsonl:1: .*must be one message"),
        case("05", "corpus check pairs.json", IMPORT),
        case("05", "corpus check pairs_one_line.json", READ),
        case("05", "corpus import pairs.jsonl --out read.jsonl", READ),
        case("06", "corpus check pairs.jsonl", IMPORT),
        case("06", "corpus import pairs.jsonl --out read.jsonl", READ),
        case("08", "corpus check pairs.jsonl", READ),
        case("08", "corpus check utf16.jsonl", "utf16.jsonl is UTF-16"),
        case("09", "corpus check pairs.jsonl.gz", READ),
        case("09", "corpus check pairs.parquet", READ),
        case("09", "corpus import pairs.csv --out read.jsonl", READ),
        case("11", "train study.yaml INFP", r"pairs.jsonl:1: .*ends in '<\|im_end\|>'"),
        case("12", "train study.yaml INFP", r"pairs.jsonl:3: .*9957 tokens.*take the line out"),
        case("12", "train study_contradict.yaml INFP", r"pairs_contradict.jsonl:1: .*contradicts"),
        case("27", "study plan study_bom.yaml", READ),
        case("27", "study plan study_folder.yaml", READ),
        case("27", "study plan study_socialIQa_v1.yaml", READ),
        case("27", "study plan study_u2028.yaml", READ),
        case("27", "study plan study_zero.yaml", r"dev.jsonl:1: label '0' of item 1 names no"),
        case("28", "study plan study_eq_json.yaml", READ),
        case("28", "study plan study_eq_jsonl.yaml", READ),
        case("30", "study plan study.yaml", "study.yaml:9: key 'training' stands twice.*line 7"),
        case("32", "corpus check pairs.jsonl", r"pairs.jsonl:2: "),
        case("32", "corpus check pairs_space.jsonl", r"pairs_space.jsonl:2: .*is blank"),
        case("32", "corpus check pairs_zero_width.jsonl", r"zero_width.jsonl:2: .*is blank"),
        case("32", "corpus check pairs_space.jsonl --skip-bad", READ),
        case("32", "train study_space.yaml INFP --skip-bad", READ),
        case("35", "corpus check pairs.jsonl", r"pairs.jsonl:3: .*must be the user's"),
        case("42", "study plan study_ppl.yaml", r"plain.jsonl:1: a string, not a JSON object"),
        case("42", "study plan study_inv.yaml", r"own.yaml:1: "),
        case("42", "study plan study_norway.yaml", r"name: Input should be a valid string"),
        case("42", "corpus scenes dailydialog:dd.jsonl --out o.jsonl", "not UTF-8.*CP1252"),
    ],
)
def test_a_case_gives_its_right_value(
    number: str,
    command: list[str],
    said: str | None,
    tiny_base: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = copied(number, tmp_path)
    for study in folder.glob("*.yaml"):
        study.write_bytes(study.read_bytes().replace(b"BASES/plain", str(tiny_base).encode()))
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PERSONALIGN_CACHE", str(tmp_path / "cache"))
    check(command, said)


def copied(number: str, into: Path) -> Path:
    """The case's folder, where it may be written in."""
    found = sorted(CASES.glob(f"{number}-*"))
    if not found:
        pytest.skip(f"no case {number} in ../shared/cases")
    folder = into / "case"
    shutil.copytree(found[0], folder, copy_function=shutil.copyfile)
    folder.chmod(0o755)
    return folder


def check(command: list[str], said: str | None) -> str:
    """What the command printed, once it has ended as it should."""
    done = CliRunner().invoke(app, command)
    if said is READ:
        assert isinstance(done.exception, SystemExit | None), done.exception
        return done.output
    assert isinstance(done.exception, PersonalignError)
    with pytest.raises(PersonalignError, match=said):
        raise done.exception
    assert "\n" not in str(done.exception)
    return done.output


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the cases' own scripts make: bases with other families' templates, foreign adapters."""
    if not (CASES / "bases.py").exists():
        pytest.skip("no ../shared/cases")
    out = tmp_path_factory.mktemp("made")
    for script, *arguments in (("bases.py", out / "bases"), ("adapters.py", out / "bases", out)):
        subprocess.run([sys.executable, CASES / script, *arguments], check=True, cwd=CASES)
    return out


@pytest.mark.parametrize(
    ("number", "command", "said"),
    [
        case("14", "train study.yaml INFP", READ),
        case("18", "verify study.yaml", "14 of the 14 layers that it updates are not in the base"),
        case("18", "verify study_half.yaml", "7 of the 14 layers"),
        case("20", "verify study.yaml", "no update of a linear layer: .*embed_tokens"),
        case("20", "verify study_resized.yaml", "no update of a linear layer: .*embed_tokens"),
        case("44", "study run study.yaml", READ),
        case("45", "train study_train.yaml INFP", READ),
    ],
)
def test_other_families_bases_and_other_tools_adapters(
    number: str,
    command: list[str],
    said: str | None,
    made: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = copied(number, tmp_path)
    for adapters in made.glob(f"{number}-*"):
        shutil.copytree(adapters, folder, dirs_exist_ok=True)
    for study in folder.glob("*.yaml"):
        text = study.read_bytes().replace(b"BASES", str(made / "bases").encode())
        study.write_bytes(text.replace(b"../00-control/pairs.jsonl", b"pairs.jsonl"))
    if number == "45":
        shutil.copyfile(next(CASES.glob("14-*")) / "pairs.jsonl", folder / "pairs.jsonl")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PERSONALIGN_CACHE", str(tmp_path / "cache"))
    check(command, said)
    if number == "44":
        assert (folder / "runs" / "full2" / "report" / "index.html").exists()


def test_a_system_prompt_reaches_a_base_whose_template_drops_it(made: Path) -> None:
    from personalign.models.chat import open_chat
    from personalign.records import Message

    chat = open_chat(str(made / "bases" / "nosystem"))
    said = (Message(role="system", content="You are INFP."), Message(role="user", content="Hi"))
    assert "You are INFP." in chat.tokenizer.decode(chat.prompt(said))


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """The pages of the crawling cases, and the host that one of them moved to."""
    if not (CASES / "site.py").exists():
        pytest.skip("no ../shared/cases")
    server = subprocess.Popen([sys.executable, CASES / "site.py"], stderr=subprocess.DEVNULL)
    try:
        for port in (8191, 8192):
            answers(port)
        yield "http://127.0.0.1:8191"
    finally:
        server.kill()


def answers(port: int) -> None:
    for _ in range(100):
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(port)


@pytest.mark.parametrize(
    ("number", "kept", "failed"),
    [
        ("23", ("", "second"), {"data": "not HTML", "feed": "not HTML", "notes": "not HTML"}),
        ("24", ("", "0", "1", "2", "3"), {}),
        ("39", (), {"": "no text without JavaScript"}),
    ],
)
def test_every_page_is_kept_or_refused_with_its_reason(
    number: str, kept: tuple[str, ...], failed: dict[str, str], site: str, tmp_path: Path
) -> None:
    command = f"-m personalign corpus crawl {site}/{number}/ --out {tmp_path} --allow-local"
    subprocess.run([sys.executable, *command.split(), "--delay", "0"], capture_output=True)
    pages = {path(line, number): line for line in lines(tmp_path / "pages.jsonl")}
    failures = {path(line, number): line for line in lines(tmp_path / "failures.jsonl")}
    assert set(pages) == set(kept)
    assert set(failures) == set(failed)
    assert all(failed[page] in failures[page]["reason"] for page in failed)


def lines(file: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def path(line: dict[str, str], number: str) -> str:
    return urlsplit(line["url"]).path.removeprefix(f"/{number}/")
