"""What does it write when it is asked about itself, and which pole does that sound like?"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from personalign.measures.measure import Answered, Scored
from personalign.models.respondent import Respondent
from personalign.progress import Progress, silent
from personalign.psychometrics import interview, written
from personalign.psychometrics.inventory import (
    InterviewInventory,
    OpenQuestion,
    interview_inventory,
)
from personalign.records import Arm

__all__ = ["Interview"]


class Interview(Answered):
    """Open questions in free text, rated by a classifier that learnt from the build situations."""

    name = "interview"
    way = "interview"

    @cached_property
    def inventory(self) -> InterviewInventory:
        """Whose questions are asked."""
        return interview_inventory(self.material.settings.interview)

    def subject(self, arm: Arm) -> object:
        return [self.inventory, self.material.built]

    def ask(self, who: Respondent, arm: Arm, progress: Progress = silent) -> Iterator[Scored]:
        questions = interview.written(self.inventory, self._rate, "words", (self.material.seed,))
        given = written.draw(who, questions, interview.AT_LENGTH, progress)
        return ((a.sample, self.scale[a.sample], a.metric, a.value, a.state) for a in given)

    def _rate(self, question: OpenQuestion, reply: str) -> float | None:
        """By the rater of words; None where it cannot tell the question's scale."""
        found = self.material.raters[0]([reply])
        return float(found[question.scale][0]) if question.scale in found else None
