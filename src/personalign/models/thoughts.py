"""What a model writes before its reply: thoughts between tags, which are no part of the reply."""

from __future__ import annotations

import re
from typing import Literal

from personalign.errors import unknown

__all__ = ["TAGS", "Thinking", "as_thinking", "is_open", "without_thoughts"]

Thinking = Literal["off", "on"]
"""Does a base that can think before it replies do so when a reply is drawn?"""

TAGS = {
    "<think>": "</think>",  # Qwen3, DeepSeek-R1, QwQ, SmolLM3
    "<thought>": "</thought>",
    "<seed:think>": "</seed:think>",  # Seed-OSS
    "[THINK]": "[/THINK]",  # Magistral
    "<|START_THINKING|>": "<|END_THINKING|>",  # Command A
}
"""What opens a thought → what closes it, as families of models write them."""


def _pattern(opened: str, closed: str) -> str:
    begin, end = re.escape(opened), re.escape(closed)
    return rf"\A(?:(?!{begin}).)*?{end}|{begin}.*?(?:{end}|\Z)"


THOUGHT = re.compile("|".join(_pattern(*pair) for pair in TAGS.items()), re.DOTALL)


def as_thinking(value: object) -> Thinking:
    """The setting as files and model arguments give it: YAML reads on and off as true and false.

    Raises:
        InputError: for another word.
    """
    known: dict[object, Thinking] = {True: "on", "on": "on", False: "off", "off": "off"}
    if value not in known:
        raise unknown("thinking", str(value), ["off", "on"])
    return known[value]


def is_open(text: str) -> bool:
    """Does a text end within a thought?"""
    return any(text.rfind(begin) > text.rfind(end) for begin, end in TAGS.items())


def without_thoughts(text: str) -> str:
    """A reply without its thoughts: closed ones, one that the prompt had opened, one that was cut.

    A text in which nothing is closed or opened comes back as it is.
    """
    kept, found = THOUGHT.subn("", text)
    return kept.strip() if found else text
