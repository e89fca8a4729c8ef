"""A part of a set has its kinds in their shares, is drawn by lot, and is the same every time."""

from __future__ import annotations

from collections import Counter

from personalign.evals import social
from personalign.evals.run import tasks_named
from personalign.evals.strata import stratified
from personalign.measures.measure import Material
from personalign.measures.settings import Measures
from personalign.measures.social import Social


def test_a_part_of_the_social_items_has_every_kind() -> None:
    settings = Measures(social_items=36)
    kinds = Counter(i.kind for i in Social(Material(settings, (), {}, 0)).items)
    assert (sum(kinds.values()), set(kinds)) == (36, {i.kind for i in social.read()})


def test_shares_are_kept_within_one_and_every_item_has_its_chance() -> None:
    items = [(k, n) for k, count in (("a", 50), ("b", 30), ("c", 20)) for n in range(count)]
    drawn: Counter[tuple[str, int]] = Counter()
    for seed in range(400):
        part = stratified(items, lambda item: item[0], 10, seed)
        counts = Counter(k for k, _ in part)
        assert all(abs(counts[k] - due) <= 1 for k, due in (("a", 5), ("b", 3), ("c", 2)))
        assert part == stratified(items, lambda item: item[0], 10, seed) == sorted(part)
        drawn.update(part)
    assert set(drawn) == set(items)
    assert max(drawn.values()) < 90  # 40 expected, sd 6


def test_no_size_or_a_large_one_is_the_whole_set() -> None:
    assert stratified("abc", str, None, 0) == stratified("abc", str, 9, 0) == list("abc")


def test_the_first_samples_of_a_task_are_of_every_kind() -> None:
    (task,) = tasks_named(["safety"], seed=3)
    (other,) = tasks_named(["safety"], seed=4)
    first = [s.id for s in task.dataset][:14]
    assert len({s.metadata["cluster"] for s in task.dataset[:14] if s.metadata}) >= 13
    assert first != [s.id for s in other.dataset][:14]
    assert {s.id for s in task.dataset} == {s.id for s in other.dataset}
