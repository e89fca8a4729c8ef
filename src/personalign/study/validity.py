"""How far a study's measures can be trusted: reliability and agreement.

All of it comes from the table of scores; nothing is asked again. One unit of analysis is the arm:
arms stand where a psychometrician has people, so that a coefficient over arms speaks of the
differences between these personas and conditions, and of nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import pandas as pd

from personalign.measures import Answered
from personalign.psychometrics import agreement, reliability
from personalign.psychometrics.validity import ArmFigure, Validity
from personalign.records import BASE, Arm
from personalign.study.verdicts import positions, rows_of

if TYPE_CHECKING:
    from personalign.study.steps import Study

__all__ = ["validity"]

Positions = Mapping[Arm, Mapping[str, pd.DataFrame]]
"""Arm → measure → unit × scale."""


def validity(study: Study, scores: pd.DataFrame) -> Validity:
    """What the scores of a study say about its measures."""
    found = {arm: positions(study, scores, arm) for arm in study.arms}
    return Validity(
        agreement=agreement.multitrait_multimethod(_means(found)),
        reliability=(*_over_arms(study, found), *_within_arms(study, scores)),
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


def _over_arms(study: Study, found: Positions) -> Iterator[ArmFigure]:
    """Internal consistency of every scale, over arms by items or situations."""
    keys = {m.name: m.key for m in study.measures}
    for measure, base in found[BASE].items():
        keyed = keys[measure]
        for scale in base:
            rows = {arm.slug: own[measure][scale] for arm, own in found.items() if measure in own}
            table = pd.DataFrame(rows).dropna(how="all").T
            if keyed is not None:  # every second item makes a half that is keyed as the scale is
                table = table[[i for i in keyed.sort_values("sign").index if i in table]]
            for coefficient in (reliability.alpha, reliability.omega, reliability.split_half):
                figure = coefficient(table, "arm", study.config.seed, scale=str(scale))
                yield ArmFigure(measure=measure, **dict(figure))


def _within_arms(study: Study, scores: pd.DataFrame) -> Iterator[ArmFigure]:
    """What wording, order and agreeing do to the answers of each arm, and what was lost."""
    seed = study.config.seed
    answered = [m for m in study.measures if isinstance(m, Answered)]
    for measure in (m for m in answered if m.voice):
        inventory = measure.inventory
        for arm in study.arms:
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
