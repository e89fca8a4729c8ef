"""How a persona sounds: one prompt, with what base and persona said to it."""

from __future__ import annotations

from dataclasses import dataclass

from personalign.findings import Findings
from personalign.records import Transcript

__all__ = ["Heard", "heard"]

TASKS = ("speech", "replies")
"""Whose replies may be heard, the first that there is: ordinary prompts, never those of harm."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What two models said to the same prompt; all of it untrusted text."""

    condition: str
    prompt: str
    base: str
    persona: str


def heard(found: Findings, persona: str) -> Heard | None:
    """The first prompt by name that base and persona both answered, so that nobody has chosen it.

    Under `adapter` where there is such a reply, else under the study's first condition.
    """
    conditions = sorted(found.conditions, key=lambda c: (c != "adapter", c.order))
    for task in TASKS:
        base = _said(found, task, "", "base")
        for condition in (c for c in conditions if c != "base"):
            after = _said(found, task, persona, condition)
            if both := sorted(base.keys() & after.keys()):
                return _heard(condition, base[both[0]], after[both[0]])
    return None


def _said(found: Findings, task: str, persona: str, condition: str) -> dict[str, Transcript]:
    """Sample → what an arm said to it."""
    arm = (task, persona, condition)
    return {t.sample: t for t in found.transcripts if (t.task, t.persona, t.condition) == arm}


def _heard(condition: str, base: Transcript, persona: Transcript) -> Heard:
    prompt = "\n\n".join(message.content for message in persona.prompt)
    return Heard(condition, prompt, base.reply, persona.reply)
