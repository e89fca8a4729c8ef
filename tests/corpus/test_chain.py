"""From a web site to a verdict, over HTTP: crawl, profile, scenes, dialogues, pairs, train, verify.

Once with scripted replies and a tiny base, once with a real model in every place.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import website
from embedded_writer import Writer
from provider import MODEL, Server, serve

from personalign.corpus import profiles
from personalign.corpus.build import Build, Built, build_all
from personalign.corpus.dialogues import Dialogue, RejectedDialogue
from personalign.corpus.recipe import Recipe
from personalign.corpus.reject import Unpaired
from personalign.errors import CorpusError
from personalign.files import read_records, stream
from personalign.models.local import LocalModel
from personalign.personas import Persona
from personalign.records import PreferencePair, Scene
from personalign.study import Study, StudyConfig
from personalign.study.verdicts import verdicts

pytest.importorskip("scrapy")


def corpus(server: Server, persona: Path, out: Path, **more: Any) -> Built:
    """All steps of a recipe, from two pages of a site to pairs of both splits."""
    with website.serve() as (site, _):
        plan = Recipe.model_validate(
            {
                "name": "chain",
                "persona": str(persona),
                "model": {"name": MODEL, "base_url": server.url},
                "crawl": {"urls": [f"{site}/"], "pages": 2, "delay": 0, "allow_local": True},
                "scenes": {"source": "starter/mbti", "limit": 8},
                "limits": {"concurrency": 16, "backoff": 0.02, "attempts": 2, "timeout": 900},
            }
            | more
        )
        made = build_all(Build(plan, out))
    assert made is not None
    return made


def verify(base: str, persona: Path, made: Path, out: Path) -> Any:
    """Train a persona on the pairs that build, and the verdict on those that measure."""
    files = {"build": made / "pairs.jsonl", "measure": made / "pairs.measure.jsonl"}
    study = Study(
        StudyConfig.model_validate(
            {
                "name": "chain",
                "base": base,
                "dtype": "float32",
                "personas": [str(persona)],
                "conditions": ["base", "adapter"],
                "pairs": {"Quiet": files},
                "training": {"epochs": 1, "batch_size": 4, "health": {"samples": 0}},
                "measures": {"tasks": ["behaviour", "statements"], "scenes": 2, "asks": 1},
            }
        ),
        out,
    )
    study.run(until="verify")
    (verdict,) = verdicts(out)
    return verdict


@pytest.mark.slow
def test_scripted_replies_become_a_persona_with_a_verdict(
    tmp_path: Path, persona_files: tuple[Path, Path], tiny_base: Path
) -> None:
    out = tmp_path / "corpus"
    with serve() as server:
        made = corpus(server, persona_files[0], out, opposite=str(persona_files[1]), count=4,
                      measure=2)  # fmt: skip
    assert (made.pairs["pairs"], made.measure_pairs and made.measure_pairs["pairs"]) == (12, 6)
    sides = {s.id: s.split for s in read_records(out / "scenes.jsonl", Scene)}
    for split, name in (("build", "pairs.jsonl"), ("measure", "pairs.measure.jsonl")):
        pairs = read_records(out / name, PreferencePair)
        assert {p.origin["split"] for p in pairs} == {split}
        assert {sides[str(p.origin["scene"])] for p in pairs} == {split}
    verdict = verify(str(tiny_base), persona_files[0], out, tmp_path / "run")
    assert verdict.margin is not None
    assert verdict.margin.scenes == 6


@pytest.mark.slow
def test_a_real_model_in_every_place(
    tmp_path: Path, persona_files: tuple[Path, Path], quiet: Persona, embedded: LocalModel
) -> None:
    """A model of 135 million parameters writes few dialogues that can be used: none is lost.

    What is asserted is the bookkeeping, and a verdict wherever both splits got pairs.
    """
    out = tmp_path / "corpus"
    style = {"prompt": str(Path(__file__).parent / "small.md"), "replies": [2, 3], "tries": 1}
    more = {
        "count": 16, "measure": 8, "dialogues": style, "gates": {"names": ["held_back"]},
        "rejected": {"way": "base", "ratio": [0.2, 5.0], "tries": 1},
    }  # fmt: skip
    own = profiles.dump(profiles.from_persona(quiet), tmp_path / "own.yaml")
    with serve(writer=Writer(embedded, most_tokens=120)) as server:
        try:
            made = corpus(server, persona_files[0], out, **more)
        except CorpusError:  # what it read from the pages was no JSON of features
            made = corpus(server, persona_files[0], out, profile=str(own), **more)
        assert made.lost == 0
        assert made.totals.requests == server.requests
    usable = 0
    for stem, asked, pairs in (("", 16, made.pairs), (".measure", 8, made.measure_pairs)):
        good = list(stream(out / f"dialogues{stem}.jsonl", Dialogue))
        bad = list(stream(out / f"dialogues{stem}.rejected.jsonl", RejectedDialogue))
        assert len(good) + len(bad) == asked
        assert all(b.reason and (b.text or b.reason == "empty") for b in bad)
        dropped = list(stream(out / f"pairs{stem}.rejected.jsonl", Unpaired))
        assert pairs is not None
        assert pairs["pairs"] + len(dropped) == sum(len(d.turns) // 2 for d in good)
        refused, unfit = (dict(Counter(x.reason for x in kept)) for kept in (bad, dropped))
        print(f"{len(good)} of {asked} dialogues, {pairs['pairs']} pairs; {refused} {unfit}")
        usable += pairs["pairs"] > 0
    if usable == 2:
        verdict = verify("embedded", persona_files[0], out, tmp_path / "run")
        assert verdict.margin is not None
