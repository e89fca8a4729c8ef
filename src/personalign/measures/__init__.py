"""Measures: what is asked of whoever answers. One file each."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pkgutil import iter_modules

from personalign.errors import InputError, unknown
from personalign.measures.measure import MEASURES, Answered, Margins, Material, Measure, Scored
from personalign.measures.settings import Measures

__all__ = [
    "MEASURES",
    "Answered",
    "Margins",
    "Material",
    "Measure",
    "Measures",
    "Scored",
    "chosen",
    "made",
]

for _file in iter_modules(__path__):
    import_module(f"{__name__}.{_file.name}")


def chosen(settings: Measures) -> list[type[Measure]]:
    """The measures that are named, or those that are asked by default.

    Raises:
        InputError: for a name that is no measure's, a measure without the one it is compared
            with, or a metric of `equivalence` or `primary` that nothing asked has.
    """
    kinds = _named(settings.tasks)
    if not settings.evaluations:  # whose metrics are known once they have run
        _compared(settings, [metric for kind in kinds for metric in kind.metrics])
    return kinds


def _compared(settings: Measures, known: Sequence[str]) -> None:
    for key in ("equivalence", "primary"):
        if strange := [metric for metric in getattr(settings, key) if metric not in known]:
            if known:
                raise unknown("metric", strange[0], known, f"measures.{key}")
            raise InputError(
                f"measures.{key} names '{strange[0]}', and nothing but the persona is measured",
                "take it out, or measure what changes: `social`, or a task of `evaluations`",
            )


def _named(names: Sequence[str] | None) -> list[type[Measure]]:
    if names is None:
        return [kind for kind in MEASURES.values() if kind.by_default]
    if strange := [name for name in names if name not in MEASURES]:
        raise unknown("measure", strange[0], MEASURES, "measures.tasks")
    kinds = [MEASURES[name] for name in names]
    for kind in kinds:
        if kind.beside and kind.beside not in names:
            raise InputError(
                f"{kind.name} is compared with {kind.beside}", "name both under `measures.tasks`"
            )
    return kinds


def made(material: Material) -> list[Measure]:
    """The measures of a study, in the order in which it names them."""
    return [kind(material) for kind in chosen(material.settings)]
