"""What is known of a study's measures: do they agree, and are they reliable?"""

from __future__ import annotations

from personalign.psychometrics.agreement import Multitrait
from personalign.psychometrics.reliability import Figure
from personalign.records import Record

__all__ = ["ArmFigure", "Validity"]


class ArmFigure(Figure):
    """A figure about one measure; `arm` is empty where it is over all arms."""

    measure: str
    arm: str = ""


class Validity(Record):
    """All of it."""

    agreement: Multitrait | None = None
    reliability: tuple[ArmFigure, ...] = ()
