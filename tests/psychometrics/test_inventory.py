"""Inventories: the shipped ones are balanced, and a fault in a file is told with its line."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import yaml

from personalign.errors import InputError
from personalign.psychometrics.inventory import (
    BipolarInventory,
    inventory,
    pair_inventory,
    statement_inventory,
)

SHIPPED = {
    "mbti_pairs": (64, (0, 1)),
    "mbti_statements": (64, (1, 7)),
    "mbti_interview": (32, (0, 1)),
    "big_five": (60, (1, 7)),
    "big_five_pairs": (40, (0, 1)),
}


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_inventories_are_balanced(name: str) -> None:
    found = inventory(name)
    assert (len(found.items), found.span) == SHIPPED[name]
    sizes = Counter(i.scale for i in found.items)
    assert len(set(sizes.values())) == 1
    if name != "mbti_interview":
        assert all(
            sum(found.sign(i) for i in found.items if i.scale == s) == 0 for s in found.scales
        )


def test_an_unknown_name_lists_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'mbti_pairs'"):
        inventory("mbti_pair")


def test_the_wrong_kind_is_an_error() -> None:
    with pytest.raises(InputError, match=r"mbti_pairs.yaml:3: kind: Input should be 'likert'"):
        statement_inventory("mbti_pairs")


HEAD = """\
name: own
kind: {kind}
licence: none
source: none
instructions: Say.
scales:
  EI: {{positive: E, negative: I, title: energy}}
{more}items:
"""


def written(folder: Path, items: str, kind: str = "likert", more: str = "") -> str:
    path = folder / "own.yaml"
    path.write_text(HEAD.format(kind=kind, more=more) + items)
    return str(path)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ("  - {id: a, scale: EI, key: 2, text: t}\n", r"own.yaml:9: items.0.key: "),
        (
            "  - {id: a, scale: EI, key: 1, text: t}\n  - {id: a, scale: EI, key: 1, text: u}\n",
            r"own.yaml:10: items.1.id: 'a' is taken",
        ),
        (
            "  - id: a\n    key: 1\n    scale: XY\n    text: t\n",
            r"own.yaml:11: items.0.scale: there is no scale 'XY'",
        ),
        ("  - {id: a, scale: EI, text: t}\n", r"own.yaml:9: items.0.key: Field required"),
        ("  - {id: a, scale: EI, key: 1, text: [}\n", r"own.yaml:9: not YAML"),
    ],
)
def test_faults_are_told_with_file_and_line(tmp_path: Path, items: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        inventory(written(tmp_path, items))


def test_a_pole_that_is_none_is_an_error(tmp_path: Path) -> None:
    items = "  - {id: a, scale: EI, first: x, second: y, first_pole: N}\n"
    with pytest.raises(InputError, match=r"own.yaml:9: items.0.first_pole: 'N' is no pole of EI"):
        pair_inventory(written(tmp_path, items, "pairs"))


def test_a_file_without_a_known_kind_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"own.yaml:2: kind: is 'ordinal' — known: pairs"):
        inventory(written(tmp_path, "  []\n", "ordinal"))


BIPOLAR = """\
  - {id: Q1, scale: EI, key: -1, left: loud, right: quiet}
  - {id: Q2, scale: EI, key: -1, left: many, right: few}
  - {id: Q3, scale: EI, key: 1, left: home, right: street}
"""


def test_bipolar_totals_are_the_published_ones(tmp_path: Path) -> None:
    more = "midpoint: 24\nconstants: {EI: 27}\n"
    found = inventory(written(tmp_path, BIPOLAR, "bipolar", more))
    assert isinstance(found, BipolarInventory)
    assert found.span == (1, 5)
    assert found.total("EI", {"Q1": 1, "Q2": 2, "Q3": 5}) == 27 - 1 - 2 + 5


def test_a_constant_that_does_not_fit_the_signs_is_an_error(tmp_path: Path) -> None:
    more = "midpoint: 24\nconstants: {EI: 30}\n"
    with pytest.raises(InputError, match=r"own.yaml:9: constants.EI: .* 27, not to 24"):
        inventory(written(tmp_path, BIPOLAR, "bipolar", more))


def test_answers_without_a_range_are_an_error(tmp_path: Path) -> None:
    items = "  - {id: a, scale: EI, key: 1, text: t}\n"
    with pytest.raises(InputError, match=r"own.yaml:9: highest: answers from 5 to 5 have no range"):
        inventory(written(tmp_path, items, more="lowest: 5\nhighest: 5\n"))


def test_inventories_survive_a_round_trip(tmp_path: Path) -> None:
    found = statement_inventory()
    path = tmp_path / "again.yaml"
    path.write_text(yaml.safe_dump(found.model_dump(mode="json")))
    assert statement_inventory(str(path)) == found
