"""Pairs and examples for training tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from personalign.corpus.pairs import opposite_pairs
from personalign.corpus.scenes import load, select
from personalign.models.local import LocalModel
from personalign.records import PreferencePair
from personalign.training.trainer import Example, examples


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_base: Path) -> None:
    """No reference log-probs from or for anybody else."""
    monkeypatch.setenv("PERSONALIGN_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def pairs() -> list[PreferencePair]:
    """Twelve INFP pairs of the starter corpus."""
    return opposite_pairs(select(load("starter/mbti"), "build", 12), "INFP", "ESTJ")


@pytest.fixture(scope="session")
def data(
    tiny_base: Path, pairs: list[PreferencePair], tmp_path_factory: pytest.TempPathFactory
) -> list[Example]:
    """The pairs as trees for the tiny model, their reference computed once for all tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PERSONALIGN_CACHE", str(tmp_path_factory.mktemp("reference")))
        return examples(LocalModel.load(str(tiny_base), "float32", "cpu"), pairs)
