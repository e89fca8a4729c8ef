"""What the analysis reads beside the scores: texts, profiles, strength, calibrations."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from personalign import analysis
from personalign.files import read_records
from personalign.findings import calibrations
from personalign.measures import Margins
from personalign.personas import TYPES, Persona
from personalign.records import BASE, Arm, Transcript

__all__ = ["context"]


def context(
    folder: Path, personas: Mapping[str, Persona], margins: Mapping[Arm, Margins | None]
) -> analysis.Context:
    """All of it that a run folder holds.

    Args:
        folder: `replies/*.jsonl` are transcripts; `calibrations/TASK.json` is what `personalign
            judge calibrate --out` wrote for the judge of that task.
        personas: By name.
        margins: Of each arm the margin of its own reply over its counterpart's, scene by scene,
            under base and under the arm; see `psychometrics.verify`.
    """
    prompts: dict[str, dict[str, str]] = defaultdict(dict)
    replies: dict[str, dict[Arm, dict[str, str]]] = defaultdict(dict)
    lengths: dict[str, dict[Arm, dict[str, tuple[int, float]]]] = defaultdict(dict)
    for said in _transcripts(folder):
        arm = Arm(persona=said.persona, condition=said.condition)
        prompts[said.task][said.sample] = "\n".join(m.content for m in said.prompt)
        replies[said.task].setdefault(arm, {})[said.sample] = said.reply
        cut = math.nan if said.cut is None else float(said.cut)
        lengths[said.task].setdefault(arm, {})[said.sample] = (said.tokens, cut)
    return analysis.Context(
        prompts=prompts,
        replies=replies,
        lengths=lengths,
        profiles={name: p.system_prompt() for name, p in personas.items()},
        types={n: p.letters() for n, p in personas.items() if p.letters() in TYPES},
        strength=_strength(margins),
        judges=calibrations(folder),
    )


def _transcripts(folder: Path) -> Iterable[Transcript]:
    for file in sorted(folder.glob("replies/*.jsonl")):
        yield from read_records(file, Transcript)


def _strength(margins: Mapping[Arm, Margins | None]) -> dict[Arm, float]:
    """Mean margin less base's; base stands at 0 where anything was measured."""
    known = {arm: float((m[1] - m[0]).mean()) for arm, m in margins.items() if m is not None}
    start = {BASE: 0.0} if known else {}
    return start | known
