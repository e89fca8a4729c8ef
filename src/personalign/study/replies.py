"""Free text of every arm, kept to be read; arms are asked together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from personalign.models.local import Generation, Sampling
from personalign.models.respondent import Progress, gathered, seed_of
from personalign.records import Arm, Transcript, to_jsonl
from personalign.runs import write_atomic

if TYPE_CHECKING:
    from personalign.study.steps import Study

__all__ = ["replies"]

Drawn = list[Future[Generation]]


def replies(study: Study) -> None:
    """A file of transcripts for each arm that has none yet; all arms are asked at once."""
    waiting = [arm for arm in study.arms if not _is_done(study, arm)]
    if not waiting:
        return
    tick = study.announce("replies", len(waiting) * len(study.reply_scenes))
    for arms in _groups(study, waiting):
        asked = {arm: _ask(study, arm) for arm in arms}
        for arm, drawn in asked.items():
            work = partial(_write, study, arm, drawn, tick)
            study.folder.step(study.step(arm, "replies"), _inputs(study, arm), work)


def _groups(study: Study, arms: Sequence[Arm]) -> Iterator[list[Arm]]:
    """Arms that are in memory at the same time: all, but whole models one by one."""
    if study.config.training.method == "full":
        yield from ([arm] for arm in arms)
    else:
        yield list(arms)


def _is_done(study: Study, arm: Arm) -> bool:
    return study.folder.is_done(study.step(arm, "replies"), _inputs(study, arm))


def _write(study: Study, arm: Arm, drawn: Drawn, tick: Progress) -> list[Path]:
    text = to_jsonl(_transcripts(study, arm, gathered(drawn, tick)))
    return [write_atomic(study.folder.path / "replies" / f"{arm.slug}.jsonl", text)]


def _sampling(study: Study) -> Sampling:
    m = study.config.measures
    return Sampling(m.max_new_tokens, m.temperature, m.top_p)


def _inputs(study: Study, arm: Arm) -> dict[str, object]:
    return study.arm_inputs(arm, [study.reply_scenes, asdict(_sampling(study))])


def _ask(study: Study, arm: Arm) -> Drawn:
    """Each scene has its own seed, shared by all arms."""
    prompts = [scene.prompt for scene in study.reply_scenes]
    seeds = [seed_of(study.config.seed, prompt) for prompt in prompts]
    return study.respondent(arm).drawing(prompts, _sampling(study), seeds)


def _transcripts(study: Study, arm: Arm, drawn: Sequence[Generation]) -> list[Transcript]:
    return [
        Transcript(
            persona=arm.persona,
            condition=arm.condition,
            task="replies",
            sample=scene.id,
            prompt=scene.prompt,
            reply=g.text,
            tokens=g.tokens,
            cut=g.ended == "length",
            seed=g.seed,
        )
        for scene, g in zip(study.reply_scenes, drawn, strict=True)
    ]
