"""How long an evaluation may take."""

from __future__ import annotations

import pytest

from personalign.evals import forecast, run
from personalign.models.local import LocalModel


def test_seconds_grow_with_arms_samples_and_length(
    tiny: LocalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forecast, "_speed", lambda local: (0.001, 0.5))
    short, long = (run.tasks_named(["eq_bench"], {"eq_bench": {"max_tokens": n}}) for n in (8, 80))
    (one,) = forecast.seconds_by_task(tiny, short, 1).values()
    assert forecast.seconds_by_task(tiny, short, 3)["starter-emotional"] == pytest.approx(3 * one)
    assert forecast.seconds_by_task(tiny, long, 1)["starter-emotional"] == pytest.approx(one + 36)
    assert forecast.seconds_by_task(tiny, short, 1, limit=3)["starter-emotional"] < one
    scored = forecast.seconds_by_task(tiny, run.tasks_named(["social"]), 1)
    assert 0 < scored["starter-social"] < 60  # read, not drawn


def test_speed_is_measured(tiny: LocalModel) -> None:
    read, step = forecast._speed(tiny)
    assert 0 < read < 1
    assert 0 <= step < 60


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "1 s"), (59, "59 s"), (90, "2 min"), (3540, "59 min"), (4800, "1 h 20 min")],
)
def test_durations_for_people(seconds: float, said: str) -> None:
    assert forecast.spoken(seconds) == said
