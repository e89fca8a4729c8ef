"""Objectives and kinds of adapter in a real, tiny training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from personalign.errors import TrainingError
from personalign.models.local import LocalModel
from personalign.models.sampling import Sampling
from personalign.records import Message
from personalign.training.config import TrainingConfig
from personalign.training.losses import OBJECTIVES
from personalign.training.neutral import Neutral, neutral_replies
from personalign.training.trainer import Example, train, with_neutral


def settings(**more: Any) -> TrainingConfig:
    few = {"epochs": 3, "batch_size": 4, "micro_batch": 2, "learning_rate": 5e-3, "warmup": 0}
    return TrainingConfig.model_validate(few | more)


@pytest.fixture
def neutral(tiny: LocalModel) -> list[Neutral]:
    """What the base says to three neutral prompts."""
    asked = ["Name a colour.", "What is two plus two?", "Where is Oslo?"]
    prompts = [(Message(role="user", content=text),) for text in asked]
    return neutral_replies(tiny, prompts, Sampling(max_new_tokens=6, temperature=1.0))


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_learns(
    tiny: LocalModel, data: list[Example], tmp_path: Path, objective: str
) -> None:
    few = settings(objective=objective, nll=0.01, batch_size=2)
    history = train(tiny, data[:2], few, tmp_path)
    margins = [h["rewards/margins"] for h in history]
    assert margins[-1] > margins[0]
    assert history[-1]["loss"] < history[0]["loss"]


def test_neutral_replies_are_drawn_by_the_base(tiny: LocalModel, neutral: list[Neutral]) -> None:
    for one in neutral:
        (scored,) = tiny.score([one.tree])
        assert one.reference == pytest.approx(scored[0].tolist(), abs=1e-5)
        assert 1 <= len(one.reference) <= 7


def test_kl_is_zero_at_the_base_and_holds_to_it(
    tiny: LocalModel, data: list[Example], neutral: list[Neutral], tmp_path: Path
) -> None:
    given = with_neutral(data[:4], neutral)
    assert [e.neutral for e in given] == [*neutral, neutral[0]]
    free, held = (
        train(tiny, given, settings(kl=weight, epochs=8), tmp_path / str(weight))
        for weight in (1e-6, 20.0)
    )
    assert free[0]["kl/neutral"] == pytest.approx(0, abs=1e-6)
    assert 0 < held[-1]["kl/neutral"] < 0.7 * free[-1]["kl/neutral"]


def test_micro_batches_change_nothing_with_every_term(
    tiny: LocalModel, data: list[Example], neutral: list[Neutral], tmp_path: Path
) -> None:
    given = with_neutral(data[:4], neutral)
    losses = []
    for size in (1, 4):
        s = settings(objective="ipo", nll=0.3, kl=1.0, micro_batch=size)
        losses.append([h["loss"] for h in train(tiny, given, s, tmp_path / str(size))])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_kl_without_neutral_prompts_is_an_error(
    tiny: LocalModel, data: list[Example], tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match="there are no neutral prompts"):
        train(tiny, data, settings(kl=0.1), tmp_path)


def test_rslora_and_dora_are_in_the_saved_adapter_and_load(
    tiny: LocalModel, data: list[Example], tmp_path: Path
) -> None:
    both = settings(lora={"rslora": True, "dora": True}, batch_size=2)
    history = train(tiny, data[:2], both, tmp_path)
    assert history[-1]["loss"] < history[0]["loss"]
    saved = json.loads((tmp_path / "adapter_config.json").read_text())
    assert saved["use_rslora"]
    assert saved["use_dora"]
    tiny.add_adapter("it", tmp_path)
    base, adapted = (tiny.score([data[0].tree], name)[0][0] for name in (None, "it"))
    assert (base - adapted).abs().max() > 1e-3


def test_full_fine_tuning_is_a_model_of_its_own(
    tiny: LocalModel, data: list[Example], tmp_path: Path
) -> None:
    before = {n: p.clone() for n, p in tiny.model.named_parameters()}
    whole = settings(method="full", learning_rate=1e-3, batch_size=2)
    history = train(tiny, data[:2], whole, tmp_path)
    assert history[-1]["loss"] < history[0]["loss"]
    assert all((before[n] == p).all() for n, p in tiny.model.named_parameters())
    saved = LocalModel.load(str(tmp_path), "float32", "cpu")
    assert (saved.score([data[0].tree])[0][0] - tiny.score([data[0].tree])[0][0]).abs().max() > 0.01
    assert not (tmp_path / "training_args.bin").exists()


@pytest.mark.parametrize("method", ["lora", "full"])
def test_the_trained_weights_have_the_numbers_that_were_set(
    tiny: LocalModel, data: list[Example], tmp_path: Path, method: str
) -> None:
    for number in ("float32", "bfloat16"):
        out = tmp_path / number
        few = settings(method=method, weight_dtype=number, learning_rate=1e-2)
        history = train(tiny, data[:4], few, out)
        (file,) = out.glob("*.safetensors")
        assert {str(w.dtype) for w in load_file(file).values()} == {f"torch.{number}"}
        assert history[-1]["loss"] < history[0]["loss"]
