"""Pairs without a corpus, a key or a bigger model: what a prompt does, put into the weights.

The chosen reply is the model's own under the persona's system prompt, the rejected one its own
without (context distillation, Askell et al. 2021, arXiv 2112.00861, as preferences).
The system prompt is not in the pair: what is trained is to answer as if it were there. A persona
made this way is as good as the model's acting, and no better.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from personalign.corpus.gates import Contrast, Gates, HeldBack, PairGate
from personalign.corpus.pairs import reply_pair
from personalign.corpus.scenes import Split, load, select
from personalign.files import read_records, write_atomic
from personalign.models.respondent import Prompted, Respondent, seed_of
from personalign.models.sampling import Sampling
from personalign.personas import Persona
from personalign.progress import Announce, Progress, silent, unannounced
from personalign.records import PreferencePair, Record, Scene, to_jsonl
from personalign.runs import Step, Store, do_all

__all__ = ["FILES", "SAMPLING", "Draft", "distil", "distil_corpus"]

SAMPLING = Sampling(max_new_tokens=80, temperature=0.7, top_p=0.9)

FILES: dict[Split, str] = {"build": "pairs.jsonl", "measure": "pairs.measure.jsonl"}
"""Split → the file its pairs are written to."""

SHORTEST = 5
BATCH = 16
SENTENCE_END = re.compile(r"[.!?][\"'”’)]*(?=\s|$)")


class Draft(Record):
    """A pair, or why there is none for a scene."""

    scene: str
    pair: PreferencePair | None
    reason: str = ""


def distil(
    base: Respondent,
    persona: Persona,
    scenes: Sequence[Scene],
    gate: PairGate | None = None,
    sampling: Sampling = SAMPLING,
    seed: int = 0,
    progress: Progress = silent,
) -> Iterator[Draft]:
    """One draft a scene, in order; each reply is drawn with its own seed.

    Args:
        gate: Says why a pair must be dropped; see `corpus/gates.py`.
        progress: Called with the number of scenes done since the last call.
    """
    for start in range(0, len(scenes), BATCH):
        part = scenes[start : start + BATCH]
        prompts = [s.prompt for s in part]
        drawn = [
            who.draw(prompts, sampling, [seed_of(seed, p, k) for p in prompts])
            for k, who in enumerate((Prompted(base, persona.system_prompt()), base))
        ]
        chosen, rejected = (
            [whole_sentences(g.text, g.ended == "length") for g in own] for own in drawn
        )
        seeds = [g.seed for g in drawn[0]]
        yield from _drafts(part, persona, chosen, rejected, base.name, seeds, gate)
        progress(len(part))


def distil_corpus(
    base: Respondent,
    persona: Persona,
    scenes: Sequence[Scene],
    folder: Path,
    limits: tuple[int | None, int | None] = (None, None),
    seed: int = 0,
    announce: Announce = unannounced,
) -> dict[str, Counter[str]]:
    """Pairs that build and pairs that measure, each in its own file; what is done is kept.

    Args:
        scenes: Situations of both splits; their replies are not used.
        limits: How many scenes build, and how many measure; all where None.

    Returns:
        Split → how many pairs were `kept`, and how many dropped for which reason.
    """
    store = Store(folder)
    return {
        split: _distil_split(store, base, persona, scenes, split, limit, seed, announce)
        for split, limit in zip(FILES, limits, strict=True)
    }


def _distil_split(
    store: Store,
    base: Respondent,
    persona: Persona,
    scenes: Sequence[Scene],
    split: Split,
    limit: int | None,
    seed: int,
    announce: Announce,
) -> Counter[str]:
    chosen = select(scenes, split, limit)
    file, dropped = store.path / FILES[split], store.path / f"dropped.{split}.jsonl"

    def work() -> list[Path]:
        tick = announce(f"{split} pairs", len(chosen))
        gate = _gate(persona, scenes, split)
        drafts = list(distil(base, persona, chosen, gate, seed=seed, progress=tick))
        write_atomic(file, to_jsonl([d.pair for d in drafts if d.pair]))
        write_atomic(dropped, to_jsonl([d for d in drafts if not d.pair]))
        return [file, dropped]

    inputs = {
        "base": base.name,
        "persona": persona,
        "scenes": chosen,
        "held_back": _held_back(scenes, split),
        "sampling": SAMPLING,
        "seed": seed,
    }
    do_all(
        [Step(f"distil:{split}", work, inputs=lambda: inputs, code=(__name__,))], store, announce
    )
    lost = read_records(dropped, Draft)
    return Counter([d.reason for d in lost] + ["kept"] * (len(chosen) - len(lost)))


def _gate(persona: Persona, scenes: Sequence[Scene], split: Split) -> PairGate:
    held_back = HeldBack(_held_back(scenes, split))
    return PairGate(Gates(), held_back, Contrast([], persona.name, ""))


def _held_back(scenes: Sequence[Scene], split: Split) -> list[str]:
    """Situations of the other split; of the starter corpus too, where pairs build."""
    known = [*scenes, *load("starter/mbti")] if split == "build" else scenes
    return sorted({s.prompt[-1].content for s in known if s.split != split})


def _drafts(
    scenes: Sequence[Scene],
    persona: Persona,
    chosen: Sequence[str],
    rejected: Sequence[str],
    model: str,
    seeds: Iterable[int],
    gate: PairGate | None,
) -> Iterator[Draft]:
    for scene, good, bad, seed in zip(scenes, chosen, rejected, seeds, strict=True):
        if min(len(good.split()), len(bad.split())) < SHORTEST:
            yield Draft(scene=scene.id, pair=None, reason="short")
            continue
        if good == bad:
            yield Draft(scene=scene.id, pair=None, reason="equal")
            continue
        pair = reply_pair(
            scene.prompt,
            good,
            bad,
            {
                "scene": scene.id,
                "area": scene.area,
                "persona": persona.name,
                "way": "distil",
                "model": model,
                "seed": seed,
            },
        )
        reason = gate(pair) if gate else None
        yield Draft(scene=scene.id, pair=None if reason else pair, reason=reason or "")


def whole_sentences(text: str, cut: bool) -> str:
    """A reply without the sentence that the length limit cut off; empty where none is whole."""
    if not cut:
        return text.strip()
    ends = [m.end() for m in SENTENCE_END.finditer(text)]
    return text[: ends[-1]].strip() if ends else ""
