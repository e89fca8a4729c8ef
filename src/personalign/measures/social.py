"""What it changed in social reasoning: which of three answers it finds likeliest."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from personalign.evals import social
from personalign.evals.strata import stratified
from personalign.measures.measure import Measure, Scored
from personalign.models.respondent import Respondent
from personalign.progress import Progress, silent
from personalign.records import Arm

__all__ = ["Social"]


class Social(Measure):
    """SocialIQA's rule on the items that the study names."""

    name = "social"
    about = "change"
    metrics = ("correct", "correct_per_token", "correct_pmi")
    by_default = True

    @cached_property
    def items(self) -> list[social.SocialItem]:
        """Items in the file's order; a part of them is drawn by kind of question."""
        settings = self.material.settings
        items, size = social.read(settings.social), settings.social_items
        return stratified(items, lambda item: item.kind, size, self.material.seed)

    @property
    def task(self) -> str:
        return social.task_name(self.material.settings.social)

    @property
    def size(self) -> int:
        return len(self.items)

    def subject(self, arm: Arm) -> object:
        return self.items

    def ask(self, who: Respondent, arm: Arm, progress: Progress = silent) -> Iterator[Scored]:
        chosen = social.choices(who, self.items, progress=progress)
        for item, choice in zip(self.items, chosen, strict=True):
            for metric, taken in zip(self.metrics, choice, strict=True):
                yield item.id, item.id, metric, float(taken == item.label), "ok"
