"""A new part of conditions is one function; everything else finds it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from personalign.models.local import Generation
from personalign.models.respondent import Candidates, Respondent
from personalign.progress import Progress, silent
from personalign.records import PARTS, Arm, Message
from personalign.study import Study, StudyConfig, parts
from personalign.study.plan import plan_of
from personalign.study.verdicts import verdicts


class Shouted(Respondent):
    """Everybody is shouted at."""

    def __init__(self, inner: Respondent) -> None:
        self.inner = inner

    @property
    def name(self) -> str:
        return f"{self.inner.name}+shouted"

    @property
    def base(self) -> Respondent:
        return self.inner.base

    def scoring(
        self, asked: Sequence[Candidates], progress: Progress = silent
    ) -> Future[list[list[Tensor]]]:
        return self.inner.scoring([replace(c, prompt=loud(c.prompt)) for c in asked], progress)

    def drawing(self, prompts: Any, sampling: Any, seeds: Any) -> list[Future[Generation]]:
        return self.inner.drawing([loud(p) for p in prompts], sampling, seeds)


def loud(prompt: Any) -> list[Message]:
    return [m.model_copy(update={"content": m.content.upper()}) for m in prompt]


@pytest.fixture
def shouted() -> Iterator[None]:
    @parts.part("shouted")
    def wrap(who: Respondent, arm: Arm, desk: parts.Desk) -> Respondent:
        return Shouted(who)

    yield
    PARTS.remove("shouted")
    del parts._WRAPS["shouted"]


SMALL = {
    "name": "loud",
    "personas": ["INFP"],
    "measures": {"tasks": ["behaviour", "social", "replies"], "scenes": 2, "social_items": 3,
                 "replies": 1, "max_new_tokens": 3},
}  # fmt: skip


def test_an_unknown_part_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown condition 'shouted'"):
        StudyConfig.model_validate(SMALL | {"conditions": ["base", "shouted"]})


def test_a_new_part_is_planned_verified_tabled_and_reported(
    shouted: None, tiny_base: Path, tmp_path: Path
) -> None:
    change = {"base": str(tiny_base), "conditions": ["base", "prompted", "shouted+prompted"]}
    config = StudyConfig.model_validate(SMALL | change)
    assert {task.arms for task in plan_of(config)} == {3}
    study = Study(config, tmp_path / "run")
    study.run()
    assert study.who.of(study.content.arms[-1]).name.endswith("+shouted")
    assert [v.condition for v in verdicts(tmp_path / "run")] == ["prompted", "prompted+shouted"]
    analysis = json.loads((tmp_path / "run" / "analysis.json").read_text())
    compared = {(c["a"]["condition"], c["b"]["condition"]) for c in analysis["contrasts"]}
    assert ("base", "prompted+shouted") in compared
    assert "prompted+shouted" in (tmp_path / "run" / "report" / "index.html").read_text()


def test_unknown_conditions_are_named_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'prompted'"):
        StudyConfig.model_validate(SMALL | {"conditions": ["base", "promted"]})
