"""Every shipped recipe is a study that can be read; LAPD's has LAPD's numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from personalign.personas import TYPES
from personalign.study import read_config

FOLDER = Path(__file__).parents[2] / "src" / "personalign" / "recipes"


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.yaml")), ids=lambda p: p.stem)
def test_recipe_is_a_study(file: Path) -> None:
    assert read_config(file).name == file.stem


def test_all_sixteen() -> None:
    assert set(read_config(FOLDER / "mbti16.yaml").personas) == set(TYPES)


@pytest.mark.parametrize("name", ["quickstart", "mbti16", "big_five", "custom"])
def test_ours_train_what_was_seen_to_talk(name: str) -> None:
    """The chosen reply is held by nll, the base by kl, and the margin is not driven on."""
    t = read_config(FOLDER / f"{name}.yaml").training
    assert (t.objective, t.beta, t.nll, t.kl, t.learning_rate) == ("dpo", 0.3, 2.0, 1.0, 5e-4)
    assert (t.target_margin, t.neutral_tokens, t.batch_size) == (1.6, 64, 4)


def test_lapd_is_as_published() -> None:
    study = read_config(FOLDER / "lapd.yaml")
    t = study.training
    assert (t.epochs, t.learning_rate, t.beta, t.batch_size) == (3, 1e-5, 0.2, 16)
    assert (t.schedule, t.weight_decay, t.system) == ("cosine", 0.01, "lapd")
    assert (t.lora.rank, t.lora.alpha, t.lora.dropout, len(t.lora.targets)) == (16, 16, 0, 7)
    assert study.base == "meta-llama/Meta-Llama-3-8B-Instruct"


@pytest.mark.parametrize("name", ["fsdp", "deepspeed", "ddp"])
def test_accelerate_reads_its_file(name: str) -> None:
    config = pytest.importorskip("accelerate.commands.config.config_args")
    file = FOLDER / "accelerate" / f"{name}.yaml"
    read: Any = config.load_config_from_file(str(file))
    assert read.num_processes == yaml.safe_load(file.read_text())["num_processes"]
