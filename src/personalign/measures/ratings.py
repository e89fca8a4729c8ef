"""How much does it agree with single statements about itself?"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from personalign.measures.measure import Answered, Scored
from personalign.models.respondent import Respondent
from personalign.progress import Progress, silent
from personalign.psychometrics import likert
from personalign.psychometrics.inventory import StatementInventory, statement_inventory
from personalign.psychometrics.wording import FORMS, RATINGS
from personalign.records import Arm

__all__ = ["Ratings"]


class Ratings(Answered):
    """Mean agreement under the probabilities of the answers."""

    name = "ratings"
    way = "expected"
    varied = True

    @cached_property
    def inventory(self) -> StatementInventory:
        """Whose statements are asked."""
        return statement_inventory(self.material.settings.ratings)

    @property
    def size(self) -> int:
        return len(self.inventory.items)

    def ask(self, who: Respondent, arm: Arm, progress: Progress = silent) -> Iterator[Scored]:
        given = likert.expected(who, self.inventory, RATINGS[:FORMS], progress)
        return ((a.sample, self.scale[a.sample], a.metric, a.value, a.state) for a in given)
