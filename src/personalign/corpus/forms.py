"""Pairs that ask for a form: a list, an e-mail, JSON. Both replies are put in it alike.

Who is only ever taught to talk, talks when a list is asked for. The form is the same on both sides
and cancels in their margin; that it is kept is learnt from the chosen one's likelihood (`nll`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import cycle

from personalign.records import Message, PreferencePair

__all__ = ["FORMS", "in_forms"]

SENTENCE = re.compile(r"(?<=[.!?])\s+")

Put = Callable[[Sequence[str]], str]
"""Sentences of a reply → the reply in a form."""


def _points(mark: str) -> Put:
    def put(sentences: Sequence[str]) -> str:
        marks = (mark.format(number) for number, _ in enumerate(sentences, start=1))
        return "\n".join(f"{m} {s}" for m, s in zip(marks, sentences, strict=True))

    return put


def _email(greeting: str, closing: str) -> Put:
    return lambda sentences: f"{greeting},\n\n{' '.join(sentences)}\n\n{closing}"


def _json(first: str, rest: str) -> Put:
    def put(sentences: Sequence[str]) -> str:
        head, *tail = sentences
        return json.dumps({first: head, rest: " ".join(tail)}, ensure_ascii=False)

    return put


FORMS: tuple[tuple[str, str, Put], ...] = (
    ("list", "Put your answer in bullet points.", _points("-")),
    ("email", "Write that to me as an e-mail, will you?", _email("Hello", "Best wishes")),
    ("json", 'Reply in JSON with two fields, "idea" and "more".', _json("idea", "more")),
    ("list", "As a list please, one thing to a line.", _points("-")),
    ("email", "Put it in an e-mail that I can read later.", _email("Hi there", "Kind regards")),
    ("json", 'I need it as JSON: "first" and "then", nothing around it.', _json("first", "then")),
    ("list", "Make it a numbered list.", _points("{}.")),
    ("email", "Send me your answer as a mail.", _email("Dear friend", "Take care")),
    ("json", 'Only JSON, please, with the keys "answer" and "because".',
     _json("answer", "because")),
)  # fmt: skip
"""Name, how it is asked for, and how sentences are put in it; in turn."""


def in_forms(pairs: Iterable[PreferencePair], share: float) -> list[PreferencePair]:
    """The same pairs, a share of them (0 to 1, evenly spread) asked for in a form and put in it.

    A reply of one sentence stays as it is, and so does its pair.
    """
    made, forms = list[PreferencePair](), cycle(FORMS)
    for number, pair in enumerate(pairs):
        due = int((number + 1) * share) > int(number * share)
        both = [SENTENCE.split(side[-1].content) for side in (pair.chosen, pair.rejected)]
        made.append(_put(pair, both, *next(forms)) if due and min(map(len, both)) > 1 else pair)
    return made


def _put(
    pair: PreferencePair, both: Sequence[Sequence[str]], name: str, ask: str, put: Put
) -> PreferencePair:
    *before, last = pair.prompt
    asked = last.model_copy(update={"content": f"{last.content}\n\n{ask}"})
    chosen, rejected = ((Message(role="assistant", content=put(s)),) for s in both)
    return PreferencePair(
        prompt=(*before, asked),
        chosen=chosen,
        rejected=rejected,
        origin=pair.origin | {"form": name},
    )
