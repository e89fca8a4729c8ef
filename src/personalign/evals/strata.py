"""A part of a set that still is one: drawn by lot within each kind of question, by one seed."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

__all__ = ["interleaved", "stratified"]

T = TypeVar("T")


def interleaved(items: Sequence[T], kind: Callable[[T], Hashable], seed: int) -> list[T]:
    """All items in an order of which every beginning has each kind by about its share.

    Each kind is shuffled and spread evenly over the whole from a start drawn by lot, so that every
    item is as likely as every other (systematic sampling within strata; Cochran 1977, Sampling
    Techniques, chapters 5 and 8).
    """
    lot = random.Random(seed)
    kinds: dict[Hashable, list[int]] = defaultdict(list)
    for place, item in enumerate(items):
        kinds[kind(item)].append(place)
    spread = []
    for places in kinds.values():
        start = lot.random()
        shuffled = enumerate(lot.sample(places, len(places)))
        spread += [((rank + start) / len(places), place) for rank, place in shuffled]
    return [items[place] for _, place in sorted(spread)]


def stratified(
    items: Sequence[T], kind: Callable[[T], Hashable], size: int | None, seed: int
) -> list[T]:
    """The first `size` of the interleaved items, in their own order; all where None."""
    if size is None or size >= len(items):
        return list(items)
    drawn = interleaved(range(len(items)), lambda place: kind(items[place]), seed)[:size]
    return [items[place] for place in sorted(drawn)]
