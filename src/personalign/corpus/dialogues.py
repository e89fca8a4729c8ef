"""Dialogues between a user and a persona, written by a language model, parsed, or refused."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, field_validator

from personalign.corpus.ask import Asker, Question, ordered
from personalign.corpus.ledger import Answer
from personalign.corpus.parse import Parsed, Refused, parse
from personalign.corpus.profiles import Profile
from personalign.corpus.prompting import Prompt, fenced, one_line, prompt
from personalign.corpus.scenes import Split
from personalign.errors import CorpusError
from personalign.files import Lines
from personalign.personas import Persona
from personalign.progress import Progress, silent
from personalign.records import Message, Record, Scene
from personalign.runs import content_hash

__all__ = [
    "SECOND_TRY",
    "Dialogue",
    "Generated",
    "Job",
    "Origin",
    "RejectedDialogue",
    "Style",
    "generate",
    "plan",
    "question",
]

SECOND_TRY = 1_000_003
"""Added to a seed for each further try, so that tries never meet another job's seed."""

MEASURE_SEED = 500_009
"""Added to the seeds of dialogues that measure, so that none is asked with a seed that builds."""

Origin = dict[str, str | int | float]


class Style(Record):
    """How dialogues are asked for."""

    prompt: str = "natural"
    """`natural`, `lapd`, or a file that ends in `.md`."""
    replies: tuple[int, int] = (4, 10)
    """Fewest and most turns a side that are asked for; at least two replies are kept."""
    tries: int = Field(default=2, ge=1)
    """How often a dialogue that cannot be used is asked for."""
    temperature: float = Field(default=0.9, ge=0)
    max_tokens: int = Field(default=2048, ge=64)
    seed: int = 0

    @field_validator("replies")
    @classmethod
    def _ascending(cls, replies: tuple[int, int]) -> tuple[int, int]:
        if not 1 <= replies[0] <= replies[1]:
            raise ValueError(f"{replies} is not fewest and most, from 1 on")
        return replies


class Turn(BaseModel):
    """One turn, as providers with structured output return it."""

    speaker: Literal["User", "Persona"]
    text: str


class DialogueAnswer(BaseModel):
    """A dialogue, as providers with structured output return it."""

    turns: list[Turn]


class Dialogue(Record):
    """A dialogue that can be learned from: user and persona in turn, the persona last."""

    id: str
    persona: str
    scene: str
    area: str
    feature: str
    turns: tuple[Message, ...]
    repairs: tuple[str, ...] = ()
    origin: Origin


class RejectedDialogue(Record):
    """A text that could not be used, kept with the reason."""

    id: str
    persona: str
    scene: str
    feature: str
    reason: str
    detail: str
    text: str
    origin: Origin


class Generated(Record):
    """Counts of a generation; `lost` questions were not answered and can be asked again."""

    asked: int
    dialogues: int
    rejected: dict[str, int]
    repaired: dict[str, int]
    lost: int


@dataclass(frozen=True, slots=True)
class Job:
    """One dialogue to be written."""

    persona: Persona
    scene: Scene
    feature: str
    seed: int

    def labels(self) -> tuple[str, ...]:
        """Names under which the persona may speak in the text."""
        return (self.persona.name,)


def plan(
    persona: Persona,
    profile: Profile,
    scenes: Sequence[Scene],
    count: int,
    seed: int = 0,
    split: Split = "build",
) -> Iterator[Job]:
    """So many jobs over all features and scenes, spread evenly, the same for the same seed.

    Raises:
        CorpusError: where there is nothing to write about, or a scene of the other split.
    """
    about = [*(f.text for f in profile.features), *(s.text for s in profile.sketches)]
    if not about or not scenes:
        raise CorpusError("no features or no scenes to write about", "give a profile and scenes")
    if misplaced := [s for s in scenes if s.split != split]:
        does = {"build": "builds", "measure": "measures"}[misplaced[0].split]
        raise CorpusError(
            f"scene {misplaced[0].id!r} {does} personas and must not {split} one",
            f"take scenes of split {split!r} only",
        )
    features, places = list(about), list(scenes)
    seed += MEASURE_SEED if split == "measure" else 0
    order = random.Random(seed)
    order.shuffle(features)
    order.shuffle(places)
    for i in range(count):
        feature = features[(i + i // len(places)) % len(features)]
        yield Job(persona, places[i % len(places)], feature, seed + i)


def question(job: Job, style: Style, how: Prompt, again: int = 0) -> Question:
    """What is asked of the model for a job."""
    scene = "\n".join(m.content for m in job.scene.prompt)
    messages = how.filled(
        persona=job.persona.system_prompt(),
        name=job.persona.name,
        feature=fenced(one_line(job.feature)),
        scene=fenced(scene),
        least=style.replies[0],
        most=style.replies[1],
    )
    return Question(
        purpose="dialogue",
        prompt=how.identity,
        messages=messages,
        seed=job.seed + again * SECOND_TRY,
        max_tokens=style.max_tokens,
        temperature=style.temperature,
        schema=DialogueAnswer,
    )


async def generate(
    asker: Asker,
    jobs: Iterator[Job],
    style: Style,
    folder: Path,
    progress: Progress = silent,
    stem: str = "dialogues",
) -> Generated:
    """Write `dialogues.jsonl` and `dialogues.rejected.jsonl` for jobs, in their order.

    Memory does not grow with the number of jobs; both files appear when all is asked.
    """
    how = prompt(style.prompt)
    counts = _Counts()

    async def work(job: Job) -> list[Dialogue | RejectedDialogue | Answer]:
        return await _write(asker, job, style, how)

    with (
        Lines(folder / f"{stem}.jsonl") as good,
        Lines(folder / f"{stem}.rejected.jsonl") as bad,
    ):
        async for _, results in ordered(jobs, work, asker.limits.concurrency * 4):
            counts.asked += 1
            for result in results:
                counts.add(result)
                if isinstance(result, Dialogue):
                    good.add(result)
                elif isinstance(result, RejectedDialogue):
                    bad.add(result)
            progress(1)
    return counts.total()


async def _write(
    asker: Asker, job: Job, style: Style, how: Prompt
) -> list[Dialogue | RejectedDialogue | Answer]:
    results: list[Dialogue | RejectedDialogue | Answer] = []
    for again in range(style.tries):
        asked = question(job, style, how, again)
        answer = await asker.ask(asked)
        await asyncio.sleep(0)  # whoever waits for a slot is asked before this is read
        if answer.state == "lost":
            return [*results, answer]
        results.append(_result(asker, job, asked, answer, style))
        if isinstance(results[-1], Dialogue):
            break
    return results


def _result(
    asker: Asker, job: Job, asked: Question, answer: Answer, style: Style
) -> Dialogue | RejectedDialogue:
    origin: Origin = {
        "model": asker.model,
        "prompt": asked.prompt,
        "seed": asked.seed,
        "split": job.scene.split,
    }
    common = {
        "id": content_hash([asker.key(asked), job.persona.name])[:16],
        "persona": job.persona.name,
        "scene": job.scene.id,
        "feature": job.feature,
        "origin": origin,
    }
    got: Parsed | Refused
    if answer.state == "refused":
        got = Refused(reason="refusal", detail="content filter")
    else:
        cut = answer.state == "truncated"
        most = max(style.replies[1] + 2, style.replies[1] * 2)
        got = parse(answer.text, job.labels(), (2, most), truncated=cut)
    if isinstance(got, Parsed):
        return Dialogue.model_validate(
            common | {"area": job.scene.area, "turns": got.turns, "repairs": got.repairs}
        )
    return RejectedDialogue.model_validate(
        common | {"reason": got.reason, "detail": got.detail, "text": answer.text}
    )


class _Counts:
    def __init__(self) -> None:
        self.asked = self.dialogues = self.lost = 0
        self.rejected: dict[str, int] = {}
        self.repaired: dict[str, int] = {}

    def add(self, result: Dialogue | RejectedDialogue | Answer) -> None:
        if isinstance(result, Dialogue):
            self.dialogues += 1
            for repair in result.repairs:
                self.repaired[repair] = self.repaired.get(repair, 0) + 1
        elif isinstance(result, RejectedDialogue):
            self.rejected[result.reason] = self.rejected.get(result.reason, 0) + 1
        else:
            self.lost += 1

    def total(self) -> Generated:
        return Generated(
            asked=self.asked,
            dialogues=self.dialogues,
            rejected=self.rejected,
            repaired=self.repaired,
            lost=self.lost,
        )
