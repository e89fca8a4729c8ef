"""Do the measures agree? The multitrait–multimethod matrix, where the verification holds one.

Source: Campbell & Fiske (1959), Psychological Bulletin 56:81–105.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import combinations
from typing import Any

from personalign.report.findings import Findings
from personalign.report.heatmap import heat_map
from personalign.report.layout import Drawing, Group, some
from personalign.report.tables import table
from personalign.report.words import Words, number

__all__ = ["agreement"]


def agreement(words: Words, found: Findings) -> list[Group]:
    """The matrix of correlations between measures of scales.

    `verification.json` holds it under `agreement`: `labels`, a list of {`measure`, `scale`}, and
    `correlations`, a square matrix in their order, −1 to 1 or null; `n`, the units, if it is known.
    """
    matrix = found.agreement
    if not matrix:
        return []
    labels, values = matrix["labels"], matrix["correlations"]
    names = [f"{words.name('measure', x['measure'])} {x['scale']}" for x in labels]
    rows = [_row(labels, values, names, pair) for pair in combinations(range(len(labels)), 2)]
    shown: dict[str, Callable[[Any], str]] = {
        "first": str, "second": str, "same": str, "r": lambda v: number(v, 2),
    }  # fmt: skip
    pairs = table(words, "agreement", rows, shown, words("table.agreement"))
    alt = words("alt.agreement") + "".join(
        f" {r['first']}, {r['second']}: {number(r['r'])};" for r in rows if r["same"] == "yes"
    )
    draw = partial(
        heat_map, names, names, values, lambda v: number(100 * v, 0), span=(-1.0, 1.0), ramp="PuOr"
    )
    drawn = Drawing(words("figure.agreement", n=matrix.get("n") or "–"), alt, draw)
    return [Group(words("table.agreement"), (drawn,), some(pairs))]


def _row(
    labels: list[dict[str, str]],
    values: list[list[float | None]],
    names: list[str],
    pair: tuple[int, int],
) -> dict[str, Any]:
    i, j = pair
    same = labels[i]["scale"] == labels[j]["scale"]
    return {"first": names[i], "second": names[j], "same": "yes" if same else "no",
            "r": values[i][j]}  # fmt: skip
