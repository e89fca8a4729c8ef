"""The sections of figures and tables, in the order in which they are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from personalign.findings import Findings
from personalign.report.drawing.layout import Group
from personalign.report.sections.agreement import agreement
from personalign.report.sections.behaviour import behaviour
from personalign.report.sections.curves import training
from personalign.report.sections.harm import harm
from personalign.report.sections.lengths import lengths
from personalign.report.sections.outcomes import outcomes
from personalign.report.sections.reading import reading
from personalign.report.sections.reliability import reliability
from personalign.report.sections.tradeoffs import tradeoffs
from personalign.report.sections.traits import traits
from personalign.report.sections.types import types
from personalign.report.words import Words

__all__ = ["ALWAYS", "SECTIONS", "sections"]

SECTIONS: Mapping[str, Callable[[Words, Findings], list[Group]]] = {
    "types": types,
    "behaviour": behaviour,
    "reading": reading,
    "agreement": agreement,
    "reliability": reliability,
    "outcomes": outcomes,
    "lengths": lengths,
    "harm": harm,
    "traits": traits,
    "tradeoffs": tradeoffs,
    "training": training,
}
ALWAYS = ("types", "behaviour", "outcomes", "training")
"""Sections that stand there even when there is nothing in them, to say so."""


def sections(words: Words, found: Findings) -> dict[str, list[Group]]:
    """Every section by name; one that was not promised is left out where it would be empty."""
    made = {name: build(words, found) for name, build in SECTIONS.items()}
    return {name: groups for name, groups in made.items() if groups or name in ALWAYS}
