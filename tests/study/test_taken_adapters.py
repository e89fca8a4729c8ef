"""Adapters that are there already: taken into a study, measured like its own, at any strength."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from personalign.errors import InputError
from personalign.study import Study, StudyConfig, read_config
from personalign.training.card import read_card

SMALL: dict[str, Any] = {
    "name": "small",
    "dtype": "float32",
    "personas": ["INFP"],
    "conditions": ["base", "adapter"],
    "build_scenes": 6,
    "training": {
        "epochs": 2,
        "batch_size": 2,
        "micro_batch": 2,
        "learning_rate": 5e-3,
        "health": {"samples": 0},
    },
    "measures": {"tasks": ["behaviour"], "scenes": 3},
}


@pytest.fixture(scope="module")
def trained(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that trained its adapter and measured it."""
    folder = tmp_path_factory.mktemp("trained")
    config = StudyConfig.model_validate(SMALL | {"base": str(tiny_base)})
    return Study(config, folder).run(until="verify")


def test_an_adapter_that_is_there_is_taken_and_not_trained(trained: Path, tmp_path: Path) -> None:
    source, seen = tmp_path / "source", list[str]()
    shutil.copytree(trained / "adapters" / "INFP", source)
    card = (source / "card.json").read_text()

    def announce(name: str, total: int) -> Any:
        seen.append(name.split()[0])
        return lambda done: None

    config = read_config(trained / "study.yaml").model_copy(update={"adapters": {"INFP": source}})
    Study(config, tmp_path / "run", announce).run(until="verify")
    assert not {"reference", "train"} & set(seen)
    scores, taken = (pd.read_parquet(f / "scores.parquet") for f in (trained, tmp_path / "run"))
    pd.testing.assert_frame_equal(scores, taken, check_exact=True)
    verdict = read_card(tmp_path / "run" / "adapters" / "INFP").verdict()
    assert verdict != "not verified"
    assert (source / "card.json").read_text() == card
    with pytest.raises(InputError, match=r"the adapter of INFP is .*take it out"):
        Study(config, tmp_path / "run").train("INFP")
    own = tmp_path / "other" / "adapters" / "INFP"
    shutil.copytree(source, own)
    inside = config.model_copy(update={"adapters": {"INFP": own}})
    with pytest.raises(InputError, match="in the place of its copy"):
        Study(inside, tmp_path / "other").run()
    assert (own / "adapter_model.safetensors").exists()


def test_the_dial_goes_from_the_base_to_the_adapter(trained: Path, tmp_path: Path) -> None:
    asked = read_config(trained / "study.yaml")
    taken = {"adapters": {"INFP": trained / "adapters" / "INFP"}}
    at = list[pd.DataFrame]()
    for strength in (0.0, 0.5, 1.0):
        config = asked.model_copy(update=taken | {"strength": strength})
        Study(config, tmp_path / "run").run(until="verify")
        at.append(pd.read_parquet(tmp_path / "run" / "scores.parquet"))
    base, none, half, full = (
        frame.query(f"condition == '{c}'")["value"].to_numpy()
        for frame, c in ((at[0], "base"), *((frame, "adapter") for frame in at))
    )
    np.testing.assert_allclose(none, base, atol=1e-6)
    assert np.abs(full - base).mean() > 1.5 * np.abs(half - base).mean() > 0
    assert read_card(tmp_path / "run" / "adapters" / "INFP").verdict() != "not verified"


def test_what_a_taken_adapter_left_is_not_trained_on(trained: Path, tmp_path: Path) -> None:
    config = read_config(trained / "study.yaml")
    taken = config.model_copy(update={"adapters": {"INFP": trained / "adapters" / "INFP"}})
    Study(taken, tmp_path).run(until="verify")
    full = config.training.model_copy(update={"method": "full", "epochs": 1})
    study = Study(config.model_copy(update={"training": full}), tmp_path)
    study.begin()
    study.train("INFP")
    assert not (tmp_path / "adapters" / "INFP" / "adapter_model.safetensors").exists()
