"""Does it hold? The openings again, under requests to drop a persona and in other forms."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import pandas as pd

from personalign.judges.form import FORMS
from personalign.measures.speech import DRAWN, Opening, Speech, shipped
from personalign.models.local import Generation
from personalign.models.respondent import Respondent
from personalign.models.sampling import Sampling
from personalign.psychometrics.criterion import Spoken

__all__ = ["Holds"]


class Holds(Speech):
    """Each of a few openings put in ten ways: six requests to break character, and four forms that
    an answer can take (chat, e-mail, list, JSON); one drawn reply each, rated as `speech` is."""

    name = "holds"

    @cached_property
    def openings(self) -> list[Opening]:
        """Way by way, the same openings; as many as `measures.holds` says."""
        few = self.some(self.material.settings.holds)
        return [
            opening.model_copy(
                update={
                    "id": f"{way['id']}/{opening.id}",
                    "of": opening.id,
                    "text": way["text"].replace("{opening}", opening.text),
                }
            )
            for way in (*shipped()["breaks"], *shipped()["formats"])
            for opening in few
        ]

    @property
    def samplings(self) -> Sequence[Sampling]:
        return [DRAWN]

    def manner(
        self, drawn: Sequence[Generation], who: Respondent
    ) -> dict[str, Sequence[float | None]]:
        """Whether the form is kept that was asked for, where one was."""
        rules = [FORMS.get(opening.id.partition("/")[0]) for opening in self.openings]
        kept = [
            float("nan") if keeps is None else float(keeps(reply.text))
            for keeps, reply in zip(rules, drawn, strict=True)
        ]
        return {"form": kept}

    def spoken(self, rows: pd.DataFrame) -> Spoken:
        """What was said, by way and opening."""
        found = super().spoken(rows)
        put = [(opening.id.partition("/")[0], opening.of) for opening in self.openings]
        ways = pd.MultiIndex.from_tuples(put)
        return Spoken(found.positions.set_axis(ways), found.manner.set_axis(ways), found.named)
