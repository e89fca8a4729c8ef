"""The rejected half of a pair: another reply to the same prompt, of comparable length."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from personalign.corpus.ask import Asker, Question, ordered
from personalign.corpus.dialogues import SECOND_TRY, Dialogue, Origin
from personalign.corpus.ledger import Answer
from personalign.corpus.pairs import reply_pair
from personalign.corpus.parse import bare_reply, is_refusal
from personalign.corpus.prompting import fenced, prompt
from personalign.files import Lines
from personalign.personas import Persona
from personalign.progress import Progress, silent
from personalign.records import Message, PreferencePair, Record

__all__ = ["Paired", "Rejecting", "Reply", "Unpaired", "Way", "pair_up", "replies", "unfit"]

Way = Literal["opposite", "inversion", "base"]
"""The opposite persona's own reply, the chosen reply turned round, or the untrained model's."""

TOO_ALIKE = 0.8


class Rejecting(Record):
    """How rejected replies are made."""

    way: Way = "opposite"
    ratio: tuple[float, float] = (0.5, 2.0)
    """Words in the rejected reply over words in the chosen one."""
    tries: int = Field(default=2, ge=1)
    temperature: float = Field(default=0.8, ge=0)

    @field_validator("ratio")
    @classmethod
    def _ascending(cls, ratio: tuple[float, float]) -> tuple[float, float]:
        if not 0 <= ratio[0] <= ratio[1]:
            raise ValueError(f"{ratio} is not least and most")
        return ratio


class Unpaired(Record):
    """A reply that got no counterpart, and why."""

    dialogue: str
    turn: int
    reason: str
    text: str


class Paired(Record):
    """Counts of pairing; `lost` questions were not answered and can be asked again."""

    replies: int
    pairs: int
    dropped: dict[str, int]
    lost: int


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply of the persona with everything that was said before it."""

    dialogue: Dialogue
    turn: int

    @property
    def history(self) -> tuple[Message, ...]:
        return self.dialogue.turns[: self.turn]

    @property
    def chosen(self) -> str:
        return self.dialogue.turns[self.turn].content


def replies(dialogues: Iterable[Dialogue]) -> Iterator[Reply]:
    """Every persona turn of every dialogue."""
    for d in dialogues:
        for turn, message in enumerate(d.turns):
            if message.role == "assistant":
                yield Reply(d, turn)


def question(
    reply: Reply, how: Rejecting, persona: Persona, opposite: Persona | None, again: int = 0
) -> Question:
    """What is asked for a rejected reply."""
    words = len(reply.chosen.split())
    template = prompt(how.way)
    other = opposite.system_prompt() if opposite else ""
    if how.way == "inversion":
        messages = template.filled(
            history=fenced(_told(reply.history)),
            persona=persona.system_prompt(),
            opposite=other,
            chosen=fenced(reply.chosen),
            words=words,
        )
    else:
        messages = (*template.filled(persona=other, words=words), *reply.history)
    return Question(
        purpose=f"rejected:{how.way}",
        prompt=template.identity,
        messages=messages,
        seed=int(reply.dialogue.origin["seed"]) + reply.turn + again * SECOND_TRY,
        max_tokens=64 + words * 4,
        temperature=how.temperature,
    )


def _told(history: Sequence[Message]) -> str:
    names = {"user": "User", "assistant": "Answer", "system": "System"}
    return "\n".join(f"{names[m.role]}: {m.content}" for m in history)


def unfit(chosen: str, rejected: str, ratio: tuple[float, float]) -> str | None:
    """Why a reply cannot stand beside the chosen one, or None."""
    one, two = (re.findall(r"\w+", t.casefold()) for t in (chosen, rejected))
    if not two:
        return "empty"
    if is_refusal(rejected):
        return "refusal"
    share = len(two) / max(len(one), 1)
    if not ratio[0] <= share <= ratio[1]:
        return "length"
    overlap = len(set(one) & set(two)) / len(set(one) | set(two))
    return "too_alike" if overlap >= TOO_ALIKE else None


async def pair_up(
    asker: Asker,
    dialogues: Iterable[Dialogue],
    how: Rejecting,
    persona: Persona,
    opposite: Persona | None,
    folder: Path,
    progress: Progress = silent,
    gate: Callable[[PreferencePair], str | None] = lambda pair: None,
    stem: str = "pairs",
) -> Paired:
    """Write `pairs.jsonl` and `pairs.rejected.jsonl`: a pair for every persona turn.

    A pair about which `gate` gives a reason is dropped for it.

    Args:
        opposite: Whose replies are rejected; None only for the way `base`, which has nobody's.
    """
    counts, dropped, lost = 0, dict[str, int](), 0

    async def work(reply: Reply) -> PreferencePair | Unpaired | Answer:
        return await _pair(asker, reply, how, persona, opposite)

    with Lines(folder / f"{stem}.jsonl") as good, Lines(folder / f"{stem}.rejected.jsonl") as bad:
        async for reply, result in ordered(replies(dialogues), work, asker.limits.concurrency * 4):
            counts += 1
            if isinstance(result, PreferencePair) and (reason := gate(result)):
                result = _unpaired(reply, reason, result.rejected[-1].content)
            if isinstance(result, PreferencePair):
                good.add(result)
            elif isinstance(result, Unpaired):
                bad.add(result)
                dropped[result.reason] = dropped.get(result.reason, 0) + 1
            else:
                lost += 1
            progress(1)
    return Paired(replies=counts, pairs=good.count, dropped=dropped, lost=lost)


async def _pair(
    asker: Asker, reply: Reply, how: Rejecting, persona: Persona, opposite: Persona | None
) -> PreferencePair | Unpaired | Answer:
    reason, text = "", ""
    for again in range(how.tries):
        asked = question(reply, how, persona, opposite, again)
        answer = await asker.ask(asked)
        if answer.state == "lost":
            return answer
        text = bare_reply(answer.text, [p.name for p in (persona, opposite) if p])
        ended = {"truncated": "truncated", "refused": "refusal"}.get(answer.state)
        reason = ended or unfit(reply.chosen, text, how.ratio) or ""
        if not reason:
            made: Origin = {"opposite": opposite.name} if opposite else {}
            made |= {
                "rejected_way": how.way,
                "rejected_model": asker.model,
                "rejected_prompt": asked.prompt,
                "rejected_seed": asked.seed,
            }
            return reply_pair(reply.history, reply.chosen, text, _origin(reply) | made)
    return _unpaired(reply, reason, text)


def _unpaired(reply: Reply, reason: str, text: str) -> Unpaired:
    return Unpaired(dialogue=reply.dialogue.id, turn=reply.turn, reason=reason, text=text)


def _origin(reply: Reply) -> Origin:
    d = reply.dialogue
    return {
        "dialogue": d.id,
        "turn": reply.turn,
        "scene": d.scene,
        "area": d.area,
        "feature": d.feature,
        "persona": d.persona,
        **d.origin,
    }
