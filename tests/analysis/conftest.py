"""Small long tables for the tests of the analysis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

from personalign.records import ScoreRow

settings.register_profile("no deadline", deadline=None)  # machines are shared
settings.load_profile("no deadline")

Rows = Callable[..., list[ScoreRow]]


def make_row(**fields: Any) -> ScoreRow:
    base: dict[str, Any] = {
        "run": "r1",
        "base_model": "tiny",
        "persona": "",
        "condition": "base",
        "task": "safety",
        "sample": "s0",
        "cluster": "s0",
        "metric": "flagged",
        "value": 0.0,
    }
    return ScoreRow(**(base | fields))


@pytest.fixture
def row() -> Callable[..., ScoreRow]:
    """One score row, with any field replaced."""
    return make_row


@pytest.fixture
def study() -> Rows:
    """A simulated study: base, and two personas under the three other conditions."""

    def build(
        n: int = 60,
        *,
        effect: float = 0.0,
        clusters: int | None = None,
        missing: float = 0.0,
        binary: bool = True,
        seed: int = 0,
    ) -> list[ScoreRow]:
        rng = np.random.default_rng(seed)
        conditions = ("prompted", "adapter", "prompted+adapter")
        arms = [("", "base"), *((p, c) for p in ("ESTJ", "INFP") for c in conditions)]
        hardness = rng.normal(size=n)
        rows = []
        for persona, condition in arms:
            score = hardness + rng.normal(size=n) + effect * (condition == "adapter")
            for i in range(n):
                lost = rng.random() < missing
                value = float(score[i] > 0.5) if binary else float(score[i])
                rows.append(
                    make_row(
                        persona=persona,
                        condition=condition,
                        sample=f"s{i:03d}",
                        cluster=f"c{i % clusters}" if clusters else f"s{i:03d}",
                        value=None if lost else value,
                        state="judge_error" if lost else "ok",
                    )
                )
        return rows

    return build
