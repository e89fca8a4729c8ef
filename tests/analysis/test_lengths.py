"""Lengths of replies, beside the outcomes that they may explain."""

from __future__ import annotations

import math

from personalign.analysis import Context
from personalign.analysis.lengths import lengths
from personalign.records import Arm

ARM = Arm(persona="INFP", condition="adapter")


def test_mean_tokens_and_the_share_that_was_cut() -> None:
    said = {"a": (10, 1.0), "b": (20, 0.0), "c": (30, 0.0), "d": (40, 0.0)}
    (found,) = lengths(Context(lengths={"safety": {ARM: said}}))
    assert (found.task, found.arm) == ("safety", ARM)
    assert found.tokens.value == 25
    assert (found.tokens.low, found.tokens.high) == (None, None)
    assert found.tokens.reason == "4 replies: an interval needs 8"
    assert (found.cut.value, found.cut.n, found.cut.method) == (0.25, 4, "Wilson")


def test_a_task_in_which_nobody_wrote_has_no_lengths() -> None:
    chosen, written = {"a": (0, 0.0), "b": (0, 0.0)}, {"a": (0, 0.0), "b": (7, 0.0)}
    context = Context(lengths={"social": {ARM: chosen}, "safety": {ARM: written}})
    assert [(length.task, length.tokens.value) for length in lengths(context)] == [("safety", 3.5)]


def test_where_no_reply_says_whether_it_was_cut_nothing_is_claimed() -> None:
    said = {"a": (10, math.nan), "b": (20, math.nan)}
    (found,) = lengths(Context(lengths={"safety": {ARM: said}}))
    assert (found.cut.value, found.cut.n) == (None, 0)
    assert found.tokens.value == 15


def test_an_interval_of_lengths_stays_within_what_can_be_written() -> None:
    said = {str(k): (60 if k else 1, float(k > 0)) for k in range(12)}
    (found,) = lengths(Context(lengths={"safety": {ARM: said}}))
    assert found.tokens.low is not None
    assert found.tokens.high is not None
    assert 1 <= found.tokens.low < found.tokens.value < found.tokens.high <= 60
    assert found.tokens.method.startswith("cluster bootstrap (expanded")
