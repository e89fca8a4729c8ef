"""Free text of every arm, kept to be read; arms are asked together, in batches of all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import cache, partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from personalign.models.chat import with_system
from personalign.models.local import Generation, Sampling
from personalign.models.provenance import check_update
from personalign.records import Arm, Transcript, to_jsonl
from personalign.runs import write_atomic

if TYPE_CHECKING:
    from personalign.study.steps import Study

__all__ = ["replies"]

BATCH = 32
"""Replies drawn at once, over arms and scenes; what a kill may lose."""

Drawn = dict[Arm, list[Generation]]


def replies(study: Study) -> None:
    """A file of transcripts for each arm that has none yet."""
    for arms in _groups(study):
        drawn = cache(partial(_draw, study, arms))
        for arm in arms:
            work = partial(_write, study, arm, drawn)
            study.folder.step(study.step(arm, "replies"), _inputs(study, arm), work)


def _groups(study: Study) -> Iterator[list[Arm]]:
    """Arms that wait for replies, as many as fill a batch."""
    many = max(1, BATCH // max(1, len(study.reply_scenes)))
    for _, adjacent in groupby(study.arms, key=partial(_apart, study)):
        arms = list(adjacent)
        for part in (arms[i : i + many] for i in range(0, len(arms), many)):
            yield [a for a in part if not _is_done(study, a)]


def _apart(study: Study, arm: Arm) -> str | None:
    """What a batch cannot mix with other arms: a whole model, or more than a low-rank update."""
    if arm.adapter is None or study.config.training.method == "full":
        return arm.adapter
    made = check_update(study.folder.path / "adapters" / arm.adapter)
    return arm.adapter if made.get("use_dora") else None


def _is_done(study: Study, arm: Arm) -> bool:
    return study.folder.is_done(study.step(arm, "replies"), _inputs(study, arm))


def _write(study: Study, arm: Arm, drawn: Callable[[], Drawn]) -> list[Path]:
    text = to_jsonl(_transcripts(study, arm, drawn()[arm]))
    return [write_atomic(study.folder.path / "replies" / f"{arm.slug}.jsonl", text)]


def _sampling(study: Study) -> Sampling:
    m = study.config.measures
    return Sampling(m.max_new_tokens, m.temperature, m.top_p)


def _inputs(study: Study, arm: Arm) -> dict[str, object]:
    return study.arm_inputs(arm, [study.reply_scenes, asdict(_sampling(study))])


def _draw(study: Study, arms: Sequence[Arm]) -> Drawn:
    """Each scene has its own seed, shared by all arms."""
    asked = study.reply_scenes
    tick = study.announce(f"replies {', '.join(a.slug for a in arms)}", len(arms) * len(asked))
    drawn = study.model(arms[0]).generate(
        [with_system(s.prompt, study.system(arm)) for arm in arms for s in asked],
        [study.adapter(arm) for arm in arms for _ in asked],
        _sampling(study),
        [study.config.seed + k for _ in arms for k in range(len(asked))],
        BATCH,
        tick,
    )
    return {a: drawn[n * len(asked) : (n + 1) * len(asked)] for n, a in enumerate(arms)}


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
