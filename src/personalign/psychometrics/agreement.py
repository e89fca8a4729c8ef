"""Do the measures agree? Correlations of measures and scales over arms.

A multitrait–multimethod matrix (Campbell & Fiske 1959, Psychological Bulletin 56:81–105): the same
scale by different measures should agree (convergent); different scales should not, whether by the
same measure or by another (discriminant). What is correlated are positions of arms, so that a
figure speaks of differences between these adapters and conditions, and of nothing else.
"""

from __future__ import annotations

from itertools import combinations
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from personalign.analysis.results import Estimate
from personalign.errors import InputError
from personalign.records import Record

__all__ = ["Correlation", "Multitrait", "Trait", "multitrait_multimethod"]

Kind = Literal["convergent", "discriminant within", "discriminant between"]

FEWEST = 3
"""Arms below which a correlation says nothing: over two it is ±1 by construction."""

COLUMNS = ("arm", "measure", "scale", "position")


class Trait(Record):
    """A scale as one measure sees it."""

    measure: str
    scale: str


class Correlation(Estimate):
    """Pearson's r of two traits over arms; `n` counts arms that have both.

    `convergent`: one scale, two measures; `discriminant within`: two scales, one measure;
    `discriminant between`: two scales, two measures.
    """

    a: Trait
    b: Trait
    kind: Kind


class Multitrait(Record):
    """All correlations, and how they compare.

    `convergent` and `discriminant` are the mean r and the mean |r| (by Fisher's z); `above` is the
    share of comparisons in which a convergent r exceeds the |r| of another scale in its row or
    column, by the other measure or by the same one (after Campbell & Fiske's criteria of
    discriminant validity). None where there is nothing to compare.
    """

    correlations: tuple[Correlation, ...]
    convergent: float | None
    discriminant: float | None
    above: float | None


def multitrait_multimethod(positions: pd.DataFrame) -> Multitrait:
    """The matrix from a long frame with the columns `arm`, `measure`, `scale`, `position`.

    Intervals are Fisher's (1921, Metron 1:3–32), which need four arms; below three arms, and
    where a trait does not vary over arms, a correlation is missing with its reason.

    Raises:
        InputError: for a missing column, or two positions of one arm on one trait.
    """
    if lacking := [c for c in COLUMNS if c not in positions]:
        raise InputError(f"positions have no column {lacking[0]!r}", f"give {', '.join(COLUMNS)}")
    if positions.duplicated(list(COLUMNS[:3])).any():
        raise InputError("an arm has two positions on one trait", "average them first")
    wide = positions.pivot(index="arm", columns=["measure", "scale"], values="position")
    traits = [(str(c[0]), str(c[1])) for c in wide.columns.to_flat_index()]
    found = tuple(_correlation(wide, a, b) for a, b in combinations(traits, 2))
    convergent = [c for c in found if c.kind == "convergent" and c.value is not None]
    other = [c for c in found if c.kind != "convergent" and c.value is not None]
    compared = [
        c.value > abs(d.value)
        for c in convergent
        for d in other
        if c.value is not None and d.value is not None and {c.a, c.b} & {d.a, d.b}
    ]
    return Multitrait(
        correlations=found,
        convergent=_average([c.value for c in convergent if c.value is not None]),
        discriminant=_average([abs(d.value) for d in other if d.value is not None]),
        above=float(np.mean(compared)) if compared else None,
    )


def _correlation(wide: pd.DataFrame, a: tuple[str, str], b: tuple[str, str]) -> Correlation:
    both = wide[[a, b]].dropna().to_numpy(dtype=float)
    n, lost = len(both), len(wide) - len(both)
    value = low = high = reason = None
    if n < FEWEST:
        reason = f"{n} arms have both, and a correlation needs {FEWEST}"
    elif (both.std(axis=0) < 1e-12).any():
        reason = "a position is the same in all arms"
    else:
        result = stats.pearsonr(both[:, 0], both[:, 1])
        value = float(result.statistic)
        if n == FEWEST:
            reason = "no interval: Fisher's needs four arms"
        else:
            limits = result.confidence_interval(0.95)
            low, high = float(limits.low), float(limits.high)
    return Correlation(
        a=Trait(measure=a[0], scale=a[1]),
        b=Trait(measure=b[0], scale=b[1]),
        kind=_kind(a, b),
        value=value,
        low=low,
        high=high,
        n=n,
        missing={"incomplete": lost} if lost else {},
        unit="correlation",
        method="Pearson, Fisher's z",
        reason=reason,
    )


def _kind(a: tuple[str, str], b: tuple[str, str]) -> Kind:
    if a[1] == b[1]:
        return "convergent"
    return "discriminant within" if a[0] == b[0] else "discriminant between"


def _average(values: list[float]) -> float | None:
    """Mean correlation by Fisher's z."""
    if not values:
        return None
    return float(np.tanh(np.mean(np.arctanh(np.clip(values, -0.999999, 0.999999)))))
