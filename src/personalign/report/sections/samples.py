"""The samples, side by side under every condition, as data for the page's own browser.

Everything in it that a model wrote or a person named is untrusted. It never becomes markup: the
page gets it as JSON in which every text stands once and is referred to by number.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from personalign.analysis.tradeoffs import HARMS
from personalign.findings import Findings
from personalign.report.words import Words

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MOST", "browser_data", "to_script"]

TASK = "behaviour"
HIDDEN = (TASK, "statements")  # log-probs of single branches: the browser shows margins instead
MARGIN, PREFERS = "margin", "prefers"
UNSAFE, SAFER = "u", "s"
MOST = 20_000
"""Samples in the page; more are left out, those whose safety changed last."""
MOST_TEXT = 14_000_000
"""Characters of text in the page, so that it stays below 25 MB."""
Key = tuple[str, str, str]
"""Persona, task, sample."""
Values = dict[str, dict[str, float]]
"""Metric → condition → value."""


@dataclass
class Sample:
    """What was asked and said, and what it scored: by condition."""

    prompt: str | None = None
    replies: dict[str, str] = field(default_factory=dict)
    judged: dict[str, str] = field(default_factory=dict)
    values: Values = field(default_factory=dict)
    category: str = ""
    harmful: bool = False

    @property
    def size(self) -> int:
        """Characters of text."""
        texts = [*self.replies.values(), *self.judged.values()]
        return len(self.prompt or "") + sum(map(len, texts))


def to_script(data: Any) -> str:
    """JSON that cannot end the script element it stands in."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def browser_data(words: Words, found: Findings) -> dict[str, Any]:
    """What the browser of samples shows, and the words it needs.

    An entry is [persona, task, sample, prompt, replies, scores, changes, category, judged, folded]:
    replies, judge's words and the values of a score follow the order of `conditions`. `changes`
    holds `+` where a yes/no score rose above base under some condition, `-` where one fell below,
    `u` where a safe reply became unsafe, `s` where an unsafe one became safe. `folded` is 1 for a
    condition whose reply may be harmful, and at its end for the prompt.
    """
    samples = _samples(found)
    kept = _kept(samples)
    texts = _Texts()
    ordered = sorted(kept, key=_order(found, samples))
    entries = [_entry(found, key, samples[key], texts) for key in ordered]
    return {
        "conditions": found.conditions,
        "texts": texts.all,
        "entries": entries,
        "left_out": len(samples) - len(kept),
        "unverified": _unverified(found),
        "words": words.under("js"),
        "names": {kind: words.under(kind) for kind in ("task", "metric", "condition")},
    }


def _entry(found: Findings, key: Key, sample: Sample, texts: _Texts) -> list[Any]:
    at = found.conditions
    harmful = sample.harmful
    return [
        *key,
        -1 if sample.prompt is None else texts.number(sample.prompt),
        [texts.number(sample.replies[c]) if c in sample.replies else -1 for c in at],
        {m: [_rounded(v.get(c)) for c in at] for m, v in sample.values.items()},
        _changes(sample.values),
        sample.category,
        [texts.number(sample.judged[c]) if sample.judged.get(c) else -1 for c in at],
        [int(harmful and not _safe(sample.values, c)) for c in at] + [int(harmful)],
    ]


class _Texts:
    """Every text once, by number."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def number(self, text: str) -> int:
        return self.numbers.setdefault(text, len(self.numbers))

    @property
    def all(self) -> list[str]:
        return list(self.numbers)


def _samples(found: Findings) -> dict[Key, Sample]:
    """What the base said and scored stands beside every persona's."""
    out: dict[Key, Sample] = {}
    for t in found.transcripts:
        prompt = _prompt(t.prompt)
        for persona in [t.persona] if t.persona else found.personas or [""]:
            sample = out.setdefault((persona, t.task, t.sample), Sample(prompt))
            sample.replies[t.condition] = t.reply
            sample.judged[t.condition] = t.judged
    _add_scores(found, out, {(p, s): t for p, t, s in out})
    return out


def _add_scores(
    found: Findings, out: dict[Key, Sample], spoken: Mapping[tuple[str, str], str]
) -> None:
    """Scores by condition. A scene's margin stands with its free-text reply where there is one."""
    scored = found.scores[~found.scores["task"].isin(HIDDEN)]
    risky = set(scored.loc[scored["metric"].isin(HARMS), "task"])
    kinds = {(t, s): c for t, s, c in _tuples(scored[["task", "sample", "cluster"]])}
    for (_, task, name), sample in out.items():  # also what no judge could say anything of
        kind = kinds.get((task, name), name)
        sample.harmful, sample.category = task in risky, "" if kind == name else kind
    rows = scored.dropna(subset="value")
    keys = ["persona", "task", "sample", "cluster", "metric", "condition"]
    means = rows.groupby(keys, sort=False, observed=True)["value"].mean().reset_index()
    for persona, task, name, cluster, metric, condition, value in _tuples(means):
        for who in [persona] if persona else found.personas or [""]:
            sample = out.setdefault((who, task, name), Sample())
            sample.values.setdefault(metric, {})[condition] = float(value)
            sample.category = "" if cluster == name else cluster
            sample.harmful = task in risky
    for persona in found.personas:
        for name, condition, value in _margins(found, persona):
            key = (persona, spoken.get((persona, name), TASK), name)
            values = out.setdefault(key, Sample()).values
            values.setdefault(MARGIN, {})[condition] = value
            values.setdefault(PREFERS, {})[condition] = float(value > 0)


def _tuples(frame: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
    """A table's rows, through objects: Arrow's texts are made one by one, at six times the cost."""
    return frame.astype(object).itertuples(index=False, name=None)


def _kept(samples: Mapping[Key, Sample]) -> set[Key]:
    """As many as the page bears: first what changed in safety, then what can be read, evenly."""

    def rank(item: tuple[int, Key]) -> Any:
        place, key = item
        changes = _changes(samples[key].values)
        told = 0 if UNSAFE in changes else 1 if SAFER in changes else 2
        return told, samples[key].prompt is None, key[2], place

    kept: set[Key] = set()
    left = MOST_TEXT
    for _, key in sorted(enumerate(samples), key=rank):
        if len(kept) == MOST or samples[key].size > left:
            break
        left -= samples[key].size
        kept.add(key)
    return kept


def _order(found: Findings, samples: Mapping[Key, Sample]) -> Callable[[Key], Any]:
    """Personas as the study has them; of each, samples that can be read before bare scores."""
    rank = {persona: k for k, persona in enumerate(found.personas)}
    return lambda key: (rank.get(key[0], -1), samples[key].prompt is None, key)


def _prompt(messages: Any) -> str:
    if len(messages) == 1:
        return str(messages[0].content)
    return "\n\n".join(f"{m.role}: {m.content}" for m in messages)


def _margins(found: Findings, persona: str) -> Iterator[tuple[str, str, float]]:
    """Scene, condition, and the persona's reply less its opposite's, nats per token."""
    ours, theirs = f"reply:{persona}", f"reply:{found.counterpart(persona)}"
    rows = found.scores
    rows = rows[(rows["task"] == TASK) & rows["persona"].isin(["", persona])]
    table = rows.pivot_table(index=["sample", "condition"], columns="metric", values="value")
    if ours not in table or theirs not in table:
        return
    wide = (table[ours] - table[theirs]).unstack("condition")
    for condition in wide.columns:
        for sample, value in wide[condition].dropna().items():
            yield str(sample), str(condition), float(value)


def _changes(values: Values) -> str:
    """Only yes/no scores can change sides; of those, only measures of harm are about safety."""
    flags = set()
    for metric, by_condition in values.items():
        base = by_condition.get("base")
        if base is None or not set(by_condition.values()) <= {0.0, 1.0}:
            continue
        ways = {"+" if v > base else "-" for v in by_condition.values() if v != base}
        flags |= ways
        if metric in HARMS:
            flags |= {UNSAFE if way == "+" else SAFER for way in ways}
    return "".join(sorted(flags))


def _safe(values: Values, condition: str) -> bool:
    """Was the reply judged, and found harmless by every measure of harm?"""
    judged = [v.get(condition) for metric, v in values.items() if metric in HARMS]
    return bool(judged) and all(v == 0.0 for v in judged)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _unverified(found: Findings) -> dict[str, list[str]]:
    return {p: [c for c in found.conditions if found.unverified(p, c)] for p in found.personas}
