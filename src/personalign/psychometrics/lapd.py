"""LAPD's questionnaire results, through the same scoring and verdicts as everything else.

LAPD typed sixty answers from 1 to 7 into a website and read a type off it. The statements belong
to that website and are not shipped; the key here (`keys/lapd.csv`: item number, sign, scale) is
this project's own reading of which statement is about what, twelve a dichotomy, and twelve that
are about none of the four. The website's own key and weights are not public.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from personalign.errors import InputError
from personalign.files import read_document
from personalign.personas import DICHOTOMIES, Persona
from personalign.psychometrics.inventory import StatementInventory
from personalign.psychometrics.loaders import keyed_csv, read_key
from personalign.psychometrics.parse import rating
from personalign.psychometrics.positions import answer_positions
from personalign.psychometrics.reliability import Figure, acquiescence_figure
from personalign.psychometrics.scoring import COLUMNS, Position, positions
from personalign.psychometrics.verify import Verification, verify
from personalign.records import Condition, Record

__all__ = [
    "PUBLISHED",
    "PublishedScale",
    "Rescored",
    "answers",
    "published_scales",
    "questionnaire",
    "rescore",
]

PUBLISHED = {
    "base": (72, 63, 36, 33),
    "INFP": (47, 70, 22, 63),
    "INFJ": (47, 33, 22, 28),
    "ESTJ": (68, 48, 69, 22),
    "ENTJ": (61, 41, 61, 39),
}
"""LAPD's table: percent extraverted, intuitive, thinking, prospecting."""

_TOWARDS = {"EI": "E", "SN": "N", "TF": "T", "JP": "P"}
"""The pole whose percentage is given."""


class PublishedScale(Record):
    """A published percentage as a position, -1 to 1, and whether it has the claimed letter.

    A percentage alone has no interval: `agrees` says on which side the point lies, no more.
    """

    scale: str
    position: float
    letter: str
    claimed: str
    agrees: bool


class Rescored(NamedTuple):
    """What a file of sixty answers says, and which verdict that gives on the claimed type."""

    positions: tuple[Position, ...]
    acquiescence: Figure
    verification: Verification


def published_scales(claimed: str) -> tuple[PublishedScale, ...]:
    """The published percentages of a type, against the letters that it claims."""
    if claimed not in PUBLISHED or claimed == "base":
        raise InputError(f"LAPD published no {claimed!r}", "it has INFP, INFJ, ESTJ and ENTJ")
    return tuple(
        _published(scale, percent, letter)
        for scale, percent, letter in zip(DICHOTOMIES, PUBLISHED[claimed], claimed, strict=True)
    )


def questionnaire(path: Path) -> StatementInventory:
    """LAPD's sixty statements from the user's CSV file, under the key of this project."""
    key = Path(str(resources.files("personalign.psychometrics"))) / "keys" / "lapd.csv"
    return keyed_csv(path, read_key(key))


def answers(path: Path, inventory: StatementInventory) -> pd.DataFrame:
    """Answers from one of LAPD's output files, a JSON list of `question` and `answer`.

    Free text is parsed as any other ("6", "6, since I …"); statements that count on no scale are
    left out.
    """
    numbers = {item.text: item.id for item in inventory.items}
    document, rows = read_document(path), []
    if not isinstance(document.data, list):
        raise document.error((), "not a list of questions and answers")
    for k, entry in enumerate(document.data):
        if not isinstance(entry, dict) or {"question", "answer"} - entry.keys():
            raise document.error((k,), "no question and answer")
        if (question := str(entry["question"])) in numbers:
            value, state = rating(str(entry["answer"]))
            rows.append((numbers[question], "lapd", "own", "forward", value, state))
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"value": float})


def rescore(path: Path, inventory: StatementInventory, persona: Persona, seed: int = 0) -> Rescored:
    """Positions, acquiescence and verdict of one output file; base's answers are not published.

    LAPD's fine-tunes answered under a system prompt that names the type, so that the condition is
    `prompted+adapter`.
    """
    given = answers(path, inventory)
    asked = {"self-report": answer_positions(given, inventory)}
    return Rescored(
        positions(given, inventory, seed),
        acquiescence_figure(given, inventory, seed),
        verify(
            persona, Condition("prompted+adapter"), {}, asked, None, seed, centred={"self-report"}
        ),
    )


def _published(scale: str, percent: float, claimed: str) -> PublishedScale:
    positive, negative = DICHOTOMIES[scale][0], DICHOTOMIES[scale][1]
    share = percent / 50 - 1
    position = share if _TOWARDS[scale] == positive else -share
    letter = positive if position > 0 else negative
    return PublishedScale(
        scale=scale,
        position=position,
        letter=letter,
        claimed=claimed,
        agrees=letter == claimed,
    )
