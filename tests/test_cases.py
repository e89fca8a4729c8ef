"""Small inputs that went wrong elsewhere (../shared/cases): each gives its right value here."""

from __future__ import annotations

import shutil
from pathlib import Path

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
    found = sorted(CASES.glob(f"{number}-*"))
    if not found:
        pytest.skip(f"no case {number} in ../shared/cases")
    folder = tmp_path / "case"
    shutil.copytree(found[0], folder, copy_function=shutil.copyfile)
    folder.chmod(0o755)
    for study in folder.glob("*.yaml"):
        text = study.read_bytes().replace(b"BASES/plain", str(tiny_base).encode())
        study.write_bytes(text)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PERSONALIGN_CACHE", str(tmp_path / "cache"))
    done = CliRunner().invoke(app, command)
    if said is READ:
        assert isinstance(done.exception, SystemExit | None), done.exception
        return
    assert isinstance(done.exception, PersonalignError)
    with pytest.raises(PersonalignError, match=said):
        raise done.exception
    assert "\n" not in str(done.exception)
