"""A condition is parsed once into parts; what is unknown raises wherever it comes from."""

from __future__ import annotations

import pickle

import pytest
from pydantic import ValidationError

from personalign import records
from personalign.errors import InputError
from personalign.records import BASE, Arm, Condition, ScoreRow


@pytest.fixture(autouse=True)
def guarded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "PARTS", [*records.PARTS, "guarded"])


def test_parts_stand_in_one_order() -> None:
    assert Condition("adapter+prompted") == "prompted+adapter"
    assert Condition("adapter+prompted").parts == ("prompted", "adapter")
    assert Condition("base").parts == ()
    assert pickle.loads(pickle.dumps(Condition("guarded"))).parts == ("guarded",)


def test_conditions_are_sorted_base_first_then_parts_then_sums() -> None:
    told = ["prompted+adapter", "guarded", "adapter", "base", "prompted"]
    found = sorted(map(Condition, told), key=lambda c: c.order)
    assert found == ["base", "prompted", "adapter", "guarded", "prompted+adapter"]


@pytest.mark.parametrize("text", ["", "Base", "adaptor", "adapter+", "base+adapter", "prompt"])
def test_unknown_conditions_raise(text: str) -> None:
    with pytest.raises(InputError, match="unknown condition"):
        Condition(text)
    with pytest.raises(ValidationError, match="unknown condition"):
        Arm(persona="INFP", condition=text)  # type: ignore[arg-type]


def test_a_part_stands_once() -> None:
    with pytest.raises(InputError, match="names a part twice"):
        Condition("adapter+adapter")


def test_a_part_within_a_word_is_no_part() -> None:
    with pytest.raises(InputError):
        Condition("unprompted")


def test_an_arm_names_its_files_and_itself() -> None:
    arm = Arm(persona="INFP", condition=Condition("prompted+adapter"), seed=2)
    assert (arm.slug, arm.label) == ("INFP-prompted+adapter-2", "INFP · prompted+adapter · seed 2")
    assert (BASE.slug, BASE.label, BASE.adapter) == ("base", "base", None)
    assert Arm.model_validate_json(arm.model_dump_json()) == arm


def test_a_row_reads_and_writes_its_condition_as_text() -> None:
    row = ScoreRow(
        run="r", base_model="b", persona="INFP", condition=Condition("adapter"), seed=1,
        task="t", sample="s", cluster="s", metric="m", value=1.0,
    )  # fmt: skip
    assert '"condition":"adapter","seed":1' in row.model_dump_json()
    assert ScoreRow.model_validate_json(row.model_dump_json()).condition.parts == ("adapter",)
