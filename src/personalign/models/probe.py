"""What a base's chat template does to a conversation, found by trying before any work."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Literal, NamedTuple

from personalign.errors import ModelError
from personalign.models.template import TODAY, ChatTemplate, joined
from personalign.models.thoughts import TAGS
from personalign.records import Message, Record

__all__ = ["Probe", "probe"]

SYSTEM, USER, REPLY = "Speak as a harbour pilot would.", "Where is the north pier?", "Ahead of us."
ASKED = (Message(role="user", content=USER),)
UNDER = (Message(role="system", content=SYSTEM), *ASKED)


class Probe(Record):
    """What was found; `personalign doctor --base` prints it, a run's manifest keeps it.

    Attributes:
        system: Whether a system prompt arrives as a message of its own, or is dropped, refused or
            lost once a reply follows, and is therefore put into the first turn of the user.
        begins: What the template writes before the user's text where nobody gave a system prompt.
        ends: What it writes after a reply.
        thoughts: Can the model think before it replies, and how does the template say so? `switch`:
            it asks; `opened`: the prompt opens a thought; `before reply`: something that is no
            part of the reply stands before it, such as an empty thought.
        opened: What a prompt has at its end that is gone once a reply follows.
        shut: What is put after a prompt, so that the reply itself comes next.
        date: The day that the template is told, where it writes one; the same in every run.
        joins: Is the first token of a reply another one after the prompt than alone?
        refused: Why this base cannot be trained or scored; empty where it can.
    """

    system: Literal["own message", "first turn", "lost"] = "own message"
    begins: str = ""
    ends: str = ""
    thoughts: Literal["none", "switch", "opened", "before reply"] = "none"
    opened: str = ""
    shut: str = ""
    date: str = ""
    joins: bool = False
    refused: str = ""


class _Gap(NamedTuple):
    """What lies between a prompt and its reply: see `Probe.opened`, `shut` and `ends`."""

    opened: str
    shut: str
    ends: str


def probe(template: ChatTemplate) -> Probe:
    """Try a template on short conversations."""
    if not template.source:
        return Probe(system="lost", refused="it has no chat template")
    try:
        asked, gap = template.render(ASKED, generate=True), _gap(template, ASKED)
        date = template.render(ASKED, True, today=TODAY + timedelta(days=400)) != asked
        thinks = template.render(ASKED, True, thinking=True) != asked
    except ModelError as e:
        return Probe(system="lost", refused=e.what)
    if USER not in asked or gap is None:
        why = "drops what the user says"
        if USER in asked:
            why = "renders a prompt differently once a reply follows"
        return Probe(system="lost", refused=f"its chat template {why}")
    system = _system(template)
    first = template.following(asked + gap.shut, REPLY + gap.ends)[0]
    return Probe(
        system=system,
        begins=asked.partition(USER)[0],
        ends=gap.ends,
        thoughts=_thoughts(gap, thinks),
        opened=gap.opened,
        shut=gap.shut,
        date=TODAY.isoformat() if date else "",
        joins=first != template.encode(REPLY + gap.ends)[0],
        refused="a system prompt does not arrive" if system == "lost" else "",
    )


def _thoughts(gap: _Gap, thinks: bool) -> Literal["none", "switch", "opened", "before reply"]:
    if thinks:
        return "switch"
    return "opened" if gap.opened else "before reply" if gap.shut else "none"


def _system(template: ChatTemplate) -> Literal["own message", "first turn", "lost"]:
    if _arrives(template, UNDER):
        return "own message"
    return "first turn" if _arrives(template, joined(UNDER)) else "lost"


def _arrives(template: ChatTemplate, messages: Sequence[Message]) -> bool:
    try:
        text = template.render(messages, generate=True)
        return SYSTEM in text and USER in text and _gap(template, messages) is not None
    except ModelError:
        return False


def _gap(template: ChatTemplate, prompt: Sequence[Message]) -> _Gap | None:
    """What lies between a prompt and its reply; None where the prompt does not begin the whole."""
    asked = template.render(prompt, generate=True)
    reply = Message(role="assistant", content=REPLY)
    before, found, ends = template.render([*prompt, reply]).rpartition(REPLY)
    if not found:
        return None
    if before.startswith(asked):
        more = before[len(asked) :]
        return _Gap("", more if more.strip() else "", ends)
    opened = asked.removeprefix(before)
    for begin, end in TAGS.items():
        if asked.startswith(before) and begin in opened:
            blank = "\n" if opened.endswith("\n") else "\n\n"
            shut = "" if end in opened else f"{blank}{end}\n\n"
            return _Gap(opened, shut, ends)
    return None
