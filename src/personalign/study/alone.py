"""One model verified without a study: is the persona there?"""

from __future__ import annotations

import pandas as pd

from personalign.corpus import scenes
from personalign.errors import CorpusError
from personalign.measures import Material, Measure, Measures, made
from personalign.models.model import Model
from personalign.models.respondent import Respondent
from personalign.personas import Persona, load
from personalign.psychometrics.verify import Verification
from personalign.psychometrics.verify import verify as verdict
from personalign.records import BASE, Arm, Condition
from personalign.study.verdicts import shown

__all__ = ["verify"]

COLUMNS = ("sample", "cluster", "metric", "value", "state")


def verify(
    model: Model,
    persona: str | Persona,
    measures: Measures | None = None,
    corpus: str = "starter/mbti",
    seed: int = 0,
) -> Verification:
    """The verdict on a model that is called a persona, against its own base.

    Args:
        model: With an adapter, a system prompt, or both.
        persona: A name of the catalogue, a file, or a persona.
        measures: What is asked, and how much of it; a study's defaults where None.
        corpus: Situations with replies; those of split `measure` are asked.
        seed: Of draws and intervals.

    Raises:
        InputError: for an unknown persona or measure.
        CorpusError: where the persona has no opposite in the corpus to stand against.
    """
    who = load(persona) if isinstance(persona, str) else persona
    if who.opposite is None:
        raise CorpusError(f"persona {who.name!r} has no opposite", "name one in its file")
    arm = Arm(persona=who.name, condition=_condition(model))
    material = Material(measures or Measures(), scenes.load(corpus), {}, seed)
    asked = [m for m in made(material) if m.about == "persona"]
    before = {m.name: _rows(m, model.base.respondent, BASE) for m in asked}
    after = {m.name: _rows(m, model.respondent, arm) for m in asked}
    margins = (m.margins(before[m.name], after[m.name], who.name, who.opposite) for m in asked)
    return verdict(
        who,
        arm.condition,
        _positions(asked, before),
        _positions(asked, after),
        next((m for m in margins if m is not None), None),
        seed,
        {m.name for m in asked if m.centred},
        *shown((m, before[m.name], after[m.name]) for m in asked),
        {m.name: m.smallest for m in asked},
    )


def _condition(model: Model) -> Condition:
    parts = {"prompted": model.system, "adapter": model.adapter}
    return Condition("+".join(part for part, given in parts.items() if given) or "base")


def _rows(measure: Measure, who: Respondent, arm: Arm) -> pd.DataFrame:
    scored = [entry for entry in measure.ask(who, arm) if isinstance(entry, tuple)]
    return pd.DataFrame(scored, columns=list(COLUMNS))


def _positions(asked: list[Measure], rows: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    found = {m.name: m.positions(rows[m.name]) for m in asked if m.voice and not m.text}
    return {name: units for name, units in found.items() if units is not None}
