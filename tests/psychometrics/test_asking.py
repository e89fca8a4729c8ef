"""Ways of asking a local model: equal to asking one by one, in every form, with every seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from personalign.errors import InputError
from personalign.models.chat import with_system
from personalign.models.local import Generation, LocalModel
from personalign.models.respondent import respondent
from personalign.models.sampling import Sampling
from personalign.psychometrics import letters, likert
from personalign.psychometrics.inventory import (
    PairInventory,
    StatementInventory,
    pair_inventory,
    statement_inventory,
)
from personalign.psychometrics.wording import CHOICES, LAPD, RATINGS
from personalign.psychometrics.written import Answer, Reply, draw
from personalign.records import Message

SEVEN = tuple("1234567")
ORDERS = ("forward", "reversed")
SYSTEM = "You are a retired lighthouse keeper who likes to be by himself and writes letters."


@pytest.fixture(scope="module")
def statements() -> StatementInventory:
    whole = statement_inventory()
    return whole.model_copy(update={"items": whole.items[::24]})


@pytest.fixture(scope="module")
def pairs() -> PairInventory:
    whole = pair_inventory()
    return whole.model_copy(update={"items": whole.items[::24]})


@torch.inference_mode()
def alone(local: LocalModel, question: str, system: str | None, options: Any) -> torch.Tensor:
    """Probabilities of the options as next tokens, through the model's own logits."""
    prompt = with_system([Message(role="user", content=question)], system)
    ids = torch.tensor([local.chat.prompt(prompt)])
    tokens = [local.tokenizer(o, add_special_tokens=False)["input_ids"] for o in options]
    assert all(len(t) == 1 for t in tokens)
    return local.model(ids).logits[0, -1].double().softmax(-1)[[t[0] for t in tokens]]


@pytest.mark.parametrize("system", [None, SYSTEM])
def test_expected_values_equal_asking_one_by_one(
    tiny: LocalModel, statements: StatementInventory, system: str | None
) -> None:
    done: list[int] = []
    forms = RATINGS[::3]
    found = iter(likert.expected(respondent(tiny, system), statements, forms, done.append))
    for form in forms:
        for item in statements.items:
            p = alone(tiny, form.ask(item.text), system, SEVEN)
            shown = float((p * torch.arange(1, 8)).sum() / p.sum())
            value, mass = next(found), next(found)
            assert value[:2] == (item.id, f"expected:{form.name}")
            assert value.value == pytest.approx(8 - shown if form.reversed else shown, abs=1e-5)
            assert mass[:2] == (item.id, f"mass:{form.name}")
            assert mass.value == pytest.approx(float(p.sum()), rel=1e-4)
    assert next(found, None) is None
    assert sum(done) == len(forms) * len(statements.items)


@pytest.mark.parametrize("system", [None, SYSTEM])
def test_letters_equal_asking_one_by_one(
    tiny: LocalModel, pairs: PairInventory, system: str | None
) -> None:
    forms = CHOICES[::3]
    found = iter(letters.letters(respondent(tiny, system), pairs, forms))
    for form in forms:
        for item in pairs.items:
            p = alone(tiny, form.ask(item.first, item.second), system, letters.OPTIONS)
            a = float(p[0] / p.sum())
            value, mass = next(found), next(found)
            assert value[:2] == (item.id, f"letters:{form.name}")
            assert value.value == pytest.approx(1 - a if form.reversed else a, abs=1e-5)
            assert mass.value == pytest.approx(float(p.sum()), rel=1e-4)
    assert next(found, None) is None


def test_a_model_that_always_says_a_is_found_out_by_the_order(
    tiny: LocalModel, pairs: PairInventory, monkeypatch: pytest.MonkeyPatch
) -> None:
    always_a = [torch.tensor([-0.1]), torch.tensor([-3.0])]
    monkeypatch.setattr(LocalModel, "score", lambda self, trees, *rest: [always_a] * len(trees))
    found = {(a.sample, a.metric): a.value for a in letters.letters(respondent(tiny), pairs)}
    for item in pairs.items:
        forward, backward = (found[item.id, f"letters:list:like:{o}"] for o in ORDERS)
        assert forward == pytest.approx(1 / (1 + np.exp(-2.9)))
        assert forward + backward == pytest.approx(1)  # type: ignore[operator]


def test_a_model_that_always_says_seven_is_in_the_middle_over_both_orders(
    tiny: LocalModel, statements: StatementInventory, monkeypatch: pytest.MonkeyPatch
) -> None:
    seven = [torch.tensor([-50.0])] * 6 + [torch.tensor([-0.5])]
    monkeypatch.setattr(LocalModel, "score", lambda self, trees, *rest: [seven] * len(trees))
    found = {(a.sample, a.metric): a.value for a in likert.expected(respondent(tiny), statements)}
    item = statements.items[0].id
    assert [found[item, f"expected:line:fit:{o}"] for o in ORDERS] == pytest.approx([7, 1])
    assert found[item, "mass:line:fit:forward"] == pytest.approx(np.exp(-0.5))


def test_written_answers_have_a_row_each_and_seeds_decide(
    tiny: LocalModel, statements: StatementInventory
) -> None:
    questions = likert.written(statements, (LAPD, RATINGS[1]), seeds=(3, 4))
    assert len(questions) == 2 * 2 * len(statements.items)
    assert len({(q.sample, q.metric) for q in questions}) == len(questions)
    sampling = Sampling(max_new_tokens=8, temperature=1.0)

    def texts(asked: Any, **how: Any) -> list[str]:
        heard: list[Reply] = []
        rows = list(draw(respondent(tiny, SYSTEM), asked, sampling, heard=heard.append, **how))
        assert [(r.sample, r.metric) for r in rows] == [(q.sample, q.metric) for q in asked]
        assert [r[2:] for r in rows] == [h.question.read(h.text) for h in heard]
        return [h.text for h in heard]

    first = texts(questions)
    assert texts(questions) == first
    assert texts(questions[::-1])[::-1] == first
    by_seed = {
        q.seed: [t for q2, t in zip(questions, first, strict=True) if q2.seed == q.seed]
        for q in questions
    }
    assert by_seed[3] != by_seed[4]
    assert len(set(first)) > len(first) / 2  # questions do not share their noise


def test_a_form_reads_what_the_model_writes(
    tiny: LocalModel, statements: StatementInventory, pairs: PairInventory, monkeypatch: Any
) -> None:
    def say(text: str) -> None:
        said = Generation(text, 1, 0)
        monkeypatch.setattr(LocalModel, "draw", lambda self, asked, *rest: [said] * len(asked))

    item = statements.items[0].id
    brief = Sampling(max_new_tokens=1)
    questions = likert.written(statements, RATINGS[:2])[:: len(statements.items)]
    say("6\n\nAs an INFP, I like it.")
    assert list(draw(respondent(tiny), questions, brief)) == [
        Answer(item, "written:list:fit:forward:0", 6.0),
        Answer(item, "written:list:fit:reversed:0", 2.0),
    ]
    say("As an AI, I have no preferences.")
    assert {a[2:] for a in draw(respondent(tiny), questions, brief)} == {(None, "refused")}
    say("Well, people are nice.")
    assert {a[2:] for a in draw(respondent(tiny), questions, brief)} == {(None, "unparsed")}
    say("B")
    choices = letters.written(pairs, CHOICES[:2])[:: len(pairs.items)]
    assert [a.value for a in draw(respondent(tiny), choices, brief)] == [0.0, 1.0]


def test_the_inventory_says_how_many_answers_there_are(
    tiny: LocalModel, statements: StatementInventory
) -> None:
    short = statements.model_copy(update={"highest": 5})
    values = [a.value for a in likert.expected(respondent(tiny), short, RATINGS[:2])]
    assert all(1 < v < 5 for v in values[::2] if v is not None)
    assert "5 = exactly like me" in likert.written(short, RATINGS[:1])[0].text
    with pytest.raises(InputError, match="leave that form out"):
        likert.written(short, (LAPD,))
    with pytest.raises(InputError, match="rated 1 to 9"):
        likert.written(statements.model_copy(update={"highest": 9}))
