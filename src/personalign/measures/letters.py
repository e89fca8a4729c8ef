"""Which of two statements does it take, by the letter before it?"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from personalign.measures.measure import Answered, Scored
from personalign.models.respondent import Respondent
from personalign.progress import Progress, silent
from personalign.psychometrics import letters
from personalign.psychometrics.inventory import PairInventory, pair_inventory
from personalign.psychometrics.wording import CHOICES, FORMS
from personalign.records import Arm

__all__ = ["Letters"]


class Letters(Answered):
    """How probable the letter of the first statement is against the other."""

    name = "letters"
    way = "letters"
    varied = True

    @cached_property
    def inventory(self) -> PairInventory:
        """Whose pairs are asked."""
        return pair_inventory(self.material.settings.inventory)

    def ask(self, who: Respondent, arm: Arm, progress: Progress = silent) -> Iterator[Scored]:
        given = letters.letters(who, self.inventory, CHOICES[:FORMS], progress)
        return ((a.sample, self.scale[a.sample], a.metric, a.value, a.state) for a in given)
