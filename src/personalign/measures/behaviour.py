"""What would it say? Which of the personas' replies to a situation it finds likelier."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import pandas as pd

from personalign.corpus import scenes
from personalign.measures.measure import Margins, Measure, Scored
from personalign.models.respondent import Respondent
from personalign.personas import catalog
from personalign.progress import Progress, silent
from personalign.psychometrics.administer import behaviour
from personalign.psychometrics.positions import behaviour_positions
from personalign.records import Arm, Scene

__all__ = ["Behaviour"]


class Behaviour(Measure):
    """Log-prob per token of every persona's reply to situations that built no persona."""

    name = "behaviour"
    about = "persona"
    by_default = True
    smallest = 0.02
    """Nats a token: one nat over a reply of fifty tokens, odds of about √10, below which evidence
    is barely worth mentioning (Jeffreys 1961, Theory of Probability, appendix B)."""

    @cached_property
    def scenes(self) -> list[Scene]:
        """Situations that measure, spread over the areas."""
        return scenes.select(self.material.scenes, "measure", self.material.settings.scenes)

    @property
    def size(self) -> int:
        return len(self.scenes)

    def asked(self, arm: Arm) -> Sequence[Scene]:
        """What an arm is asked; the base, all that any persona is."""
        own = self.material.own_scenes.items()
        return [*self.scenes, *(s for n, added in own if arm.persona in ("", n) for s in added)]

    def subject(self, arm: Arm) -> object:
        return self.asked(arm)

    def ask(self, who: Respondent, arm: Arm, progress: Progress = silent) -> Iterator[Scored]:
        for sample, metric, value in behaviour(who, self.asked(arm), progress):
            yield sample, sample, metric, value, "ok"

    def positions(self, rows: pd.DataFrame) -> pd.DataFrame:
        return behaviour_positions(rows, catalog())

    def gains(self, base: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
        before, now = (
            rows.pivot(index="sample", columns="metric", values="value") for rows in (base, after)
        )
        return (now - before).dropna(how="all").rename(columns=lambda m: m.removeprefix("reply:"))

    def margins(
        self, base: pd.DataFrame, after: pd.DataFrame, own: str, other: str
    ) -> Margins | None:
        """None where fewer than two situations have both replies."""
        found = []
        for rows in (base, after):
            wide = rows.pivot(index="sample", columns="metric", values="value")
            if f"reply:{own}" not in wide or f"reply:{other}" not in wide:
                return None
            found.append((wide[f"reply:{own}"] - wide[f"reply:{other}"]).dropna())
        before, now = found
        return (before.reindex(now.index), now) if len(now) > 1 else None
