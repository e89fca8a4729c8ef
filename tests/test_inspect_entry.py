"""What somebody who has the wheel alone can name in Inspect."""

from __future__ import annotations

from pathlib import Path

import pytest
from inspect_ai._util.registry import registry_lookup

from personalign import inspect_entry
from personalign.evals.registry import TASKS

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def test_the_entry_point_is_this_module() -> None:
    tomllib = pytest.importorskip("tomllib", reason="Python 3.11")
    entries = tomllib.loads(PROJECT.read_text())["project"]["entry-points"]["inspect_ai"]
    assert entries == {"personalign": inspect_entry.__name__}


def test_every_task_and_provider_has_a_name() -> None:
    for name in (*TASKS, "letter_choice", "rated_statements"):
        assert registry_lookup("task", f"personalign/{name}"), name
    for name in ("personalign", "personalign-vllm"):
        assert registry_lookup("modelapi", f"personalign/{name}"), name
