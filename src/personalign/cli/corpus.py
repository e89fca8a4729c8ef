"""`personalign corpus check`: the quality gates, as a table."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from personalign.cli.show import Json, table

__all__ = ["check"]


def check(
    corpus: Annotated[str, typer.Argument(help="starter/mbti, starter/big_five, file or folder.")],
    as_json: Json = False,
) -> None:
    """Measure a corpus against the quality gates; exits with 1 where one fails.

    Reads scenes with replies, or preference pairs (JSON Lines); writes nothing.

    Example: personalign corpus check starter/mbti
    """
    from personalign.corpus import quality
    from personalign.personas import catalog

    results = quality.check(quality.read(corpus), catalog())
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
