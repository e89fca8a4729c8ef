"""Blind reading: people are shown two replies to one prompt and say which of them is a persona's.

The other reply is base's or another persona's; neither name nor condition is seen, and one of the
two must be taken. Which stands first is drawn by lot for each reader; the order of trials is one
lot for all, so that readers who stop early have read the same. Raters by machine are put to the
trials that people read, and stand beside them as readers.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from personalign.analysis.estimates import clustered_proportion, independent, proportion
from personalign.analysis.judges import kappa
from personalign.analysis.results import Estimate
from personalign.errors import InputError
from personalign.files import read_records
from personalign.records import Condition, Message, Record, ScoreRow, Transcript

__all__ = [
    "TASK",
    "Alike",
    "Told",
    "Trial",
    "agreement",
    "answers",
    "raters",
    "read",
    "told",
    "trials",
]

TASK = "reading"
"""Of the rows that reading makes. Their metric is `told:FOIL:PLACE:READER`: whose the other reply
was, whether the persona's stood `first` or `second`, and who read; 1 is right."""

READ = ("speech", "replies")
"""Whose replies are read."""

BASE = "base"

NAMES = re.compile(r"[\w-]{1,40}")


class Trial(Record):
    """Two replies to one prompt, of which one is the persona's; untrusted text.

    `foil` is `base`, or the persona that the other reply is of under the same condition.
    """

    run: str = ""
    base_model: str = ""
    task: str
    sample: str
    persona: str
    condition: Condition
    foil: str
    prompt: tuple[Message, ...]
    own: str
    other: str

    @property
    def id(self) -> str:
        """What makes it this trial and no other."""
        return f"{self.task}/{self.sample}/{self.persona}/{self.condition}/{self.foil}"

    def first(self, reader: str, seed: int) -> bool:
        """Whether the persona's reply stands first before this reader."""
        return random.Random(f"{seed} {reader} {self.id}").random() < 0.5

    def row(self, reader: str, took_first: bool, seed: int) -> ScoreRow:
        """What a reader said, as a row like any other."""
        first = self.first(reader, seed)
        return ScoreRow(
            run=self.run,
            base_model=self.base_model,
            persona=self.persona,
            condition=self.condition,
            task=TASK,
            sample=self.id,
            cluster=self.sample,
            metric=f"told:{self.foil}:{'first' if first else 'second'}:{reader}",
            value=float(took_first == first),
        )


class Told(Record):
    """How often a persona's reply is taken for its own, by one reader or by all people (empty).

    `share` is for other prompts and these readers: chance is a half.
    """

    reader: str
    persona: str
    condition: str
    against: str
    share: Estimate


class Alike(Record):
    """How far two readers take the same replies: Cohen's kappa, and the share, of common trials."""

    a: str
    b: str
    same: Estimate
    kappa: Estimate


def trials(
    transcripts: Iterable[Transcript], seed: int, run: str = "", base_model: str = ""
) -> list[Trial]:
    """All that can be read, in an order drawn by lot: each persona's reply against base's, and
    against that of another persona, which is drawn by lot too. Equal or blank replies are no trial.
    """
    said: dict[tuple[str, str], dict[tuple[str, str], Transcript]] = defaultdict(dict)
    for t in transcripts:
        if t.task in READ and t.reply.strip():
            said[t.task, t.sample][t.persona, str(t.condition)] = t
    found = [trial for key in sorted(said) for trial in _of_prompt(said[key], seed)]
    about = {"run": run, "base_model": base_model}
    found = [trial.model_copy(update=about) for trial in found]
    return sorted(found, key=lambda trial: random.Random(f"{seed} {trial.id}").random())


def _of_prompt(said: Mapping[tuple[str, str], Transcript], seed: int) -> Iterator[Trial]:
    for (persona, condition), own in sorted(said.items()):
        if not persona:
            continue
        others = sorted(p for p, c in said if c == condition and p not in ("", persona))
        lot = random.Random(f"{seed} {own.task} {own.sample} {persona} {condition}")
        foils = {BASE: said.get(("", BASE))}
        if others:
            other = lot.choice(others)
            foils[other] = said[other, condition]
        for foil, reply in foils.items():
            if reply is not None and reply.reply.strip() != own.reply.strip():
                yield Trial(
                    task=own.task,
                    sample=own.sample,
                    persona=persona,
                    condition=own.condition,
                    foil=foil,
                    prompt=own.prompt,
                    own=own.reply,
                    other=reply.reply,
                )


def read(
    order: Iterable[Trial],
    folder: Path,
    reader: str,
    seed: int,
    ask: Callable[[Trial, bool], bool | None],
) -> int:
    """Ask a reader about each trial that they have not read; None from `ask` ends it.

    Answers are appended to `FOLDER/READER.jsonl` one by one, so that stopping loses nothing.

    Args:
        ask: Called with a trial, and whether the persona's reply stands first; whether the reader
            took the first.

    Returns:
        How many were read.

    Raises:
        InputError: for a reader's name that is no file's.
    """
    if not NAMES.fullmatch(reader):
        raise InputError(f"reader {reader!r}", "use letters, digits, - and _")
    path = folder / f"{reader}.jsonl"
    seen = {row.sample for row in read_records(path, ScoreRow)} if path.exists() else set()
    done = 0
    for trial in (t for t in order if t.id not in seen):
        took_first = ask(trial, trial.first(reader, seed))
        if took_first is None:
            break
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(trial.row(reader, took_first, seed).model_dump_json() + "\n")
        done += 1
    return done


def answers(folder: Path) -> list[ScoreRow]:
    """All that was read, of all readers.

    Raises:
        CorpusError: for a line that is no row, naming it.
    """
    files = sorted(folder.glob("*.jsonl")) if folder.is_dir() else []
    return [row for file in files for row in read_records(file, ScoreRow)]


def told(rows: Iterable[ScoreRow]) -> list[Told]:
    """Shares by persona, condition and whom the persona stood against: of all people together
    (reader empty), and of each reader. Readers share prompts, which are the clusters."""
    found: dict[tuple[str, str, str, str], list[ScoreRow]] = defaultdict(list)
    for row in rows:
        _, foil, _, reader = row.metric.split(":")
        against = BASE if foil == BASE else "persona"
        for who in ("", reader):
            found[row.persona, str(row.condition), against, who].append(row)
    return [
        Told(reader=who, persona=persona, condition=condition, against=against, share=_share(of))
        for (persona, condition, against, who), of in sorted(found.items())
    ]


def _share(rows: Sequence[ScoreRow]) -> Estimate:
    values = np.array([row.value for row in rows], dtype=float)
    return _proportion(values, [row.cluster for row in rows])


def _proportion(values: ArrayLike, clusters: Sequence[str]) -> Estimate:
    """Wilson's interval; adjusted where a prompt was read more than once."""
    if independent(clusters):
        return proportion(values)
    return clustered_proportion(values, clusters)


def agreement(rows: Iterable[ScoreRow]) -> list[Alike]:
    """Of each two readers, over the trials that both have read."""
    took: dict[str, dict[str, bool]] = defaultdict(dict)
    prompt = {}
    for row in rows:
        lot = random.Random(row.sample).random() < 0.5  # which reply is called the one, for kappa
        took[row.metric.rsplit(":", 1)[1]][row.sample] = (row.value == 1) == lot
        prompt[row.sample] = row.cluster
    pairs = []
    for a, b in combinations(sorted(took), 2):
        both = sorted(took[a].keys() & took[b].keys())
        if both:
            x, y = (np.array([took[who][s] for s in both], dtype=float) for who in (a, b))
            same = _proportion((x == y).astype(float), [prompt[s] for s in both])
            pairs.append(Alike(a=a, b=b, same=same, kappa=kappa(x, y)))
    return pairs


def raters(
    read: Iterable[ScoreRow],
    scores: pd.DataFrame,
    sides: Mapping[str, Mapping[str, int]],
) -> list[ScoreRow]:
    """What the raters of free text would have taken, on the trials that people read.

    A rater takes the reply that it places further towards the persona, all scales together.

    Args:
        read: People's rows.
        scores: The run's; those of `speech` hold what each rater says of each first reply.
        sides: Persona → scale → 1 where it stands on the positive pole, −1 where on the other.
    """
    rows = scores[(scores["task"] == "speech") & scores["metric"].str.endswith(":0")]
    parts = rows["metric"].str.split(":", expand=True).reindex(columns=range(3))
    kept = rows.assign(rater=parts[0], scale=parts[1])
    kept = kept[kept["scale"].isin({scale for own in sides.values() for scale in own})]
    keys = ["rater", "persona", "condition", "sample", "scale"]
    placed = kept.dropna(subset="value").groupby(keys, observed=True)["value"].mean().to_dict()
    names = sorted(set(kept["rater"]))
    return [
        row.model_copy(update={"metric": f"told:{foil}:{place}:{name}", "value": float(right)})
        for row in {row.sample: row for row in read if row.sample.startswith("speech/")}.values()
        for _, foil, place, _ in [row.metric.split(":")]
        for name in names
        if (right := _taken(placed, name, row, foil, sides.get(row.persona, {}))) is not None
    ]


def _taken(
    placed: Mapping[Any, float], rater: str, row: ScoreRow, foil: str, sides: Mapping[str, int]
) -> bool | None:
    """Whether a rater takes the persona's reply; None where it has not rated both."""
    arms = (row.persona, str(row.condition)), ("", BASE) if foil == BASE else (foil, row.condition)
    towards = []
    for scale, side in sides.items():
        own, other = (placed.get((rater, *arm, row.cluster, scale)) for arm in arms)
        if own is not None and other is not None:
            towards.append(side * (own - other))
    return sum(towards) > 0 if towards else None
