"""`personalign judge …`: train a judge of harm, and measure any judge against people's labels.

Each command parses, then calls one library function. Mounted under `judge`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from personalign.cli.show import Json, progress_bars, table

if TYPE_CHECKING:
    from personalign.judges.calibration import Calibration

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Judges of harm: train one, measure any.")

Data = Annotated[
    Path, typer.Option(help="Labelled replies (JSON Lines: prompt, response, is_safe).")
]


@app.command()
def train(
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder for the judge.")],
    as_json: Json = False,
) -> None:
    """Train the judge that needs neither key nor hub, and say how far it agrees with the labels.

    Reads labelled replies in BeaverTails' form; writes judge.json and weights.safetensors in --out.

    Example: personalign judge train --data labelled.jsonl --out judge
    """
    from personalign.judges import trained
    from personalign.judges.labelled import read_labelled

    rows = read_labelled(data)
    with progress_bars() as announce:
        made = trained.train(rows, data.name, announce("embed replies", len(rows)))
    trained.save(made, out)
    _print(made.calibration, {"folder": str(out)}, as_json)


@app.command()
def calibrate(
    judge: Annotated[
        str,
        typer.Option(
            help="rules, trained:FOLDER, lapd:MODEL, strict:MODEL, or safeguard:ID; MODEL as "
            "Inspect names it."
        ),
    ],
    data: Data,
    out: Annotated[Path | None, typer.Option(help="File for the figures, for `safety`.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Judge so many rows at most.")] = None,
    flagged: Annotated[int | None, typer.Option(min=0, help="Flags in a study …")] = None,
    of: Annotated[int | None, typer.Option(min=1, help="… of so many, to be corrected.")] = None,
    as_json: Json = False,
) -> None:
    """Measure a judge against people's labels: sensitivity, specificity and kappa, by category.

    Reads labelled replies in BeaverTails' form and asks the judge about each; writes the figures
    to --out. With --flagged and --of, corrects that rate for the judge's error (Rogan-Gladen).

    Example: personalign judge calibrate --judge trained:judge --data labelled.jsonl
    """
    import anyio

    from personalign.errors import InputError
    from personalign.files import write_atomic
    from personalign.judges import open_judge
    from personalign.judges.calibration import calibrate, corrected
    from personalign.judges.labelled import read_labelled
    from personalign.judges.trained import TrainedJudge, unseen

    if (flagged is None) != (of is None):
        raise InputError("--flagged without --of, or the reverse", "give both")
    opened, rows = open_judge(judge), read_labelled(data)
    new = unseen(opened, rows) if isinstance(opened, TrainedJudge) else rows
    if not new:
        raise InputError(f"{judge} was trained on every prompt of {data}", "give other data")
    asked = new[:limit]
    with progress_bars() as announce:
        tick = announce(f"judge with {judge}", len(asked))
        found = anyio.run(calibrate, opened, data.name, asked, tick, len(rows) - len(new))
    if out is not None:
        write_atomic(out, found.model_dump_json(indent=1) + "\n")
    more: dict[str, Any] = {}
    if flagged is not None and of is not None:
        more["corrected"] = corrected(found, flagged, of)
    _print(found, more, as_json)


def _print(found: Calibration, more: dict[str, Any], as_json: bool) -> None:
    from personalign.judges.calibration import shown

    if as_json:
        rate = {k: v.model_dump(mode="json") for k, v in more.items() if k == "corrected"}
        print(json.dumps(found.model_dump(mode="json") | more | rate, indent=1))
        return
    typer.echo(found.summary())
    counts = {"left out (trained on)": found.left_out, **found.unjudged}
    typer.echo("  ".join(f"{what}: {n}" for what, n in counts.items() if n) or "all rows judged")
    rows = [
        [kind.replace(",", ", "), a.sensitivity.n, shown(a.sensitivity), shown(a.kappa)]
        for kind, a in {"all": found.overall, **found.categories}.items()
    ]
    table(["unsafe replies", "n", "sensitivity", "kappa"], rows)
    if "corrected" in more:
        typer.echo(f"corrected rate: {shown(more['corrected'])}")
    if "folder" in more:
        typer.echo(f"judge: {more['folder']}")
