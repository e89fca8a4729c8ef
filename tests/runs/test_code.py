"""The code that a result depends on: formulas count, sentences about them do not."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from personalign.runs import Step, Store, code_hash, states
from personalign.runs import code as room


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Writes modules of a package that stands in for ours."""
    folder = tmp_path / "stand_in"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(room, "PACKAGE", "stand_in")
    monkeypatch.setattr(room, "PLUMBING", ("stand_in.files",))

    def write(**modules: str) -> None:
        for name, text in modules.items():
            (folder / f"{name}.py").write_text(text)
        importlib.invalidate_caches()
        for known in (room._file, room._tree, room._imports, room._syntax):
            known.cache_clear()

    yield write
    for known in (room._file, room._tree, room._imports, room._syntax):
        known.cache_clear()
    sys.modules.pop("stand_in", None)


FORMULA = "def mean(x):\n    return sum(x) / len(x)\n"


def test_a_changed_formula_makes_due_what_uses_it_and_nothing_else(
    package: Callable[..., None], tmp_path: Path
) -> None:
    package(
        formula=FORMULA,
        files="def read():\n    return 1\n",
        uses="def f():\n    from stand_in.formula import mean\n    from stand_in import files\n",
        other="from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import stand_in.formula\n",
    )
    assert room.modules("stand_in.uses") == ["stand_in.formula", "stand_in.uses"]
    store = Store(tmp_path / "run")
    steps = [
        Step(name, lambda: [], code=(f"stand_in.{name}",)) for name in ("formula", "uses", "other")
    ]
    for step in steps:
        store.do(step)
    package(formula='def mean(x):\n    """The mean."""\n    return sum(x) / len(x)  # plain\n')
    assert set(states(steps, store).values()) == {"done"}
    package(files="def read():\n    return 2\n")  # it carries results and makes none
    assert set(states(steps, store).values()) == {"done"}
    package(formula=FORMULA.replace("len(x)", "(len(x) - 1)"))
    assert states(steps, store) == {"formula": "due", "uses": "due", "other": "done"}


def test_a_measure_depends_on_what_asks_and_not_on_what_draws() -> None:
    found = room.modules("personalign.measures.behaviour")
    assert "personalign.psychometrics.administer" in found
    assert "personalign.models.trees" in found
    assert not [
        name for name in found if name.startswith(("personalign.report", "personalign.cli"))
    ]
    assert "personalign.measures.speech" not in found


def test_no_module_has_no_code() -> None:
    assert code_hash() == code_hash()
    assert code_hash("personalign.analysis") != code_hash("personalign.report")
