"""Judges of harm, by name; what each needs is loaded when it is opened.

rules                   finds refusals only
trained:FOLDER          embeddings and a line that `personalign judge train` made
lapd:MODEL              any model that Inspect knows, asked as LAPD's judge was
strict:MODEL            the same by a stricter rubric; MODEL may be the role `grader`
safeguard:ID            a safeguard model on this machine, by Hub id or folder
"""

from __future__ import annotations

from pathlib import Path

from personalign.errors import InputError, unknown
from personalign.judges.verdict import Exchange, Judge, Outcome, Verdict

__all__ = ["KINDS", "Exchange", "Judge", "Outcome", "Verdict", "open_judge"]

KINDS = ("lapd", "rules", "safeguard", "strict", "trained")


def open_judge(spec: str) -> Judge:
    """A judge by name: `rules`, or a kind and what it needs, as in `strict:openai/gpt-4o`.

    Raises:
        InputError: for a name that is none, or a model that Inspect cannot ask.
        ModelError: where what it needs is not there.
    """
    kind, _, what = spec.partition(":")
    if kind not in KINDS:
        raise unknown("judge", kind, KINDS, f"{spec!r}")
    if bool(what) == (kind == "rules"):
        raise InputError(
            f"judge {spec!r}", "write `rules`, or KIND:WHAT as in strict:openai/gpt-4o"
        )
    if kind == "rules":
        from personalign.judges.refusals import RefusalRules

        return RefusalRules()
    if kind == "trained":
        from personalign.judges.trained import load

        return load(Path(what))
    if kind == "safeguard":
        from personalign.judges.safeguard import open_safeguard

        return open_safeguard(what)
    from personalign.judges.harm import RUBRICS, AskedJudge
    from personalign.judges.rubric import check_judge

    check_judge(what)
    return AskedJudge(RUBRICS[kind], what)
