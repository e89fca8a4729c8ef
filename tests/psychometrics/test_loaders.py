"""What users bring is read as it is passed around, and faults are told with file and line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from personalign.errors import InputError
from personalign.psychometrics.loaders import (
    bring,
    ipip_neo,
    keyed_csv,
    mpi_csv,
    psychobench,
    read_key,
)
from personalign.psychometrics.norms import against_norms

QUESTIONS = 'No.,Questions\n1,"You greet, loudly."\n2,You hum.\n3,You read maps.\n'
KEY = "item,sign,scale\n1,1,EI\n2,1,\n3,-1,SN\n"


def put(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_csv_with_its_key(tmp_path: Path) -> None:
    questions = put(tmp_path, "q.csv", "\ufeff" + QUESTIONS)
    found = bring(questions, put(tmp_path, "key.csv", KEY))
    assert [(i.id, i.scale, found.sign(i)) for i in found.items] == [
        ("1", "EI", 1),
        ("3", "SN", -1),
    ]
    assert found.scales["SN"].positive == "N"
    assert found.span == (1, 7)


def test_a_key_in_yaml_names_poles_and_range(tmp_path: Path) -> None:
    key = (
        "name: own\nlowest: 0\nhighest: 4\n"
        "scales: {calm: {positive: calm, negative: tense, title: calm}}\n"
        "items:\n  '1': {scale: calm, sign: -1}\n  '2': {scale: null}\n  '3': {scale: calm}\n"
    )
    found = keyed_csv(put(tmp_path, "q.csv", QUESTIONS), read_key(put(tmp_path, "k.yaml", key)))
    assert (found.span, found.scales["calm"].negative) == ((0, 4), "tense")


@pytest.mark.parametrize(
    ("questions", "key", "message"),
    [
        ("No,Questions\n1,a\n", KEY, r"q.csv:1: no column 'No.' — its columns are: No, Questions"),
        (QUESTIONS + "4,More.\n", KEY, r"q.csv:5: No. 4 has no key in 'k'"),
        (QUESTIONS + "1,More.\n", KEY, r"q.csv:5: No. 1 stands twice"),
        (QUESTIONS + ",More.\n", KEY, r"q.csv:5: No. is empty"),
        (QUESTIONS, KEY + "1,1,EI\n", r"k.csv:5: item '1' is keyed twice"),
        (QUESTIONS, KEY + "9,1,EI\n", r"q.csv: no question '9', which is keyed"),
        (QUESTIONS, "item,sign,scale\n1,2,EI\n", r"k.csv:2: sign is '2' — write 1 or -1"),
    ],
)
def test_faults_of_a_keyed_csv(tmp_path: Path, questions: str, key: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        bring(put(tmp_path, "q.csv", questions), put(tmp_path, "k.csv", key))


def test_mpi(tmp_path: Path) -> None:
    head = "label_raw,text,label_ocean,key\n"
    found = mpi_csv(put(tmp_path, "mpi.csv", head + "x,Hum songs,O,1\nx,Shun maps,C,-1\n"))
    assert [(i.scale, i.key) for i in found.items] == [("openness", 1), ("conscientiousness", -1)]
    assert found.span == (1, 5)
    with pytest.raises(InputError, match=r"mpi.csv:2: label_ocean is 'Z'"):
        mpi_csv(put(tmp_path, "mpi.csv", head + "x,Hum songs,Z,1\n"))
    with pytest.raises(InputError, match=r"mpi.csv:3: text is empty"):
        mpi_csv(put(tmp_path, "mpi.csv", head + "x,Hum,O,1\nx,,O,1\n"))


def battery(**changes: Any) -> str:
    entry = {
        "name": "Own",
        "questions": {"1": "I hum.", "2": "I frown."},
        "inner_setting": "Reply with numbers from 1 to 7.",
        "scale": 8,
        "reverse": [2],
        "categories": [{"cat_name": "Mirth", "cat_questions": [1, 2]}],
    }
    return json.dumps([entry | changes], indent=1)


def test_psychobench(tmp_path: Path) -> None:
    found = bring(put(tmp_path, "b.json", battery()), name="Own")
    assert [found.sign(i) for i in found.items] == [1, -1]
    assert (found.span, list(found.scales)) == ((1, 7), ["Mirth"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scale": 6}, r"b.json:9: 0.scale: is 6, not 1 \+ 7"),
        ({"inner_setting": "Reply."}, r"b.json:8: 0.inner_setting: does not say"),
        ({"categories": [{"cat_name": "M", "cat_questions": [1, 3]}]}, r"b.json:18: .*question 3"),
        ({"categories": [{"cat_name": "M", "cat_questions": [1, 1]}]}, r"b.json:18: .*two cat"),
        ({"categories": [{"cat_name": "M"}]}, r"categories.0: no 'cat_name' and 'cat_questions'"),
        ({"inner_setting": "From 7 to 1."}, r"answers from 7 to 1 have no range"),
    ],
)
def test_faults_of_psychobench(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        psychobench(put(tmp_path, "b.json", battery(**changes)), "Own")


def test_reversed_numbers_may_be_text(tmp_path: Path) -> None:
    found = psychobench(put(tmp_path, "b.json", battery(reverse=["2"])), "Own")
    assert [i.key for i in found.items] == [1, -1]


def test_an_unknown_questionnaire(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'Own'"):
        psychobench(put(tmp_path, "b.json", battery()), "own")


def test_faults_of_ipip_items(tmp_path: Path) -> None:
    entries = [{"id": "a", "text": "Hum", "keyed": "plus", "domain": "O"}]
    entries.append(entries[0] | {"keyed": "both"})
    path = put(tmp_path, "i.json", json.dumps(entries, indent=1))
    with pytest.raises(InputError, match=r"i.json:11: 1.keyed: keyed is 'both' — known: plus"):
        ipip_neo(path)
    entries[1] = entries[0] | {"text": ""}
    path = put(tmp_path, "i.json", json.dumps(entries, indent=1))
    with pytest.raises(InputError, match=r"i.json:10: 1.text: String should have at least 1"):
        ipip_neo(path)
    with pytest.raises(InputError, match=r"i.json:2: not JSON"):
        ipip_neo(put(tmp_path, "i.json", "[\n{]"))


def test_lapd_questions_can_be_keyed(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "lapd_personaagent/answering_data/16personality_questions_eng.csv"
    if not path.is_file():
        pytest.skip(f"no {path}")
    key = "item,sign,scale\n" + "".join(f"{n},1,{'EI' if n < 31 else ''}\n" for n in range(1, 61))
    assert len(bring(path, put(tmp_path, "k.csv", key)).items) == 30


@pytest.fixture
def ipip(shared_data: Path) -> Path:
    pytest.importorskip("ipipneo")
    path = shared_data / "ipip/ipip_neo_120_questions_en.json"
    if not path.is_file():
        pytest.skip(f"no {path}")
    return path


def test_norms_are_those_of_the_library(ipip: Path) -> None:
    """Our reversal, by the file's key, gives what the library's own reversal gives."""
    from ipipneo import IpipNeo

    found = ipip_neo(ipip)
    answers = [1 + (7 * k + k // 11) % 5 for k in range(120)]
    rows = [{"id_question": k, "id_select": a} for k, a in enumerate(answers, start=1)]
    theirs = IpipNeo(question=120).compute(sex="F", age=45, answers={"answers": rows})
    by_name = {k: v for d in theirs["person"]["result"]["personalities"] for k, v in d.items()}
    given = {item.id: float(a) for item, a in zip(found.items, answers, strict=True)}
    for score in against_norms(given, found, sex="F", age=45):
        expected = by_name[score.scale][score.scale[0].upper()]
        assert score.percentile == pytest.approx(min(99, max(1, expected)))
        assert len(score.facets) == 6


def test_norms_follow_the_trait_and_take_expected_values(ipip: Path) -> None:
    found = ipip_neo(ipip)
    calm = {i.id: 3 - 1.5 * i.key if i.scale == "neuroticism" else 3.4 for i in found.items}
    scores = {s.scale: s.percentile for s in against_norms(calm, found)}
    tense = {i.id: 3 + 1.5 * i.key if i.scale == "neuroticism" else 3.4 for i in found.items}
    assert scores["neuroticism"] is not None
    assert scores["neuroticism"] < 5
    worried = {s.scale: s.percentile for s in against_norms(tense, found)}["neuroticism"]
    assert worried is not None
    assert worried > 95


def test_norms_say_what_is_missing(ipip: Path) -> None:
    found = ipip_neo(ipip)
    answers: dict[str, float | None] = {i.id: 3.0 for i in found.items}
    answers[found.items[5].id] = None
    scores = against_norms(answers, found)
    assert {s.percentile for s in scores} == {None}
    assert scores[0].reason is not None
    assert "1 of 120" in scores[0].reason


def test_norms_refuse_what_they_do_not_fit(ipip: Path) -> None:
    found = ipip_neo(ipip)
    turned = found.model_copy(update={"items": found.items[::-1]})
    with pytest.raises(InputError, match="not IPIP-NEO-120 or -300 in its order"):
        against_norms({}, turned)
    with pytest.raises(InputError, match="age 9"):
        against_norms({}, found, age=9)
    with pytest.raises(InputError, match="answers are 1 to 5"):
        against_norms({i.id: 6.0 for i in found.items}, found)
