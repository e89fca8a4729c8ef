"""Forms of a question: every order, layout and wording asks and reads what it says."""

from __future__ import annotations

import pytest

from personalign.psychometrics.inventory import pair_inventory, statement_inventory
from personalign.psychometrics.wording import CHOICES, LAPD, RATINGS, ChoiceForm, RatingForm

TEXT = "I like long walks."


def test_there_are_enough_forms_and_no_two_ask_alike() -> None:
    for forms in (RATINGS, CHOICES):
        assert len({f.layout for f in forms}) >= 3
        for layout in {f.layout for f in forms}:
            assert len({f.wording for f in forms if f.layout == layout}) >= 2
        assert {f.reversed for f in forms} == {True, False}
        assert len({f.name for f in forms}) == len(forms)
    assert len({f.ask(TEXT) for f in (LAPD, *RATINGS)}) == 1 + len(RATINGS)
    assert len({f.ask("a", "b") for f in CHOICES}) == len(CHOICES)


@pytest.mark.parametrize("form", [f for f in RATINGS if not f.reversed], ids=lambda f: f.name)
def test_a_reversed_scale_shows_the_options_backwards_and_reads_them_forwards(
    form: RatingForm,
) -> None:
    backward = form.model_copy(update={"reversed": True})
    assert backward.labels == form.labels[::-1]
    first, last = form.labels[0], form.labels[-1]
    assert form.ask(TEXT).index(first) < form.ask(TEXT).index(last)
    assert backward.ask(TEXT).index(last) < backward.ask(TEXT).index(first)
    assert form.read("6") == (6.0, "ok")
    assert backward.read("6") == (2.0, "ok")
    assert form.read(f"{last}.") == backward.read(f"{last}.") == (7.0, "ok")
    assert backward.read("no idea") == (None, "unparsed")


@pytest.mark.parametrize("form", [f for f in CHOICES if not f.reversed], ids=lambda f: f.name)
def test_a_reversed_pair_swaps_the_letters_and_keeps_the_value(form: ChoiceForm) -> None:
    backward = form.model_copy(update={"reversed": True})
    asked, swapped = form.ask("One.", "Two."), backward.ask("One.", "Two.")
    assert asked.index("One.") < asked.index("Two.")
    assert swapped == form.ask("Two.", "One.")
    assert form.read("One.", "Two.", "A") == (1.0, "ok")
    assert backward.read("One.", "Two.", "A") == (0.0, "ok")
    assert form.read("One.", "Two.", "Two.") == backward.read("One.", "Two.", "Two.") == (0.0, "ok")


def test_what_differs_between_items_stands_last() -> None:
    items, pairs = statement_inventory().items, pair_inventory().items
    for form in (LAPD, *RATINGS):
        assert all(form.ask(i.text).endswith(i.text) for i in items)
    for choice in CHOICES:
        for i in pairs:
            assert choice.ask(i.first, i.second).endswith(choice.shown(i.first, i.second)[1])


def test_lapd_has_one_order_and_names_no_option() -> None:
    assert LAPD.name == "lapd:agreement:forward"
    assert LAPD.labels == ()
    assert LAPD.read("6\n\nAs an INFP, I like it.") == (6.0, "ok")
    with pytest.raises(ValueError, match="one order"):
        RatingForm(layout="lapd", wording="agreement", reversed=True)


def test_five_answers_keep_the_ends_and_the_middle() -> None:
    for seven in RATINGS:
        five = RatingForm.model_validate({**dict(seven), "points": 5})
        assert [five.labels[k] for k in (0, 2, 4)] == [seven.labels[k] for k in (0, 3, 6)]
        assert "7" not in five.ask(TEXT)
        assert five.read("5")[0] == (1.0 if five.reversed else 5.0)
        assert five.read("6") == (None, "unparsed")
