"""What a study makes of its Inspect tasks' rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from personalign.runs import do_all
from personalign.study import Study, StudyConfig

SCALE: dict[str, Any] = {
    "name": "PANAS",
    "questions": {"1": "calm", "2": "tense"},
    "compute_mode": "SUM",
    "prompt": "Numbers from 1 to 5. SCENARIO How much do you feel this?",
    "inner_setting": "Only numbers.",
    "scale": 6,
    "reverse": [],
    "categories": [{"cat_name": "Calm", "cat_questions": [1]}],
}


def test_what_a_situation_changed_is_a_metric_and_the_default_apart(
    tiny_base: Path, tmp_path: Path
) -> None:
    world = {"name": "Fear", "factors": [{"name": "Dark", "scenarios": ["The light goes out."]}]}
    (tmp_path / "questionnaires.json").write_text(json.dumps([SCALE]))
    (tmp_path / "situations.json").write_text(json.dumps({"emotions": [world]}))
    asked = {"emotion_bench": {"source": str(tmp_path)}}
    config: dict[str, Any] = {
        "name": "feelings",
        "base": str(tiny_base),
        "dtype": "float32",
        "personas": ["INFP"],
        "conditions": ["base", "prompted"],
        "measures": {"tasks": [], "evaluations": asked},
    }
    study = Study(StudyConfig.model_validate(config), tmp_path / "run")
    do_all([study.work.evaluations()], study.store)
    frame = pd.read_parquet(tmp_path / "run" / "scores" / "evaluations.parquet")
    for _, arm in frame.groupby(["persona", "condition"]):
        assert dict(zip(arm["metric"], arm["sample"], strict=True)) == {
            "Calm default": "default",
            "Calm": "fear-1-01",
            "Calm change": "fear-1-01",
        }
    assert frame["condition"].nunique() == 2
