"""Preference data of other tools comes in as the pairs that it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from personalign.cli import app
from personalign.corpus.formats import import_pairs, read_pairs
from personalign.errors import CorpusError
from personalign.files import read_records
from personalign.records import PreferencePair

ASK, YES, NO = "May I?", "Gladly.", "Never."
USER = {"role": "user", "content": ASK}


def _said(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def _parts(text: str) -> list[dict[str, Any]]:
    return [{"role": "assistant", "name": None, "content": [{"type": "text", "text": text}]}]


FORMS: dict[str, dict[str, Any]] = {
    "implicit": {"chosen": [USER, _said(YES)], "rejected": [USER, _said(NO)]},
    "strings": {"prompt": ASK, "chosen": YES, "rejected": NO},
    "repeated": {"prompt": ASK, "chosen": [USER, _said(YES)], "rejected": [USER, _said(NO)]},
    "sharegpt": {
        "conversations": [{"from": "human", "value": ASK}],
        "chosen": {"from": "gpt", "value": YES},
        "rejected": {"from": "gpt", "value": NO},
    },
    "llama-factory": {"instruction": ASK, "input": "", "chosen": YES, "rejected": NO},
    "two outputs": {"instruction": ASK, "input": " ", "output": [YES, NO]},
    "hh": {
        "chosen": f"\n\nHuman: {ASK}\n\nAssistant: {YES}",
        "rejected": f"\n\nHuman: {ASK}\n\nAssistant: {NO}",
    },
    "parts": {"prompt": [USER], "chosen": _parts(YES), "rejected": _parts(NO)},
    "argilla": {
        "prompt": ASK, "chosen": [USER, _said(YES)], "rejected": [USER, _said(NO)],
        "chosen-rating": 5, "rejected-rating": 1,
    },
    "dialogues": {
        "chosen": [f'"User": "{ASK}"', f'"INFP": "{YES}"', '"User": "Oh"'],
        "rejected": [f'"User": "{ASK}"', f'"INFP": "{NO}"'],
    },
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_a_form_is_read_and_elsewhere_named(tmp_path: Path, form: str) -> None:
    file = tmp_path / "data.json"
    file.write_text(json.dumps([FORMS[form]]))
    (pair,), done = import_pairs(file)
    assert [(m.role, m.content) for m in pair.prompt] == [("user", ASK)]
    assert (pair.chosen[0].content, pair.rejected[0].content) == (YES, NO)
    assert (done.rows, done.kept, len(done.forms)) == (1, 1, 1)
    with pytest.raises(CorpusError, match=r"data\.json:1: .* — .*personalign corpus import"):
        list(read_pairs(file))


def test_bad_rows_are_named_or_left_out_with_a_count(tmp_path: Path) -> None:
    file, out = tmp_path / "data.jsonl", tmp_path / "out.jsonl"
    same = {"prompt": ASK, "chosen": YES, "rejected": YES}
    file.write_text("".join(json.dumps(r) + "\n" for r in (FORMS["strings"], same)))
    with pytest.raises(CorpusError, match=r"data\.jsonl:2: .*equals the rejected one"):
        import_pairs(file)
    command = ["corpus", "import", str(file), "--out", str(out), "--skip-bad", "--json"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["rows"], told["kept"], sum(told["dropped"].values())) == (2, 1, 1)
    assert len(read_records(out, PreferencePair)) == 1


def test_two_files_of_answers_are_the_two_sides(tmp_path: Path) -> None:
    one, two = tmp_path / "i.json", tmp_path / "e.json"
    for file, said in ((one, YES), (two, NO)):
        file.write_text(json.dumps([{"instruction": ASK, "input": " ", "output": said}]))
    (pair,), _ = import_pairs(one, two)
    assert (pair.chosen[0].content, pair.rejected[0].content) == (YES, NO)
