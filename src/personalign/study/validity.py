"""How far a study's measures can be trusted: reliability and agreement.

All of it comes from the table of scores; nothing is asked again. One unit of analysis is the arm:
arms stand where a psychometrician has people, so that a coefficient over arms speaks of the
differences between these personas and conditions, and of nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from personalign.measures import Answered, Measure
from personalign.psychometrics import agreement, reliability
from personalign.psychometrics.validity import ArmFigure, Validity
from personalign.records import BASE, Arm
from personalign.study.verdicts import positions, rows_of

__all__ = ["validity"]

Positions = Mapping[Arm, Mapping[str, pd.DataFrame]]
"""Arm → measure → unit × scale."""


def validity(
    arms: Sequence[Arm], measures: Sequence[Measure], scores: pd.DataFrame, seed: int
) -> Validity:
    """What the scores of a study say about its measures."""
    voices = [m for m in measures if m.voice]
    found = {arm: positions(voices, scores, arm) for arm in arms}
    within = _within_arms(arms, measures, scores, seed)
    return Validity(
        agreement=agreement.multitrait_multimethod(_means(found)),
        reliability=(*_over_arms(measures, found, seed), *within),
    )


def _means(found: Positions) -> pd.DataFrame:
    rows = [
        (arm.slug, measure, scale, float(column.mean()))
        for arm, measures in found.items()
        for measure, units in measures.items()
        for scale, column in units.items()
        if column.notna().any()
    ]
    return pd.DataFrame(rows, columns=list(agreement.COLUMNS))


def _over_arms(measures: Sequence[Measure], found: Positions, seed: int) -> Iterator[ArmFigure]:
    """Internal consistency of every scale, over arms by items or situations."""
    keys = {m.name: m.key for m in measures}
    for measure, base in found[BASE].items():
        keyed = keys[measure]
        for scale in base:
            rows = {arm.slug: own[measure][scale] for arm, own in found.items() if measure in own}
            table = pd.DataFrame(rows).dropna(how="all").T
            if keyed is not None:  # every second item makes a half that is keyed as the scale is
                table = table[[i for i in keyed.sort_values("sign").index if i in table]]
            for coefficient in (reliability.alpha, reliability.omega, reliability.split_half):
                figure = coefficient(table, "arm", seed, scale=str(scale))
                yield ArmFigure(measure=measure, **dict(figure))


def _within_arms(
    arms: Sequence[Arm], measures: Sequence[Measure], scores: pd.DataFrame, seed: int
) -> Iterator[ArmFigure]:
    """What wording, order and agreeing do to the answers of each arm, and what was lost."""
    answered = [m for m in measures if isinstance(m, Answered)]
    for measure in (m for m in answered if m.voice):
        inventory = measure.inventory
        for arm in arms:
            given = measure.answers(rows_of(scores, arm, measure))
            figures = reliability.rates(given, seed)
            if measure.varied:
                figures += reliability.retest(given, inventory, seed)
                figures += reliability.order(given, inventory, seed)
                figures.append(reliability.acquiescence_figure(given, inventory, seed))
            for other in (m for m in answered if m.beside == measure.name):
                good = other.answers(rows_of(scores, arm, other))
                figures += reliability.desirability(given, good, inventory, seed)
            yield from (ArmFigure(measure=measure.name, arm=arm.slug, **dict(f)) for f in figures)
