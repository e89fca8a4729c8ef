"""EQ-Bench: both formulas by hand, the references, replies as models really write them."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest

from mockmodel import run, saying
from personalign.errors import CorpusError, InputError
from personalign.evals import emotional, social

EMOTIONS = ["Remorseful", "Indifferent", "Affectionate", "Annoyed"]


def answer(*scores: float) -> dict[str, float]:
    return dict(zip(EMOTIONS, scores, strict=True))


def written(scores: dict[str, float], revised: dict[str, float]) -> str:
    first, second = ("\n".join(f"{e}: {s:g}" for e, s in x.items()) for x in (scores, revised))
    return f"First pass scores:\n{first}\n\nCritique: too low.\n\nRevised scores:\n{second}\n"


def test_version_1_by_hand() -> None:
    reference = answer(0, 6, 0, 4)
    assert emotional.score_v1(reference, answer(0, 6, 0, 4)) == pytest.approx(100)
    assert emotional.score_v1(reference, answer(0, 3, 0, 2)) == pytest.approx(100)  # sum of 5
    # 5, 5, 5, 5 becomes 2.5 each: |2.5| + |3.5| + |2.5| + |1.5| = 10
    assert emotional.score_v1(reference, answer(5, 5, 5, 5)) == pytest.approx(0)
    assert emotional.score_v1(reference, answer(10, 0, 0, 0)) == pytest.approx(-100)
    assert emotional.score_v1(reference, answer(0, 0, 0, 0)) is None


def test_version_2_by_hand() -> None:
    reference = answer(0, 6, 0, 7)
    assert emotional.score_v2(reference, answer(0, 6, 0, 7)) == 100
    # one off by 4: the curve is at its middle, 6.5 / 2; one off by 6: as it is
    off = 10 - 0.7477 * (6.5 / 2 + 6)
    assert emotional.score_v2(reference, answer(0, 2, 6, 7)) == pytest.approx(10 * off)
    near = 6.5 / (1 + math.exp(-1.2 * (1 - 4)))
    assert near < 0.2  # a difference of one is almost forgiven
    assert emotional.score_v2(reference, answer(1, 6, 0, 7)) == pytest.approx(100 - 7.477 * near)


@pytest.mark.slow
def test_formulas_agree_with_lm_eval_where_it_is_installed() -> None:
    utils = pytest.importorskip("lm_eval.tasks.eq_bench.utils")
    reference = {f"emotion{k}": e for k, e in enumerate(EMOTIONS, start=1)}
    reference |= {f"emotion{k}_score": s for k, s in enumerate((0, 6, 3, 7), start=1)}
    doc = {"reference_answer_fullscale": repr(reference)}
    for scores in ((0, 6, 3, 7), (1, 2, 3, 4), (10, 0, 9, 5), (5, 5, 5, 5)):
        text = "\n".join(f"{e}: {s}" for e, s in answer(*scores).items())
        theirs = utils.calculate_score_fullscale(doc, [text])["eqbench"]
        assert emotional.score_v2(answer(0, 6, 3, 7), answer(*scores)) == pytest.approx(theirs)


@pytest.mark.parametrize(
    "reply",
    [
        "First pass scores:\nRemorseful: 2\nIndifferent: 3\nAffectionate: 0\nAnnoyed: 5",
        "**Remorseful:** 2\n**Indifferent:** 3\n**Affectionate:** 0\n**Annoyed:** 5",
        "- Annoyed: 5/10\n- remorseful - 2\n- Indifferent = 3 (a little)\n- Affectionate: 0",
        "1. Remorseful: 2.0\n2. Indifferent: 3\n3. Affectionate: 0\n4. Annoyed: 5 because",
        "Remorseful: <2>\nIndifferent: <3>\nAffectionate: <0>\nAnnoyed: <5>",
        "Remorseful (0-10): 2\nIndifferent [0–10]: 3\nAffectionate: 0 (0-10)\nAnnoyed (0 to 10): 5",
        "First pass scores: Remorseful: 2\nIndifferent: 3\nAffectionate: 0\nAnnoyed: 5",
        "Remorseful: 2, Indifferent: 3, Affectionate: 0, Annoyed: 5",
        "Scores: Remorseful: 2/10; Indifferent: 3 out of 10; Affectionate: 0; Annoyed: 5.",
        "Of 1. Remorseful, 2. Indifferent, 3. Affectionate, 4. Annoyed:\n"
        "Remorseful: 2\nIndifferent: 3\nAffectionate: 0\nAnnoyed: 5\nAnnoyed: 9 is too much",
    ],
)
def test_replies_that_can_be_read(reply: str) -> None:
    assert emotional.parse(reply, EMOTIONS) == {"first": answer(2, 3, 0, 5), "revised": None}


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "Robert feels annoyed.",
        "Remorseful: 2\nIndifferent: 3\nAffectionate: 0",
        "Remorseful: 2\nIndifferent: 3\nAffectionate: 0\nAnnoyed: 50",
        "Remorseful: 2\nIndifferent: 3\nAffectionate: -1\nAnnoyed: 5",
        "Remorseful: <score>\nIndifferent: <score>\nAffectionate: <score>\nAnnoyed: <score>",
        "Remorseful:\nIndifferent: 3\nAffectionate: 0\nAnnoyed: 5",
        "Remorseful, Indifferent, Affectionate, Annoyed: 2, 3, 0, 5",
        "Unremorseful: 2\nIndifferent: 3\nAffectionate: 0\nAnnoyed: 5",
    ],
)
def test_replies_that_cannot(reply: str) -> None:
    assert emotional.parse(reply, EMOTIONS) == {"first": None, "revised": None}


@pytest.mark.parametrize(
    "score", ["3-4", "3 – 4", "0-10", "3 to 4", "3 or 4", "3/5", "3 out of 5", "3 -> 4", "3,5"]
)
def test_of_two_numbers_neither_is_the_score(score: str) -> None:
    reply = f"Indifferent: 3\nAffectionate: 0\nAnnoyed: 5\nRemorseful: {score}\n"
    assert (
        emotional.parse(f"{reply}Critique: Remorseful: 9 is too high.", EMOTIONS)["first"] is None
    )


@pytest.mark.parametrize(
    "heading",
    ["2. Revised scores:\n", "Here are my Revised scores:\n", "**Revised scores**: ", "Revised: "],
)
def test_headings_of_the_revision(heading: str) -> None:
    first, revised = answer(2, 3, 0, 5), answer(0, 6, 0, 7)
    reply = written(first, revised).replace("Revised scores:\n", heading)
    assert emotional.parse(reply, EMOTIONS) == {"first": first, "revised": revised}
    assert emotional.parse(reply[: reply.rindex("Annoyed")], EMOTIONS) == {
        "first": first,
        "revised": None,
    }


def test_both_passes_on_one_line() -> None:
    first, revised = answer(2, 3, 0, 5), answer(0, 6, 0, 7)
    reply = written(first, revised).replace("\n", " ")
    assert emotional.parse(reply, EMOTIONS) == {"first": first, "revised": revised}


def test_a_revision_that_is_announced_is_not_yet_one() -> None:
    reply = (
        "First scores, then my revised scores.\nRemorseful: 2\nIndifferent: 3\nAffectionate: 0\n"
    )
    assert emotional.parse(f"{reply}Annoyed: 5\n", EMOTIONS) == {
        "first": answer(2, 3, 0, 5),
        "revised": None,
    }


def test_passes_are_told_apart() -> None:
    reply = written(answer(2, 3, 0, 5), answer(0, 6, 0, 7)).replace(
        "too low.", "I have revised my view. Revised or not, Annoyed: 9 is too high."
    )
    assert emotional.parse(reply, EMOTIONS) == {
        "first": answer(2, 3, 0, 5),
        "revised": answer(0, 6, 0, 7),
    }


def test_words_about_the_revision_do_not_hide_it() -> None:
    reply = written(answer(2, 3, 0, 5), answer(0, 6, 0, 7)) + "\nRevised because I was too mild."
    assert emotional.parse(reply, EMOTIONS) == {
        "first": answer(2, 3, 0, 5),
        "revised": answer(0, 6, 0, 7),
    }


def test_unread_passes_are_missing_and_not_zero() -> None:
    item = emotional.EmotionalItem(
        id="x", prompt="p", sum_to_ten=answer(0, 6, 0, 4), full_scale=answer(0, 6, 0, 7)
    )
    values = emotional.measure(item, written(answer(0, 6, 0, 7), answer(0, 0, 0, 99)))
    assert set(values) == set(emotional.METRICS)
    assert values["first_v2"] == 100
    assert (values["first_parsed"], values["revised_parsed"]) == (1.0, 0.0)
    assert math.isnan(values["revised_v1"])
    assert math.isnan(values["revised_v2"])


def scored(first: float | None, revised: float | None) -> dict[str, float]:
    values = {"first_v2": first, "revised_v2": revised}
    return {name: math.nan if x is None else x for name, x in values.items()}


@pytest.mark.parametrize(
    ("scores", "final"),
    [
        ([scored(60, 70)] * 20, 70),
        ([scored(70, 60)] * 20, 70),
        ([scored(60, 70)] * 19 + [scored(60, None)], 70),  # 95 % as many
        ([scored(60, 70)] * 18 + [scored(60, None)] * 2, 60),
        ([scored(60, 70)] * 50 + [scored(None, None)] * 10, 70),
        ([scored(60, 70)] * 49 + [scored(None, None)] * 11, None),  # less than 0.8333
        ([scored(None, None)] * 3, None),
        ([scored(-5, None)] * 3, -5),
    ],
)
def test_the_benchmarks_own_score_is_the_better_pass_if_enough_was_read(
    scores: list[dict[str, float]], final: float | None
) -> None:
    found = emotional.final_score(scores, "v2")
    assert math.isnan(found) if final is None else found == pytest.approx(final)


def test_the_benchmarks_own_score_is_in_the_log(tmp_path: Path) -> None:
    items = emotional.read()[:2]
    replies = [written(dict.fromkeys(i.full_scale, 0.0), i.full_scale) for i in items]
    log = run(emotional.eq_bench(), saying(*replies), tmp_path, limit=2)
    assert log.results
    (final,) = (s.metrics for s in log.results.scores if s.name == "eq_score")
    assert {name: m.value for name, m in final.items()} == pytest.approx(
        {"final_v1": 100, "final_v2": 100}
    )


def test_the_shipped_set_asks_in_the_form_that_is_read() -> None:
    items = emotional.read()
    assert len(items) >= 30
    assert emotional.task_name("starter", len(items)) == "starter-emotional"
    for item in items:
        reply = written(item.full_scale, item.sum_to_ten)
        read = emotional.parse(reply, list(item.full_scale))
        assert read["first"] == item.full_scale
        assert emotional.measure(item, reply)["first_v2"] == 100
        assert emotional.measure(item, reply)["first_v1"] == pytest.approx(100)
        assert all(f"{e.capitalize()}: <score>" in item.prompt for e in item.full_scale)


@pytest.mark.parametrize(("version", "count", "key"), [(1, 60, "v1"), (2, 171, "v2")])
def test_reference_answers_score_100(shared_data: Path, version: int, count: int, key: str) -> None:
    items = emotional.read(str(shared_data / "eq_bench"), version)  # type: ignore[arg-type]
    assert len(items) == count
    file = str(shared_data / "eq_bench" / emotional.FILES[version])
    assert emotional.eq_bench(file).name == f"eq-bench-{key}"  # whatever version was asked for
    for item in items:
        for reference in (item.sum_to_ten, item.full_scale):
            values = emotional.measure(item, written(reference, reference))
            own = "v1" if reference is item.sum_to_ten else "v2"
            if own == "v2" or sum(reference.values()) == 10:  # one item of version 2 sums to 9
                assert values[f"first_{own}"] == pytest.approx(100)
                assert values[f"revised_{own}"] == pytest.approx(100)
    assert sum(sum(i.sum_to_ten.values()) != 10 for i in items) == (1 if version == 2 else 0)


def test_random_answers_score_about_0(shared_data: Path) -> None:
    """The constants of both formulas were chosen for that."""
    import random

    rng = random.Random(0)
    items = emotional.read(str(shared_data / "eq_bench"), 2)
    v2 = [
        emotional.score_v2(i.full_scale, {e: rng.randint(0, 10) for e in i.full_scale})
        for i in items
        for _ in range(20)
    ]
    assert abs(sum(v2) / len(v2)) < 8


def test_items_about_one_dialogue_are_one_cluster() -> None:
    """One dialogue cut after two lines and after three, and another that a hermit opens."""
    ask = "Rate the feelings in this dialogue:\n\n{}\n[End]\n\nIn the end she feels\nAnger: <score>"
    lines = ["Ana: You are late.", "Bo: It rained.", "Ana: Again?"]
    texts = ["\n".join(lines[:2]), "\n".join(lines), "Hermit: You are late.\nBo: It rained."]
    items = [
        emotional.EmotionalItem(
            id=f"i{k}",
            prompt=ask.format(t),
            sum_to_ten=answer(1, 0, 0, 9),
            full_scale=answer(1, 0, 0, 9),
        )
        for k, t in enumerate(texts)
    ]
    assert emotional.dialogues(items) == ["i0", "i0", "i2"]
    shipped = emotional.read()
    assert emotional.dialogues(shipped) == [i.id for i in shipped]


@pytest.mark.parametrize(("version", "count"), [(1, 27), (2, 50)])
def test_the_benchmarks_items_are_its_dialogues(
    shared_data: Path, version: int, count: int
) -> None:
    """Within a cluster each dialogue begins with the next shorter one; no two clusters do so."""
    items = emotional.read(str(shared_data / "eq_bench"), version)  # type: ignore[arg-type]
    clusters = emotional.dialogues(items)
    assert len(set(clusters)) == count
    said = {
        i.id: i.prompt.partition("dialogue:")[2].partition("[End dialogue]")[0].strip()
        for i in items
    }
    for a, x in zip(items, clusters, strict=True):
        for b, y in zip(items, clusters, strict=True):
            begins = said[b.id].startswith(said[a.id]) or said[a.id].startswith(said[b.id])
            assert begins == (x == y)
    task = emotional.eq_bench(str(shared_data / "eq_bench"), version)  # type: ignore[arg-type]
    assert [s.metadata["cluster"] for s in task.dataset if s.metadata] == clusters


def test_a_part_of_the_benchmark_does_not_bear_its_name() -> None:
    assert emotional.task_name("data/mine.json", 60) == "eq-bench-v1"
    assert emotional.task_name("data/mine.json", 59) == "mine"
    assert emotional.task_name("eq_bench_v2_questions_171.json", 17).endswith("171-part")
    assert emotional.task_name("hub", 170) == "EQ-Bench-part"


def test_the_hub_that_is_not_reached_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")

    def fail(*_: object, **__: object) -> None:
        raise ConnectionError("no route\nat all")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    for read in (emotional.read, social.read):
        with pytest.raises(CorpusError, match=r"no route — .*path of a local copy$"):
            read("hub")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InputError, match=r"pip install 'personalign\[hub\]'"):
        emotional.read("hub")


def test_files_that_do_not_fit_are_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="cannot read"):
        emotional.read(str(tmp_path))
    (tmp_path / "x.json").write_text(json.dumps({"7": {"prompt": "p"}}))
    with pytest.raises(CorpusError, match=r"item 7: 'reference_answer'"):
        emotional.read(str(tmp_path / "x.json"))
    with pytest.raises(InputError, match="choose 1 or 2"):
        emotional.read(version=3)  # type: ignore[arg-type]
