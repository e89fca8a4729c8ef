"""What a model is asked in words and writes: each question by itself, with its own seed; and what
it yields, a value or the reason why there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from personalign.models.respondent import Respondent, seed_of
from personalign.models.sampling import Sampling
from personalign.progress import Progress, silent
from personalign.records import Message, State

__all__ = ["BRIEF", "Answer", "Question", "Reply", "Sink", "draw"]

BRIEF = Sampling(max_new_tokens=48, temperature=0.2, top_p=0.9)
"""LAPD's temperature and nucleus; its 256 tokens are not needed where the choice comes first."""


class Answer(NamedTuple):
    """An answer to one item in one way.

    `sample` is the item's id; `metric` is the way and then what varies in it, parted by colons,
    such as `expected:list:fit:forward`; `value` is None where `state` is not `ok`.
    """

    sample: str
    metric: str
    value: float | None
    state: State = "ok"


class Question(NamedTuple):
    """What is asked, about which sample, for which metric, and how a reply to it is read.

    `seed` is the study's, and the metric ends in it.
    """

    sample: str
    metric: str
    text: str
    seed: int
    read: Callable[[str], tuple[float | None, State]]


class Reply(NamedTuple):
    """A question and what was written: model output, so untrusted text; its length in tokens."""

    question: Question
    text: str
    tokens: int


Sink = Callable[[Reply], None]
"""Is called with every reply, for those who keep them to be read."""


def draw(
    who: Respondent,
    questions: Sequence[Question],
    sampling: Sampling = BRIEF,
    progress: Progress = silent,
    heard: Sink = lambda reply: None,
) -> Iterator[Answer]:
    """The row of each question. `progress` counts questions.

    The noise of a draw is seeded by seed and question together, so that no two questions share
    it and neither batch nor order matters.
    """
    prompts = [[Message(role="user", content=q.text)] for q in questions]
    seeds = [seed_of(q.seed, p) for q, p in zip(questions, prompts, strict=True)]
    drawn = who.draw(prompts, sampling, seeds, progress)
    for question, reply in zip(questions, drawn, strict=True):
        heard(Reply(question, reply.text, reply.tokens))
        yield Answer(question.sample, question.metric, *question.read(reply.text))
