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
        InputError: for a name that is no measure's, or a measure without the one it is compared
            with.
    """
    if settings.tasks is None:
        return [kind for kind in MEASURES.values() if kind.by_default]
    names: Sequence[str] = settings.tasks
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
