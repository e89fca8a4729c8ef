"""What is known of a study's measures: do they agree, are they reliable, would others pass too?"""

from __future__ import annotations

from personalign.psychometrics.agreement import Multitrait
from personalign.psychometrics.reliability import Figure
from personalign.psychometrics.verify import FalseConfirmations
from personalign.records import Record

__all__ = ["ArmFigure", "FalseLabels", "Validity"]


class ArmFigure(Figure):
    """A figure about one measure; `arm` is empty where it is over all arms."""

    measure: str
    arm: str = ""


class FalseLabels(FalseConfirmations):
    """As which of the other types an arm would pass too.

    The base is set against itself: half of the wordings against the other half.
    """

    arm: str


class Validity(Record):
    """All of it; `false_labels` is empty where not all four dichotomies were measured."""

    agreement: Multitrait | None = None
    reliability: tuple[ArmFigure, ...] = ()
    false_labels: tuple[FalseLabels, ...] = ()
