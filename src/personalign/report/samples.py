"""Samples for the browser in the page: prompts, replies of all conditions, scores, what changed.

The page gets them as JSON in which every text stands once and is referred to by number.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from personalign.report.findings import Findings
from personalign.report.margins import TASK, scene_margins
from personalign.report.words import Words

__all__ = ["browser_data", "to_script"]

HIDDEN = (TASK, "statements")  # log-probs of single branches: the browser shows margins instead
MARGIN, PREFERS = "margin", "prefers"
Key = tuple[str, str, str]
"""Persona, task, sample."""
Values = dict[str, dict[str, float]]
"""Metric → condition → value."""


def to_script(data: Any) -> str:
    """JSON that cannot end the script element it stands in."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def browser_data(words: Words, found: Findings) -> dict[str, Any]:
    """What the browser of samples shows, and the words it needs.

    An entry is [persona, task, sample, prompt, replies, scores, changes]: replies and the values
    of a score follow the order of `conditions`; `changes` holds `+` where a yes/no score rose
    above base under some condition, and `-` where one fell below.
    """
    texts = _Texts()
    replies = _replies(found, texts)
    scores = _scores(found, {(p, s): t for p, t, s in replies})
    at = {c: k for k, c in enumerate(found.conditions)}
    entries = []
    for key in sorted({*replies, *scores}, key=_order(found, replies)):
        prompt, said = replies.get(key, (-1, {}))
        values = scores.get(key, {})
        measured = {m: [_rounded(v.get(c)) for c in at] for m, v in values.items()}
        entries.append([*key, prompt, [said.get(c, -1) for c in at], measured, _changes(values)])
    return {
        "conditions": found.conditions,
        "texts": texts.all,
        "entries": entries,
        "unverified": _unverified(found),
        "words": words.under("js"),
        "names": {kind: words.under(kind) for kind in ("task", "metric", "condition")},
    }


class _Texts:
    """Every text once, by number."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def number(self, text: str) -> int:
        return self.numbers.setdefault(text, len(self.numbers))

    @property
    def all(self) -> list[str]:
        return list(self.numbers)


def _replies(found: Findings, texts: _Texts) -> dict[Key, tuple[int, dict[str, int]]]:
    """Prompt and replies by condition; what the base said stands beside every persona's."""
    out: dict[Key, tuple[int, dict[str, int]]] = {}
    for t in found.transcripts:
        prompt = texts.number(_prompt(t.prompt))
        for persona in [t.persona] if t.persona else found.personas or [""]:
            said = out.setdefault((persona, t.task, t.sample), (prompt, {}))[1]
            said[t.condition] = texts.number(t.reply)
    return out


def _order(found: Findings, replies: Mapping[Key, Any]) -> Callable[[Key], Any]:
    """Personas as the study has them; of each, samples that can be read before bare scores."""
    rank = {persona: k for k, persona in enumerate(found.personas)}
    return lambda key: (rank.get(key[0], -1), key not in replies, key)


def _prompt(messages: Any) -> str:
    if len(messages) == 1:
        return str(messages[0].content)
    return "\n\n".join(f"{m.role}: {m.content}" for m in messages)


def _scores(found: Findings, spoken: dict[tuple[str, str], str]) -> dict[Key, Values]:
    """Scores by condition. A scene's margin stands with its free-text reply where there is one."""
    out: dict[Key, Values] = {}
    rows = found.scores[~found.scores["task"].isin(HIDDEN)].dropna(subset="value")
    keys = ["persona", "task", "sample", "metric", "condition"]
    means = rows.groupby(keys, sort=False)["value"].mean().reset_index()
    for persona, task, sample, metric, condition, value in means.itertuples(index=False, name=None):
        for name in [persona] if persona else found.personas or [""]:
            values = out.setdefault((name, task, sample), {})
            values.setdefault(metric, {})[condition] = float(value)
    for persona in found.personas:
        for sample, condition, value in _margins(found, persona):
            values = out.setdefault((persona, spoken.get((persona, sample), TASK), sample), {})
            values.setdefault(MARGIN, {})[condition] = value
            values.setdefault(PREFERS, {})[condition] = float(value > 0)
    return out


def _margins(found: Findings, persona: str) -> Iterator[tuple[str, str, float]]:
    wide = scene_margins(found, persona)
    for condition in wide.columns:
        for sample, value in wide[condition].dropna().items():
            yield str(sample), str(condition), float(value)


def _changes(values: Values) -> str:
    """Only yes/no scores can change sides."""
    flags = set()
    for by_condition in values.values():
        base = by_condition.get("base")
        if base is None or not set(by_condition.values()) <= {0.0, 1.0}:
            continue
        flags |= {"+" if v > base else "-" for v in by_condition.values() if v != base}
    return "".join(sorted(flags))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _unverified(found: Findings) -> dict[str, list[str]]:
    return {p: [c for c in found.conditions if found.unverified(p, c)] for p in found.personas}
