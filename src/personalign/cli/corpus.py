"""`personalign corpus check|import|distil|trait`: what needs no crawling and no other model."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from personalign.cli.show import Json, progress_bars, show, table

__all__ = ["check", "distil", "import_", "trait"]


def check(
    corpus: Annotated[str, typer.Argument(help="starter/mbti, starter/big_five, file or folder.")],
    skip_bad: Annotated[bool, typer.Option(help="Leave out rows that are no pair.")] = False,
    as_json: Json = False,
) -> None:
    """Measure a corpus against the quality gates; exits with 1 where one fails.

    Reads scenes with replies, or preference pairs (JSON Lines); writes nothing.

    Example: personalign corpus check starter/mbti
    """
    from personalign.corpus import quality
    from personalign.personas import catalog

    results = quality.check(quality.read(corpus, _tell if skip_bad else None), catalog())
    if as_json:
        print(json.dumps([r.model_dump(mode="json") for r in results], indent=1))
    else:
        rows = [
            [
                r.gate,
                "pass" if r.passed else "FAIL",
                f"{r.value:.3g}",
                f"{r.limit:.3g}",
                "; ".join(r.examples[:2]),
            ]
            for r in results
        ]
        table(["gate", "", "value", "limit", "most"], rows)
    raise typer.Exit(0 if all(r.passed for r in results) else 1)


def import_(
    file: Annotated[Path, typer.Argument(help="Preference data of another tool.")],
    out: Annotated[Path, typer.Option(help="File for the pairs (JSON Lines).")],
    rejected: Annotated[
        Path | None, typer.Option(help="A second file, with the rejected `output` of each row.")
    ] = None,
    skip_bad: Annotated[bool, typer.Option(help="Leave out rows that are no pair.")] = False,
    as_json: Json = False,
) -> None:
    """Read preference data in other tools' forms into pairs of this project.

    Reads JSON Lines, a JSON array, CSV or parquet, gzipped or not; writes --out, and says which
    form was found, how many rows became pairs, and what was left out and why.

    Example: personalign corpus import ultrafeedback.parquet --out pairs.jsonl
    """
    from personalign.corpus.formats import import_pairs
    from personalign.files import write_atomic
    from personalign.records import to_jsonl

    pairs, done = import_pairs(file, rejected, _tell if skip_bad else None)
    written = str(write_atomic(out, to_jsonl(pairs)))
    show({**done.model_dump(), "file": written}, as_json)


def distil(
    persona: Annotated[str, typer.Argument(help="A name of the catalogue, or a YAML file.")],
    out: Annotated[Path, typer.Option(help="Folder for the pairs.")],
    scenes: Annotated[
        str, typer.Option(help="Situations: a shipped corpus, file or folder.")
    ] = "starter/mbti",
    base: Annotated[
        str, typer.Option(help="The model: embedded, a path, or a Hub id.")
    ] = "embedded",
    build: Annotated[int | None, typer.Option(help="How many situations build; all.")] = None,
    measure: Annotated[int | None, typer.Option(help="How many situations measure; all.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the replies.")] = 0,
    as_json: Json = False,
) -> None:
    """Pairs for a persona without a corpus: the model's replies with and without its prompt.

    Reads situations; writes pairs.jsonl (to train on), pairs.measure.jsonl (to verify on) and
    what was dropped, with reasons, in --out. Name both files under `pairs` in a study file.

    Example: personalign corpus distil night_mechanic --out pairs/night_mechanic
    """
    from personalign.corpus.distil import distil_corpus
    from personalign.corpus.scenes import load as load_scenes
    from personalign.models.local import LocalModel
    from personalign.models.respondent import respondent
    from personalign.personas import load

    who, asked = load(persona), load_scenes(scenes)
    with progress_bars() as announce:
        model = respondent(LocalModel.load(base))
        counts = distil_corpus(model, who, asked, out, (build, measure), seed, announce)
    if as_json:
        print(json.dumps({"folder": str(out), **counts}, indent=1))
        return
    rows = [
        [split, n["kept"], ", ".join(f"{v} {k}" for k, v in n.items() if k != "kept")]
        for split, n in counts.items()
    ]
    table(["split", "pairs", "dropped"], rows)


def trait(
    letter: Annotated[str, typer.Argument(help="One of E, I, S, N, T, F, J, P.")],
    out: Annotated[Path, typer.Option(help="File for the pairs (JSON Lines).")],
    corpus: Annotated[
        str, typer.Option(help="A factorial corpus: a shipped one, file or folder.")
    ] = "starter/mbti",
    scenes: Annotated[int | None, typer.Option(help="How many situations; all.")] = None,
    as_json: Json = False,
) -> None:
    """Pairs that differ in one letter only, for an adapter of a single trait.

    Reads a corpus with replies of all sixteen types; writes --out. Name it under `pairs` in a
    study file; adapters of several traits can be blended with `personalign adapters compose`.

    Example: personalign corpus trait I --out pairs/I.jsonl
    """
    from personalign.corpus.pairs import trait_pairs
    from personalign.corpus.scenes import load, select
    from personalign.errors import unknown
    from personalign.files import write_atomic
    from personalign.personas import DICHOTOMIES
    from personalign.records import to_jsonl

    found = [d for d in DICHOTOMIES if letter in tuple(d)]
    if not found:
        raise unknown("letter", letter, "".join(DICHOTOMIES))
    pairs = trait_pairs(select(load(corpus), "build", scenes), found[0], letter)
    show({"pairs": len(pairs), "file": str(write_atomic(out, to_jsonl(pairs)))}, as_json)


def _tell(error: Exception) -> None:
    print(f"left out: {error}", file=sys.stderr)
