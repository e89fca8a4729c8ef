"""The same questions through Inspect: same rows, states in the log, errors that stay errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from inspect_ai import eval as inspect_eval
from inspect_ai.log import read_eval_log
from inspect_ai.model import ModelOutput, ModelUsage, get_model

from personalign.errors import ModelError
from personalign.personas import load
from personalign.psychometrics import interview, letters, likert, remote
from personalign.psychometrics.inventory import (
    interview_inventory,
    pair_inventory,
    statement_inventory,
)
from personalign.psychometrics.wording import CHOICES, LAPD, RATINGS

SYSTEM = "You are a retired lighthouse keeper."


def speaker(answer: Any) -> Any:
    """Inspect's mock model, answering as a function of system prompt, question and seed."""

    def reply(messages: Any, tools: Any, choice: Any, config: Any) -> ModelOutput:
        system = messages[0].text if messages[0].role == "system" else ""
        text = answer(system, messages[-1].text, config)
        output = ModelOutput.from_content("mockllm/model", text)
        output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
        return output

    return get_model("mockllm/model", custom_outputs=reply, memoize=False)


def test_ratings_give_the_rows_of_the_local_way(tmp_path: Path) -> None:
    whole = statement_inventory()
    inventory = whole.model_copy(update={"items": whole.items[:3]})
    replies = ("6\n\nAs an INFP", "As an AI, I have no hobbies.", "Hm.")
    said = {i.text: reply for i, reply in zip(inventory.items, replies, strict=True)}

    def answer(system: str, question: str, config: Any) -> str:
        assert system == SYSTEM
        assert (config.temperature, config.top_p, config.max_tokens) == (0.2, 0.9, 48)
        return next(reply for text, reply in said.items() if question.endswith(text))

    questions = likert.written(inventory, (LAPD, RATINGS[1]))
    rows = list(remote.ask(questions, speaker(answer), SYSTEM, tmp_path))
    assert [(r.sample, r.metric) for r in rows] == [(q.sample, q.metric) for q in questions]
    assert [r.state for r in rows] == ["ok", "refused", "unparsed"] * 2
    assert [r.value for r in rows] == [6.0, None, None, 2.0, None, None]
    (file,) = tmp_path.glob("*.eval")
    assert sorted(remote.rows([read_eval_log(str(file))])) == sorted(rows)


def test_letters_in_both_orders_and_each_seed(tmp_path: Path) -> None:
    whole = pair_inventory()
    inventory = whole.model_copy(update={"items": whole.items[:2]})
    seeds: list[int] = []

    def answer(system: str, question: str, config: Any) -> str:
        seeds.append(config.seed)
        assert system == ""
        return "A"

    questions = letters.written(inventory, CHOICES[:2], seeds=(5, 6))
    rows = list(remote.ask(questions, speaker(answer), None, tmp_path))
    assert {r.metric: r.value for r in rows} == {
        "written:list:like:forward:5": 1.0,
        "written:list:like:forward:6": 1.0,
        "written:list:like:reversed:5": 0.0,
        "written:list:like:reversed:6": 0.0,
    }
    assert sorted(seeds) == [5] * 4 + [6] * 4


def test_a_call_that_fails_is_an_error_and_not_an_answer(tmp_path: Path) -> None:
    whole = pair_inventory()
    inventory = whole.model_copy(update={"items": whole.items[:2]})

    def answer(system: str, question: str, config: Any) -> str:
        if whole.items[0].first in question:
            raise RuntimeError("the server is on fire")
        return "B"

    rows = list(
        remote.ask(letters.written(inventory, CHOICES[:1]), speaker(answer), None, tmp_path)
    )
    assert [(r.value, r.state) for r in rows] == [(None, "error"), (0.0, "ok")]


def test_an_interview_is_rated_and_a_failed_judge_is_named(tmp_path: Path) -> None:
    whole = interview_inventory()
    inventory = whole.model_copy(update={"items": whole.items[:2]})
    ratings = {inventory.items[0].id: 0.75, inventory.items[1].id: None}
    questions = interview.written(inventory, lambda item, reply: ratings[item.id], "judge")
    rows = list(remote.ask(questions, speaker(lambda *a: "By the sea."), None, tmp_path))
    assert [(r.value, r.state) for r in rows] == [(0.75, "ok"), (None, "judge_error")]


@pytest.mark.parametrize("make", [remote.rated_statements, remote.letter_choice])
def test_tasks_ask_every_item_in_every_form_under_the_personas_prompt(make: Any) -> None:
    plain, persona = make(), make(persona="INFP", seeds=2)
    assert len(persona.dataset) == 2 * len(plain.dataset)
    assert len({s.id for s in persona.dataset}) == len(persona.dataset)
    assert [m.role for m in plain.dataset[0].input] == ["user"]
    assert persona.dataset[0].input[0].text == load("INFP").system_prompt()


def test_a_log_without_samples_is_an_error(tmp_path: Path) -> None:
    (log,) = inspect_eval(
        remote.written_task(likert.written(statement_inventory(), (LAPD,)), None),
        model=speaker(lambda *a: "6"),
        log_dir=str(tmp_path),
        limit=1,
        display="none",
    )
    with pytest.raises(ModelError, match="nothing in log"):
        list(remote.rows([log.model_copy(update={"samples": []})]))
