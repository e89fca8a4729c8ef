"""Settings: what an objective does not use is an error, what it needs has the paper's value."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from personalign.errors import InputError, TrainingError
from personalign.training import devices
from personalign.training.checks import check_trackers
from personalign.training.config import OPTIONS, Lora, TrainingConfig
from personalign.training.loading import check_settings
from personalign.training.losses import OBJECTIVES, PairLogProbs


def test_every_loss_has_its_options() -> None:
    assert OPTIONS.keys() == OBJECTIVES.keys()


@pytest.mark.parametrize("objective", OPTIONS)
def test_options_are_filled_in_and_survive_a_file(objective: str) -> None:
    settings = TrainingConfig.model_validate({"objective": objective})
    assert settings.options() == OPTIONS[objective]
    assert TrainingConfig.model_validate(settings.model_dump(mode="json")) == settings


def test_ipo_aims_at_a_margin_that_healthy_personas_reach() -> None:
    beta = OPTIONS["ipo"]["beta"]
    for margin, least in ((1.0, True), (5.0, False)):  # nats a token, on replies of any length
        pairs = PairLogProbs(
            torch.tensor([[-40.0, -40.0 - 50 * margin]]),
            torch.tensor([[-40.0, -40.0]]),
            torch.tensor([[50, 50]]),
        )
        assert (OBJECTIVES["ipo"].loss(pairs, beta=beta).item() < 1e-6) == least


def test_given_options_are_kept() -> None:
    settings = TrainingConfig.model_validate({"objective": "simpo", "beta": 2.5, "gamma": 0.3})
    assert settings.options() == {"beta": 2.5, "gamma": 0.3}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"objective": "dpo", "label_smoothing": 0.1}, "take robust_dpo"),
        ({"objective": "ipo", "gamma": 1.0}, "take simpo"),
        ({"objective": "robust_dpo", "label_smoothing": 0.5}, "less than 0.5"),
        ({"objective": "dpo", "beta": 0}, "greater than 0"),
        ({"method": "full", "lora": {"rank": 8}}, "remove lora"),
        ({"batch_size": 16, "micro_batch": 5}, "does not divide"),
        ({"objective": "kto"}, "dpo"),
    ],
)
def test_what_does_not_go_together_is_refused(data: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        TrainingConfig.model_validate(data)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (TrainingConfig(method="qlora"), r"method qlora needs a CUDA device.*take method lora"),
        (TrainingConfig(loader="unsloth"), r"loader unsloth needs a CUDA device"),
    ],
)
def test_what_needs_a_gpu_is_refused_without_one(settings: TrainingConfig, said: str) -> None:
    with pytest.raises(TrainingError, match=said):
        check_settings(settings, "cpu")


@pytest.mark.parametrize(
    ("settings", "extra"),
    [(TrainingConfig(method="qlora"), "gpu"), (TrainingConfig(loader="unsloth"), "unsloth")],
)
def test_a_missing_extra_is_named(
    settings: TrainingConfig, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(TrainingError, match=rf"personalign\[{extra}\]"):
        check_settings(settings, "cuda")


def test_trackers_are_those_of_the_trainer() -> None:
    with pytest.raises(InputError, match=r"unknown tracker 'wandbb'.*did you mean 'wandb'"):
        check_trackers(["wandbb"])
    with pytest.raises(TrainingError, match="'clearml' is not installed"):
        check_trackers(["clearml"])


def test_a_batch_that_cannot_be_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    settings = TrainingConfig(batch_size=8, micro_batch=2)
    with pytest.raises(TrainingError, match="batch_size such as 12"):
        devices.accumulation(settings)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert devices.accumulation(settings) == 2


def test_default_adapter_needs_no_lora_section_for_full() -> None:
    assert TrainingConfig(method="full").lora == Lora()


def test_a_margin_over_the_base_needs_one() -> None:
    with pytest.raises(ValidationError, match="target_margin is a margin over the base"):
        TrainingConfig(objective="orpo", target_margin=0.5)
