"""People look at pairs: decisions are recorded beside the pairs, never in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

from pydantic import ValidationError, model_validator

from personalign.errors import CorpusError, InputError
from personalign.files import Lines, stream
from personalign.records import Message, PreferencePair, Record
from personalign.runs import content_hash

__all__ = [
    "Agreement",
    "Decision",
    "Reviewed",
    "agreement",
    "apply",
    "decisions",
    "pair_id",
    "review",
]

Verdict = Literal["accept", "edit", "reject"]


class Decision(Record):
    """What one reviewer decided about one pair; an edit brings the replies as they should be."""

    pair: str
    reviewer: str
    verdict: Verdict
    chosen: str = ""
    rejected: str = ""
    note: str = ""
    at: str = ""

    @model_validator(mode="after")
    def _edit_has_text(self) -> Decision:
        if self.verdict == "edit" and not (self.chosen.strip() or self.rejected.strip()):
            raise ValueError("an edit needs a new chosen or rejected reply")
        return self


class Agreement(Record):
    """How far two reviewers agree; kappa is None where it is undefined."""

    a: str
    b: str
    pairs: int
    same: float | None
    kappa: float | None


class Reviewed(Record):
    """Counts of applying reviews."""

    pairs: int
    accepted: int
    edited: int
    rejected: int
    unseen: int


def pair_id(pair: PreferencePair) -> str:
    """A hash of what a reviewer sees, whatever the provenance."""
    data = pair.model_dump(mode="json", exclude={"origin"})
    return content_hash(data)[:16]


def review(
    pairs: Iterable[PreferencePair],
    folder: Path,
    reviewer: str,
    decide: Callable[[PreferencePair, int], Decision | None],
) -> int:
    """Ask a reviewer about each pair that they have not seen; None from `decide` ends it.

    Decisions are appended to `FOLDER/REVIEWER.jsonl` one by one, so that stopping loses nothing.
    """
    if not reviewer or not reviewer.replace("-", "").replace("_", "").isalnum():
        raise InputError(f"reviewer {reviewer!r}", "use letters, digits, - and _")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{reviewer}.jsonl"
    seen = {d.pair for d in stream(path, Decision)} if path.exists() else set()
    done = 0
    for pair in pairs:
        if pair_id(pair) in seen:
            continue
        decision = decide(pair, done)
        if decision is None:
            break
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        whole = decision.model_copy(update={"at": decision.at or now})
        with path.open("a", encoding="utf-8") as file:
            file.write(whole.model_dump_json() + "\n")
        seen.add(pair_id(pair))
        done += 1
    return done


def decisions(folder: Path) -> dict[str, dict[str, Decision]]:
    """By reviewer, the last decision about each pair."""
    files = sorted(folder.glob("*.jsonl")) if folder.is_dir() else []
    return {f.stem: {d.pair: d for d in stream(f, Decision)} for f in files}


def agreement(by_reviewer: Mapping[str, Mapping[str, Decision]]) -> list[Agreement]:
    """Cohen's kappa of each two reviewers over the pairs that both have seen."""
    names = sorted(by_reviewer)
    couples = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    return [_agreement(a, b, by_reviewer[a], by_reviewer[b]) for a, b in couples]


def _agreement(
    a: str, b: str, of_a: Mapping[str, Decision], of_b: Mapping[str, Decision]
) -> Agreement:
    from sklearn.metrics import cohen_kappa_score

    both = sorted(of_a.keys() & of_b.keys())
    one, two = ([of[p].verdict for p in both] for of in (of_a, of_b))
    same = sum(x == y for x, y in zip(one, two, strict=True))
    varied = len(set(one) | set(two)) > 1
    return Agreement(
        a=a,
        b=b,
        pairs=len(both),
        same=same / len(both) if both else None,
        kappa=float(cohen_kappa_score(one, two)) if both and varied else None,
    )


def apply(
    pairs: Iterable[PreferencePair],
    by_reviewer: Mapping[str, Mapping[str, Decision]],
    out: Path,
    unseen: Literal["keep", "drop"] = "keep",
) -> Reviewed:
    """Write the pairs that no reviewer rejects, with edits, each with what was decided.

    Where several reviewers edited a pair, the first by name counts; `pairs.jsonl` stays as it is.
    """
    counts = dict.fromkeys(("pairs", "accepted", "edited", "rejected", "unseen"), 0)
    with Lines(out) as lines:
        for pair in pairs:
            counts["pairs"] += 1
            found = list(_about(pair, by_reviewer))
            kept, what = _decided(pair, found, unseen)
            counts[what] += 1
            if kept is not None:
                lines.add(kept)
    return Reviewed(**counts)


def _about(
    pair: PreferencePair, by_reviewer: Mapping[str, Mapping[str, Decision]]
) -> Iterator[Decision]:
    name = pair_id(pair)
    for reviewer in sorted(by_reviewer):
        if name in by_reviewer[reviewer]:
            yield by_reviewer[reviewer][name]


def _decided(
    pair: PreferencePair, found: Sequence[Decision], unseen: Literal["keep", "drop"]
) -> tuple[PreferencePair | None, str]:
    if not found:
        return (pair if unseen == "keep" else None), "unseen"
    if any(d.verdict == "reject" for d in found):
        return None, "rejected"
    edit = next((d for d in found if d.verdict == "edit"), None)
    by = {"reviewed_by": ",".join(d.reviewer for d in found)}
    if edit is None:
        return pair.model_copy(update={"origin": pair.origin | by}), "accepted"
    new = {
        side: (Message(role="assistant", content=text),)
        for side, text in (("chosen", edit.chosen.strip()), ("rejected", edit.rejected.strip()))
        if text
    }
    origin = pair.origin | by | {"edited_by": edit.reviewer, "edited_from": edit.pair}
    try:
        return PreferencePair.model_validate(dict(pair) | new | {"origin": origin}), "edited"
    except ValidationError as e:
        raise CorpusError(
            f"pair {edit.pair} as {edit.reviewer!r} edited it: {e.errors()[0]['msg']}",
            f"mend its line in reviews/{edit.reviewer}.jsonl",
        ) from e
