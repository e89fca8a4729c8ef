"""IPIP-NEO answers against human norms, by the library five-factor-e.

The library holds Johnson's norms by sex and age and no items; an inventory comes from a file that
the user has (`loaders.ipip_neo`). A percentile says where a person who answered so would stand
among the people who filled in the instrument on the Internet, and nothing about what a model is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from personalign.errors import InputError
from personalign.psychometrics.inventory import StatementInventory
from personalign.records import Record

__all__ = ["NormScore", "Sex", "against_norms"]

Sex = Literal["M", "F", "N"]

ORDER = ("neuroticism", "extraversion", "openness", "agreeableness", "conscientiousness")
"""Domains of items 1, 2, 3, 4, 5, 6, … of the IPIP-NEO (Johnson 2014)."""

AGES = (10, 110)


class NormScore(Record):
    """A domain among people: percentiles, 1 to 99, or the reason why there are none.

    `facets` are the percentiles of the domain's six facets, by the library's names.
    """

    scale: str
    percentile: float | None = Field(ge=1, le=99)
    facets: dict[str, float] = Field(default_factory=dict)
    reason: str | None = None


def against_norms(
    answers: Mapping[str, float | None],
    inventory: StatementInventory,
    *,
    sex: Sex = "N",
    age: int = 30,
) -> tuple[NormScore, ...]:
    """Percentile of each domain among people of a sex and an age.

    The norms are of sums over all items, so that one missing answer makes all domains missing:
    nothing is imputed.

    Args:
        answers: Item → answer from 1 to 5, which may be an expected value; None is missing.
        inventory: IPIP-NEO-120 or -300, in the instrument's order.
        sex: "N" takes the mean of both norms, as the library does.
        age: Years, 10 to 110. Norms change at 21, 41 and 61.

    Raises:
        InputError: for another inventory, an answer off the scale, an impossible sex or age, or
            without five-factor-e.
    """
    _check(inventory, sex, age)
    values = {i.id: v for i in inventory.items if (v := answers.get(i.id)) is not None}
    if lacking := len(inventory.items) - len(values):
        what = f"{lacking} of {len(inventory.items)} items have no answer"
        reason = f"{what}, and the norms are of sums"
        return tuple(NormScore(scale=s, percentile=None, reason=reason) for s in ORDER)
    given = [_reversed(item.key, values[item.id]) for item in inventory.items]
    return tuple(_scores(_compute(given, sex, age)))


def _compute(values: list[float], sex: Sex, age: int) -> dict[str, Any]:
    try:
        from ipipneo import IpipNeo
    except ImportError as e:
        raise InputError(
            "five-factor-e is not installed", "pip install 'personalign[norms]'"
        ) from e

    # Reversed already: the library's own reversal takes whole numbers only.
    rows = [
        {"id_question": k, "id_select": value, "reverse_scored": 0}
        for k, value in enumerate(values, start=1)
    ]
    found: dict[str, Any] = IpipNeo(question=len(values), test=True).compute(
        sex=sex, age=age, answers={"answers": rows}
    )
    return {k: v for d in found["person"]["result"]["personalities"] for k, v in d.items()}


def _scores(domains: dict[str, Any]) -> list[NormScore]:
    return [
        NormScore(
            scale=scale,
            percentile=_within(domains[scale][scale[0].upper()]),
            facets={
                name: _within(value)
                for facet in domains[scale]["traits"]
                for name, value in facet.items()
                if name not in ("trait", "score")
            },
        )
        for scale in ORDER
    ]


def _within(percentile: float) -> float:
    """The library's cubic approximation may leave the 1 to 99 that it is cut at."""
    return min(99.0, max(1.0, float(percentile)))


def _reversed(key: int, value: float) -> float:
    if not 1 <= value <= 5:
        raise InputError(f"an answer of {value:g} to an IPIP-NEO item", "answers are 1 to 5")
    return value if key == 1 else 6 - value


def _check(inventory: StatementInventory, sex: str, age: int) -> None:
    scales = [i.scale for i in inventory.items]
    if len(scales) not in (120, 300) or scales != [ORDER[k % 5] for k in range(len(scales))]:
        raise InputError(
            f"{inventory.name!r} is not IPIP-NEO-120 or -300 in its order: {len(scales)} items",
            "norms exist for these two only; keep the file's order",
        )
    if sex not in ("M", "F", "N") or not AGES[0] <= age <= AGES[1]:
        raise InputError(f"no norms for sex {sex!r}, age {age}", "sex M, F or N; age 10 to 110")
