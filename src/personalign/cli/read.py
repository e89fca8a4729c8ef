"""Blind reading on a terminal: which of two replies is the persona's?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from personalign.cli.show import Json, printable, show_rows

if TYPE_CHECKING:
    from rich.console import Console

    from personalign.psychometrics.reading import Trial

__all__ = ["read"]


def read(
    run: Annotated[Path, typer.Argument(help="Run folder of a study.")],
    reader: Annotated[str, typer.Option(help="Your name; without it: what was read.")] = "",
    count: Annotated[int, typer.Option(min=1, help="How many pairs of replies this time.")] = 20,
    persona: Annotated[str, typer.Option(help="Read of this persona only.")] = "",
    condition: Annotated[str, typer.Option(help="Read under this condition only.")] = "",
    seed: Annotated[int, typer.Option(help="Of the order, and of what stands first.")] = 0,
    as_json: Json = False,
) -> None:
    """Read two replies to one prompt blind, and say which of them is the persona's.

    The other is base's or another persona's. Reads the replies of a run; writes each answer to
    readings/READER.jsonl in its folder at once, so that you can stop (q) and go on. The report
    shows what was read: `personalign report RUN`.

    Example: personalign read runs/quickstart --reader anna
    """

    from rich.console import Console

    from personalign import report
    from personalign.errors import InputError, unknown
    from personalign.psychometrics import reading

    found = report.read(run)
    folder = run / "readings"
    if reader:
        order = reading.trials(found.transcripts, seed, found.name, found.base)
        for name, wanted in (("persona", persona), ("condition", condition)):
            known = sorted({str(getattr(trial, name)) for trial in order})
            if wanted and wanted not in known:
                raise unknown(name, wanted, known, str(run))
            order = [trial for trial in order if wanted in ("", getattr(trial, name))]
        if not order:
            raise InputError(
                f"{run} holds no replies of a persona", "ask `speech` or `replies` in its study"
            )
        console = Console(stderr=as_json, emoji=False, highlight=False)
        prompts = found.manifest.get("system_prompts") or {}
        done = reading.read(
            order, folder, reader, seed, _asking(console, prompts, min(count, len(order)))
        )
        console.print(f"{done} read")
    show_rows(_results(found, reading.answers(folder)), as_json)


def _asking(console: Console, prompts: Mapping[str, Any], count: int) -> Any:
    """What shows a trial and asks; a persona is described when it comes up first."""
    shown: list[str] = []

    def ask(trial: Trial, own_first: bool) -> bool | None:
        if len(shown) == count:
            return None
        console.rule(f"{len(shown) + 1} of {count}")
        if trial.persona not in shown:
            about = str(prompts.get(trial.persona, ""))
            console.print(f"[bold]{printable(trial.persona)}[/bold]\n{printable(about)}\n")
        for message in trial.prompt:
            console.print(f"[dim]{message.role}:[/dim] {printable(message.content)}")
        said = (trial.own, trial.other) if own_first else (trial.other, trial.own)
        for number, text in enumerate(said, 1):
            console.print(f"\n[bold]{number}[/bold]\n{printable(text)}")
        console.print(f"\nWhich is {printable(trial.persona)}?", end=" ")
        key = _key("1, 2, or q to stop: ", ("1", "2", "q"))
        shown.append(trial.persona)
        return None if key == "q" else key == "1"

    return ask


def _key(prompt: str, keys: tuple[str, ...]) -> str:
    """One of these keys; the last where nobody types any more."""
    try:
        while (key := input(prompt).strip().lower()) not in keys:
            pass
    except EOFError:
        return keys[-1]
    return key


def _results(found: Any, rows: Any) -> list[dict[str, Any]]:
    """What people read, and how far they and the raters agree; a row a figure."""
    from personalign.psychometrics import reading

    told = [
        {
            "who": t.reader or "all",
            "what": f"tells {t.persona} {t.condition} from {t.against}",
            **_figures(t.share),
            "kappa": None,
        }
        for t in reading.told(rows)
    ]
    machines = reading.raters(rows, found.scores, found.sides)
    alike = [
        {
            "who": f"{a.a}, {a.b}",
            "what": "take the same",
            **_figures(a.same),
            "kappa": None if a.kappa.value is None else round(a.kappa.value, 2),
        }
        for a in reading.agreement([*rows, *machines])
    ]
    return told + alike


def _figures(share: Any) -> dict[str, Any]:
    ends = {"share": share.value, "low": share.low, "high": share.high}
    return {k: None if v is None else round(v, 2) for k, v in ends.items()} | {"n": share.n}
