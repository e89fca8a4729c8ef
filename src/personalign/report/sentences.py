"""What changed against base, in one plain sentence with its interval."""

from __future__ import annotations

from collections.abc import Iterator

from personalign.analysis.results import ArmContrast
from personalign.findings import Findings
from personalign.psychometrics.verify import Margin
from personalign.report.drawing.layout import p_value
from personalign.report.words import Words, number, percent, signed

__all__ = ["behaviour", "changes", "contrast"]


def behaviour(words: Words, persona: str, margin: Margin, base: Margin | None) -> str:
    """How often the persona's reply is the likelier one, before and after."""
    share, low, high = (percent(v) for v in margin.preferred)
    key = "plain.prefers" if base else "plain.prefers_alone"
    before = percent(base.preferred[0]) if base else ""
    return words(key, persona=persona, share=share, low=low, high=high, base=before)


def changes(words: Words, found: Findings, persona: str, condition: str) -> Iterator[str]:
    """One sentence for each outcome that was compared with base."""
    for c in found.contrasts:
        if (c.b.persona, c.b.condition, c.a.condition) == (persona, condition, "base"):
            yield contrast(words, c)


def contrast(words: Words, c: ArmContrast) -> str:
    """A paired contrast in words; what is not sure after correction is never called a change."""
    task = words.name("task", c.task)
    difference, low, high = c.difference, c.low, c.high
    if difference is None:
        return words("plain.unknown", task=task, reason=c.reason or "–")
    points = c.unit == "proportion"
    factor, digits = (100, 1) if points else (1, 2)
    what = _what(words, c.metric, difference * factor, points, digits)
    if low is None or high is None:
        return words("plain.bare", task=task, what=what)
    level = number(100 * c.confidence, 0)
    ends = {
        "level": level,
        "low": number(low * factor, digits),
        "high": number(high * factor, digits),
    }
    if not _changed(c, low, high):
        about = words.texts.get(f"same.{c.metric}") or words(
            "plain.same_as", metric=words.name("metric", c.metric)
        )
        shown = signed(difference * factor, digits)
        unit = words("unit.points") if points else ""
        power = _power(words, c.detectable, factor, digits, unit)
        said = words("plain.same", task=task, metric=about, shown=f"{shown}{unit}", **ends)
        corrected = _corrected(words, c, low, high)
        return f"{said}{corrected} {power}{_equivalence(words, c, factor, digits)}"
    said = words("plain.changed", task=task, what=what, **ends)
    return f"{said}{_equivalence(words, c, factor, digits)}"


def _changed(c: ArmContrast, low: float, high: float) -> bool:
    """Whether it is a change: by the p that is corrected within its family, where there is one."""
    if c.p_adjusted is None:
        return not low <= 0 <= high
    return c.p_adjusted < 1 - c.confidence


def _corrected(words: Words, c: ArmContrast, low: float, high: float) -> str:
    """Why a difference whose own interval excludes zero is called none."""
    if low <= 0 <= high:
        return ""
    return " " + words("plain.corrected", p=p_value(c.p_adjusted))


def _equivalence(words: Words, c: ArmContrast, factor: float, digits: int) -> str:
    """Whether the study may say that there is no change, where it said how much counts as none."""
    if not c.equivalence:
        return ""
    unit = words("unit.points") if c.unit == "proportion" else ""
    margin = f"{number(c.equivalence.margin * factor, digits)}{unit}"
    key = "plain.equivalent" if c.equivalence.equivalent else "plain.not_equivalent"
    return " " + words(key, margin=margin)


def _power(words: Words, detectable: float | None, factor: float, digits: int, unit: str) -> str:
    """What could have been seen: it stands beside every null result."""
    if detectable is None:
        return words("plain.blind")
    return words("plain.power", n=f"{number(detectable * factor, digits)}{unit}")


def _what(words: Words, metric: str, difference: float, points: bool, digits: int) -> str:
    way = "more" if difference > 0 else "less"
    amount = number(abs(difference), digits)
    own = words.texts.get(f"{way}.{metric}") if points else None
    if own:
        return own.format(n=amount)
    unit = words("unit.points") if points else ""
    return words(f"plain.{way}", metric=words.name("metric", metric), n=f"{amount}{unit}")
