"""A measure is one class: everything that names measures finds it there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from personalign.errors import InputError
from personalign.measures import MEASURES, Measure, Measures, Scored, chosen
from personalign.measures import __path__ as files
from personalign.models.respondent import Candidates, Respondent
from personalign.progress import Progress, silent
from personalign.records import Arm, Message
from personalign.study import Study, StudyConfig
from personalign.study.plan import plan_of

ASKED = [Message(role="user", content="Is it late?")]


@pytest.fixture
def dummy() -> Iterator[type[Measure]]:
    class Lateness(Measure):
        """How likely is yes?"""

        name = "lateness"
        about = "change"

        @property
        def size(self) -> int:
            return 2

        def subject(self, arm: Arm) -> object:
            return ["lateness", 2]

        def ask(self, who: Respondent, arm: Arm, progress: Progress = silent) -> Iterator[Scored]:
            asked = [Candidates(ASKED, ["Yes.", "No."])] * self.size
            for k, (yes, no) in enumerate(who.score(asked, progress)):
                yield f"late-{k}", f"late-{k}", "yes", float(yes.sum() > no.sum()), "ok"

    yield Lateness
    del MEASURES["lateness"]


def test_every_file_of_the_room_is_a_measure() -> None:
    here = {file.stem for file in Path(files[0]).glob("*.py")} - {"__init__", "measure", "settings"}
    assert here == set(MEASURES)


def test_measures_that_are_not_named_are_those_by_default() -> None:
    names = {kind.name for kind in chosen(Measures())}
    assert names == {name for name, kind in MEASURES.items() if kind.by_default} != set()


def test_unknown_measures_are_named_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"unknown measure 'behavior'.*'behaviour'"):
        chosen(Measures(tasks=("behavior",)))


def test_a_new_measure_needs_one_class(
    dummy: type[Measure], tiny_base: Path, tmp_path: Path
) -> None:
    config = StudyConfig.model_validate(
        {
            "name": "one-class",
            "base": str(tiny_base),
            "personas": ["INFP"],
            "conditions": ["base", "prompted"],
            "measures": {"tasks": ["behaviour", "lateness"], "scenes": 2},
        }
    )
    planned = {task.task: task.answers for task in plan_of(config)}
    assert planned["lateness"] == 2 * 2
    Study(config, tmp_path / "run").run()
    frame = pd.read_parquet(tmp_path / "run" / "scores.parquet")
    own = frame[frame["task"] == "lateness"]
    assert set(zip(own["persona"], own["sample"], strict=True)) == {
        (persona, f"late-{k}") for persona in ("", "INFP") for k in range(2)
    }
    analysis: dict[str, Any] = json.loads((tmp_path / "run" / "analysis.json").read_text())
    assert {e["task"] for e in analysis["estimates"]} == {"lateness"}
    assert "lateness" in (tmp_path / "run" / "report" / "index.html").read_text()


def test_every_measure_of_a_persona_states_the_smallest_shift_that_counts() -> None:
    speak = [kind for kind in MEASURES.values() if kind.about == "persona" and kind.voice]
    assert speak
    assert [kind.name for kind in speak if not kind.smallest > 0] == []
