"""Perplexity and lm-eval's tasks through the local engine, against the model asked directly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from mockmodel import run, saying
from personalign.errors import CorpusError, InputError
from personalign.evals.logs import rows
from personalign.evals.registry import TASKS
from personalign.evals.retention import CAPABILITIES, paragraphs
from personalign.models.local import LocalModel
from personalign.models.provider import ModelArgs, arm_model

LITTLE = [
    {"ask": "Water is", "choices": ["wet", "a kind of stone", "purple"], "right": 0},
    {"ask": "One and one make", "choices": ["nine hundred", "two"], "right": 1},
]
TASK = """task: little
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
output_type: multiple_choice
test_split: test
doc_to_text: "{{{{ask}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{right}}}}"
metric_list: [{{metric: acc}}, {{metric: acc_norm}}]
"""


def direct(local: LocalModel, ids: list[int], start: int) -> float:
    """Summed log-prob of `ids[start:]` by a plain forward pass."""
    with torch.no_grad():
        logits = local.model(torch.tensor([ids])).logits[0].log_softmax(-1)
    return sum(float(logits[i - 1, ids[i]]) for i in range(start, len(ids)))


def test_perplexity_is_the_models_own(tiny: LocalModel, tmp_path: Path) -> None:
    file = tmp_path / "mine.txt"
    file.write_text("The tide comes in.\nIt goes out.\n\nBread rises because of yeast.\n")
    log = run(TASKS["perplexity"](str(file)), arm_model(tiny, ModelArgs()), tmp_path)
    found = [r.value for r in rows(log, "run")]
    texts = [text for _, text in paragraphs(str(file))]
    assert len(texts) == 2
    ids = [[tiny.tokenizer.bos_token_id, *tiny.tokenizer(t)["input_ids"]] for t in texts]
    sums = [direct(tiny, i, 1) for i in ids]
    assert found == pytest.approx(
        [-s / (len(i) - 1) for s, i in zip(sums, ids, strict=True)], abs=1e-4
    )
    assert log.results is not None
    metrics = {key.rpartition("/")[2]: m.value for key, m in log.results.scores[0].metrics.items()}
    tokens = sum(len(i) - 1 for i in ids)
    expected = float(torch.tensor(-sum(sums) / tokens).exp())
    assert metrics["perplexity_per_token"] == pytest.approx(expected, rel=1e-3)
    assert log.eval.task == "mine"


def test_a_long_text_is_cut_to_the_window(tiny: LocalModel) -> None:
    words = " word" * 100
    alone = tiny.chat.text_tree("", [words], 20)
    assert alone.depth == 20
    after = tiny.chat.text_tree(words, [" end", " of it"], 20)
    assert after.depth == 20
    assert after.branches[0] == tuple(tiny.tokenizer(" end")["input_ids"])


def test_white_space_belongs_to_the_continuation(tiny: LocalModel) -> None:
    kept, moved = (tiny.chat.text_tree(*a, 99) for a in (("It is", [" so"]), ("It is ", ["so"])))
    assert kept == moved


def test_models_without_log_probs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="gives no log-probs of a text"):
        run(TASKS["perplexity"](), saying("x"), tmp_path, limit=1)


def test_the_shipped_text_has_its_own_name() -> None:
    task = TASKS["perplexity"]()
    assert (task.name, len(task.dataset)) == ("starter-neutral", 60)
    with pytest.raises(CorpusError, match="cannot read nowhere"):
        paragraphs("nowhere.txt")


@pytest.fixture
def little(tmp_path: Path) -> str:
    pytest.importorskip("lm_eval")
    data, task = tmp_path / "data.jsonl", tmp_path / "little.yaml"
    data.write_text("\n".join(map(json.dumps, LITTLE)))
    task.write_text(TASK.format(data=data))
    return str(task)


@pytest.mark.slow
def test_lm_evals_tasks_score_as_lm_eval_does(
    tiny: LocalModel, tiny_base: Path, little: str, tmp_path: Path
) -> None:
    import lm_eval
    from lm_eval.models.huggingface import HFLM

    log = run(TASKS["capability"](little), arm_model(tiny, ModelArgs()), tmp_path)
    found = {(r.sample[-1], r.metric): r.value for r in rows(log, "run")}
    theirs = lm_eval.simple_evaluate(
        HFLM(pretrained=str(tiny_base), device="cpu", dtype="float32"), tasks=[little]
    )
    expected = {
        (str(s["doc_id"]), metric): s[metric]
        for s in theirs["samples"]["little"]
        for metric in ("acc", "acc_norm")
    }
    assert found == expected
    sums = [(s.output.metadata or {})["log_probs"] for s in log.samples or []]
    asked = [[r[0][0] for r in s["resps"]] for s in theirs["samples"]["little"]]
    for ours, their in zip(sums, asked, strict=True):
        assert ours == pytest.approx(their, abs=1e-3)


@pytest.mark.slow
def test_what_is_missing_for_lm_evals_tasks_is_said() -> None:
    pytest.importorskip("lm_eval")
    with pytest.raises(CorpusError, match="get a network or a filled data set cache"):
        TASKS["capability"](CAPABILITIES[0])
    with pytest.raises(InputError, match="no single task of lm-eval"):
        TASKS["capability"]("no_such_task")
