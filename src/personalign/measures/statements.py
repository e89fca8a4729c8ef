"""What does it say of itself? Which of two statements it finds likelier as an answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import pandas as pd

from personalign.measures.measure import Measure, Scored
from personalign.models.respondent import Respondent
from personalign.progress import Progress, silent
from personalign.psychometrics.administer import ASK, statements
from personalign.psychometrics.inventory import PairInventory, pair_inventory
from personalign.psychometrics.positions import statement_positions
from personalign.psychometrics.scoring import key_of
from personalign.records import Arm

__all__ = ["Statements"]


class Statements(Measure):
    """Log-prob per token of both statements of each pair, as answers to several questions."""

    name = "statements"
    about = "persona"
    by_default = True
    varied = True
    smallest = 0.1
    """Nats a token: one nat over a statement of ten tokens; see `behaviour`."""

    @cached_property
    def inventory(self) -> PairInventory:
        """Whose pairs are asked."""
        return pair_inventory(self.material.settings.inventory)

    @property
    def asks(self) -> Sequence[str]:
        """Ways of asking."""
        return ASK[: self.material.settings.asks]

    @property
    def size(self) -> int:
        return len(self.inventory.items)

    def subject(self, arm: Arm) -> object:
        return [self.inventory, self.asks]

    def ask(self, who: Respondent, arm: Arm, progress: Progress = silent) -> Iterator[Scored]:
        scale = {item.id: item.scale for item in self.inventory.items}
        for sample, metric, value in statements(who, self.inventory, self.asks):
            yield sample, scale[sample], metric, value, "ok"
        progress(self.size)

    def positions(self, rows: pd.DataFrame) -> pd.DataFrame:
        return statement_positions(rows, self.inventory)

    @property
    def key(self) -> pd.DataFrame:
        return key_of(self.inventory)
