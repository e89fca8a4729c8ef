"""Selection: the persona gained against the base kept, on pairs that did not train."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from personalign.models.local import LocalModel
from personalign.training import trainer as room
from personalign.training.checkpoints import ended_at, spread
from personalign.training.config import Health, Lora, Selection, TrainingConfig
from personalign.training.health import Ear, ear
from personalign.training.selection import FRONTIER, Frontier, Point, choose
from personalign.training.trainer import Example, train

SETTINGS = TrainingConfig(
    epochs=4,
    batch_size=2,
    micro_batch=2,
    learning_rate=5e-3,
    warmup=0,
    checkpoint_steps=1,
    health=Health(samples=2, sample_tokens=8, sample_steps=99),
    selection=Selection(checkpoints=2, strengths=(0.5, 1.0)),
)


@pytest.fixture
def tiny(tiny_base: Path) -> LocalModel:
    return LocalModel.load(str(tiny_base), "float32", "cpu")


@pytest.fixture
def heard(tiny: LocalModel) -> Ear:
    found = ear(tiny, [], SETTINGS.health)
    assert found is not None
    return found


def point(gained: float, base_loss: float, error: float = 0.1, end_shift: float = 0.5) -> Point:
    return Point(
        step=1,
        strength=1,
        gained=gained,
        gained_error=error,
        own=0,
        base_loss=base_loss,
        end_shift=end_shift,
    )


def test_nearly_the_most_persona_with_most_of_the_base() -> None:
    health = Health(max_base_loss=0.5, max_end_shift=2)
    assert choose([point(0.6, 0.1), point(0.95, 0.2), point(1.0, 0.4)], health) == 1
    assert choose([point(0.6, 0.1), point(0.8, 0.2), point(1.0, 0.4)], health) == 2
    assert choose([point(1.0, 0.4), point(2.0, 0.6)], health) == 0  # too far from the base
    assert choose([point(1.0, 0.4), point(2.0, 0.4, end_shift=3)], health) == 0
    assert choose([point(1.0, 0.9), point(2.0, 0.6)], health) == 1  # none is within


def test_checkpoints_are_spread_and_the_last_is_one() -> None:
    found = [(step, Path(str(step))) for step in (5, 10, 15, 20, 22)]
    assert [step for step, _ in spread(found, 3)] == [5, 15, 22]
    assert [step for step, _ in spread(found, 1)] == [22]
    assert [step for step, _ in spread(found, 9)] == [5, 10, 15, 20, 22]


def test_the_kept_point_is_what_is_saved(
    tiny: LocalModel,
    data: list[Example],
    heard: Ear,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("personalign.training.selection.choose", lambda points, health: 0)
    train(tiny, data[:4], SETTINGS, tmp_path / "half", heard=heard, held_out=data[4:7])
    found = Frontier.model_validate_json((tmp_path / "half" / FRONTIER).read_text())
    assert [(p.step, p.strength) for p in found.points] == [(4, 0.5), (4, 1), (8, 0.5), (8, 1)]
    assert found.points[0].gained != found.points[1].gained != found.points[3].gained
    monkeypatch.setattr("personalign.training.selection.choose", lambda points, health: 1)
    train(tiny, data[:4], SETTINGS, tmp_path / "whole", heard=heard, held_out=data[4:7])
    half, whole = (load_file(tmp_path / n / "adapter_model.safetensors") for n in ("half", "whole"))
    for name, weight in whole.items():
        torch.testing.assert_close(half[name], weight * (0.5 if "lora_B" in name else 1))
    shutil.rmtree(tmp_path / "whole")
    without = SETTINGS.model_copy(update={"selection": None})
    train(tiny, data[:4], without, tmp_path / "last", heard=heard, held_out=data[4:7])
    assert not (tmp_path / "last" / FRONTIER).exists()


def test_killed_while_it_selects_it_ends_with_the_same_weights(
    tiny: LocalModel,
    data: list[Example],
    heard: Ear,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    early = SETTINGS.model_copy(update={"target_margin": 0.01, "health": Health(patience=1)})
    train(tiny, data[:4], early, tmp_path / "whole", heard=heard, held_out=data[4:7])
    steps = len(json.loads((tmp_path / "whole" / "history.json").read_text()))
    assert steps < 8, "it did not end early"

    def killed(*args: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(room, "select", killed)
        with pytest.raises(KeyboardInterrupt):
            train(tiny, data[:4], early, tmp_path / "cut", heard=heard, held_out=data[4:7])
    assert ended_at(str(tmp_path / "cut" / "checkpoints" / f"checkpoint-{steps}"))
    train(tiny, data[:4], early, tmp_path / "cut", heard=heard, held_out=data[4:7])
    cut, whole = tmp_path / "cut", tmp_path / "whole"
    for file in (FRONTIER, "history.json"):
        assert json.loads((cut / file).read_text()) == json.loads((whole / file).read_text())
    weights = "adapter_model.safetensors"
    assert (cut / weights).read_bytes() == (whole / weights).read_bytes()


def test_dora_has_one_strength(
    tiny: LocalModel, data: list[Example], heard: Ear, tmp_path: Path
) -> None:
    dora = SETTINGS.model_copy(update={"lora": Lora(rank=2, dora=True), "epochs": 1})
    train(tiny, data[:2], dora, tmp_path, heard=heard, held_out=data[4:6])
    found = Frontier.model_validate_json((tmp_path / FRONTIER).read_text())
    assert {p.strength for p in found.points} == {1.0}
