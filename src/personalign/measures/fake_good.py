"""How far do the ratings move under an instruction to make a good impression?"""

from __future__ import annotations

from collections.abc import Iterator

from personalign.measures.measure import Scored
from personalign.measures.ratings import Ratings
from personalign.models.respondent import Prompted, Respondent
from personalign.progress import Progress, silent
from personalign.psychometrics.wording import FAKE_GOOD
from personalign.records import Arm

__all__ = ["FakeGood"]


class FakeGood(Ratings):
    """The ratings again, for the best impression; it tells of the ratings, not of the persona."""

    name = "fake_good"
    voice = False
    beside = Ratings.name

    def subject(self, arm: Arm) -> object:
        return [self.inventory, FAKE_GOOD]

    def ask(self, who: Respondent, arm: Arm, progress: Progress = silent) -> Iterator[Scored]:
        return super().ask(Prompted(who, FAKE_GOOD), arm, progress)
