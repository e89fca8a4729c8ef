"""Social items: the shipped set, the real benchmark's files, the rule of scoring."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
import torch

from personalign.errors import CorpusError
from personalign.evals import social
from personalign.models.engine import adopt
from personalign.models.local import LocalModel
from personalign.models.respondent import LocalRespondent, Respondent, respondent
from personalign.records import ScoreRow


def test_shipped_set_is_balanced() -> None:
    items = social.read()
    assert len(items) >= 60
    assert len({i.id for i in items}) == len(items)
    labels = Counter(i.label for i in items)
    assert set(labels) == {0, 1, 2}
    assert max(labels.values()) - min(labels.values()) <= 2
    longest = sum(max(range(3), key=lambda k: len(i.answers[k])) == i.label for i in items)
    assert longest / len(items) < 0.45


def test_the_choice_is_the_likeliest_answer(embedded: LocalModel) -> None:
    items = social.read()[:3]
    for form in ("chat", "plain"):
        chosen = social.choices(respondent(embedded), items, form)  # type: ignore[arg-type]
        for item, choice in zip(items, chosen, strict=True):
            assert choice.summed == alone(embedded, item, form)


class Fixed(Respondent):
    """Every token of every text has the log-prob that is written for it."""

    name = "fixed"

    @property
    def base(self) -> Respondent:
        return self

    def __init__(self, after: list[list[float]], before: list[list[float]]) -> None:
        self.found = [[torch.tensor(b) for b in branches] for branches in (after, before)]

    def scoring(self, asked: Any, progress: Any = None) -> Any:
        done: Future[Any] = Future()
        done.set_result([[torch.tensor(x) for x in side] for side in self.found])
        return done

    def drawing(self, prompts: Any, sampling: Any, seeds: Any) -> Any:
        raise AssertionError("nothing is drawn")


def test_three_rules_choose_each_by_its_own() -> None:
    after = [[-2.0], [-1.0, -1.5], [-3.0, -0.2, -0.1]]
    before = [[-1.0], [-9.0, -9.0], [-4.0, -0.2, -0.1]]
    (found,) = social.choices(Fixed(after, before), social.read()[:1])
    assert found == social.Choice(summed=0, per_token=2, pmi=1)


def alone(local: LocalModel, item: social.SocialItem, form: str) -> int:
    asked = social.plain(item) if form == "plain" else social.spoken(item)
    tree = LocalRespondent(adopt(local)).tree(asked)
    sums = []
    with torch.no_grad():
        for branch in tree.branches:
            logits = local.model(torch.tensor([tree.prompt + branch])).logits[0].log_softmax(-1)
            at = range(len(tree.prompt) - 1, len(tree.prompt) + len(branch) - 1)
            sums.append(sum(float(logits[i, t]) for i, t in zip(at, branch, strict=True)))
    return max(range(len(sums)), key=sums.__getitem__)


def test_results_of_the_shipped_set_have_its_name() -> None:
    assert social.task_name("starter") == "starter-social"
    assert social.task_name("hub") == "socialiqa"


@pytest.mark.parametrize(("name", "shown"), [("mine", "mine"), ("SocialIQA", "SocialIQA-part")])
def test_only_the_whole_dev_set_bears_the_benchmarks_name(
    tmp_path: Path, name: str, shown: str
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    row = {"context": "c", "question": "q"} | {f"answer{x}": x for x in "ABC"}
    (folder / "dev.jsonl").write_text(f"{json.dumps(row)}\n" * 2)
    (folder / "dev-labels.lst").write_text("1\n2\n")
    assert social.task_name(str(folder)) == shown
    file = tmp_path / f"{name}.jsonl"
    file.write_text(social.read(str(folder))[0].model_dump_json())
    assert social.task_name(str(file)) == shown


def test_real_dev_set(shared_data: Path, embedded: LocalModel) -> None:
    items = social.read(str(shared_data / "socialiqa"))
    assert len(items) == 1954
    assert social.task_name(str(shared_data / "socialiqa")) == "socialiqa"
    assert Counter(i.label for i in items) == {0: 643, 1: 654, 2: 657}
    kinds = Counter(i.kind for i in items)
    assert kinds["other"] / len(items) < 0.02
    assert min(kinds[k] for k in social.KINDS) > 200
    chosen = social.choices(respondent(embedded), items[:60], "plain")
    right = sum(c.summed == i.label for c, i in zip(chosen, items, strict=False))
    assert 15 <= right <= 40  # a model of this size is a little above chance, not at 0 or 1


def test_labels_that_do_not_fit_are_named(tmp_path: Path) -> None:
    (tmp_path / "dev.jsonl").write_text('{"context": "c", "question": "q"}\n')
    (tmp_path / "dev-labels.lst").write_text("1\n2\n")
    with pytest.raises(CorpusError, match=r"1 items and .* 2 labels"):
        social.read(str(tmp_path))
    (tmp_path / "dev-labels.lst").write_text("1\n")
    with pytest.raises(CorpusError, match=r"dev\.jsonl:1: no 'answerA'"):
        social.read(str(tmp_path))
    row = {"context": "c", "question": "q"} | {f"answer{x}": x for x in "ABC"}
    (tmp_path / "dev.jsonl").write_text(json.dumps(row))
    (tmp_path / "dev-labels.lst").write_text("4\n")
    with pytest.raises(CorpusError, match=r"dev\.jsonl:1: .*label '4' of item 1") as e:
        social.read(str(tmp_path))
    assert "\n" not in str(e.value)


ANSWERS = ("Knock on his door", "Complain to the courier", "Stay at home")


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        ("B", "B"),
        ("b.", "B"),
        ("(C) Stay at home", "C"),
        ("**A**", "A"),
        ("A. Knock on his door", "A"),
        ("A) knock on his door", "A"),
        ("The best answer is C.", "C"),
        ("Answer: b", "B"),
        ("I would say B is best here.", "B"),
        ("A friend would say option C", "C"),
        ("A good neighbour would stay at home.", "C"),
        ("She would complain to the courier!", "B"),
        ("Complain to the courier", "B"),
        ("A. bad\nB. good\nC. bad\nThe answer is B.", "B"),
        ("C\nbecause A is rude", "C"),
        ("C, because A is wrong", "C"),
        ("B - since A and C are rude", "B"),
        ("(A), as B is unkind", "A"),
        ("**B** because C would be worse than A.", "B"),
        ("A as well as B", None),
        ("A, but B is fine too", None),
        ("A. Knock on his door\nB. Complain\nC. Stay at home", None),
        ("A or B", None),
        ("", None),
        ("I do not know.", None),
        ("a friend might help", None),
        ("D", None),
        ("Knock on his door, or stay at home", None),
        ("The best answer is not A.", None),
        ("It isn't B, so I think C", "C"),
        ("A/B", None),
        ("a/b", None),
        ("A, B", None),
        ("(A) or (B)", None),
        ("The answer is A or B.", None),
        ("A. Knock on his door\nB. better than A", None),
        ("A. Knock on his door, not B", "A"),
        ("C. She wouldn't want a fuss", "C"),
        ("I think A is rude so the answer is B.", "B"),
        ("The answer is not option B.", None),
        ("The answer is not Option B.", None),
        ("Not A.", None),
        ("The answer can't be B", None),
        ("Don't stay at home", None),
        ("She would never just stay at home", None),
        ("He cannot stay at home, so he might complain to the courier", None),
    ],
)
def test_letters_are_read_tolerantly(reply: str, letter: str | None) -> None:
    choice = social.parse_choice(reply, ANSWERS)
    assert (None if choice is None else "ABC"[choice]) == letter


@pytest.mark.parametrize(
    ("reply", "quoted"),
    [
        ("She took a nap", None),
        ("They made up", None),
        ("Ok.", "ok"),
        ("She would feel unhappy", "unhappy"),
        ("She would feel happy", "happy"),
        ("Happy and mad", "happy and mad"),
        ("Mad and unhappy", None),
        ("Not happy", None),
        ("She wouldn’t feel mad", None),
    ],
)
def test_quoted_answers_are_whole_words_and_not_denied(reply: str, quoted: str | None) -> None:
    answers = ("ok", "mad", "happy", "unhappy", "happy and mad")
    choice = social.parse_choice(reply, answers)
    assert (None if choice is None else answers[choice]) == quoted


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("What will Tracy want to do next?", "want"),
        ("What does Kai need to do before this?", "need"),
        ("How would others feel as a result?", "react"),
        ("How would you describe Robin?", "describe"),
        ("Why did Jan do this?", "motive"),
        ("What will happen to Sasha?", "effect"),
        ("What did Jesse say?", "other"),
    ],
)
def test_kinds_of_questions(question: str, kind: str) -> None:
    assert social.kind_of(question) == kind


def test_accuracy_by_kind_counts_what_was_measured() -> None:
    items = social.read()[:3]

    def row(sample: str, value: float | None) -> ScoreRow:
        return ScoreRow(
            run="r", base_model="b", persona="", condition="base", task="t", sample=sample,
            cluster=sample, metric="correct", value=value,
            state="unparsed" if value is None else "ok",
        )  # fmt: skip

    rows = [row(items[0].id, 1.0), row(items[1].id, 0.0), row(items[2].id, None)]
    assert social.accuracy_by_kind(rows, items) == {items[0].kind: (1, 2)}
