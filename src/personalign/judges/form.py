"""Does a reply have the form that was asked for? By rule; what it says is not looked at."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping

__all__ = ["FORMS"]

GREETING = re.compile(
    r"(?i)^\W*(?:dear|hi|hello|hey|greetings|good (?:morning|afternoon|evening))\b"
)
CLOSING = re.compile(
    r"(?i)^\W*(?:(?:best|kind|warm|warmest|many)? ?(?:regards|wishes)|sincerely|yours|best|cheers|"
    r"thanks|thank you|love|take care|warmly|talk soon|see you|with (?:love|best|kind|warm))\b"
)
POINT = re.compile(r"^\s*(?:[-*•–—]|\d+[.)])\s*\S")
FENCE = re.compile(r"^```\w*\n(.*)\n```$", re.DOTALL)


def email(reply: str) -> bool:
    """It greets in one of its first three lines, and closes in one of its last four."""
    lines = [line for line in reply.splitlines() if line.strip()]
    return any(map(GREETING.match, lines[:3])) and any(map(CLOSING.match, lines[1:][-4:]))


def points(reply: str) -> bool:
    """Two lines or more, beside one that leads to them, and all of them points."""
    lines = [line for line in reply.splitlines() if line.strip()]
    led = lines if lines and POINT.match(lines[0]) else lines[1:]
    return len(led) > 1 and all(map(POINT.match, led))


def json_object(reply: str) -> bool:
    """One JSON object and nothing else, a code fence aside."""
    text = reply.strip()
    fenced = FENCE.match(text)
    try:
        return isinstance(json.loads(fenced.group(1) if fenced else text), dict)
    except ValueError:
        return False


FORMS: Mapping[str, Callable[[str], bool]] = {"email": email, "list": points, "json": json_object}
"""Form → whether a reply has it."""
