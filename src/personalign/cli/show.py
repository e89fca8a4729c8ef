"""What commands share: progress bars, tables, JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from personalign.progress import Announce, Progress

__all__ = ["Json", "printable", "progress_bars", "show", "show_rows", "table"]

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]


@contextmanager
def progress_bars() -> Iterator[Announce]:
    """Bars with what is left, on a terminal; a line a step elsewhere."""
    import warnings

    from rich import progress
    from rich.console import Console
    from transformers.utils import logging

    logging.disable_progress_bar()  # our own bars say what is left
    logging.set_verbosity_error()
    warnings.simplefilter("ignore", FutureWarning)

    console = Console(stderr=True)
    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeElapsedColumn(),
        progress.TextColumn("left"),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=console, disable=not console.is_terminal) as bars:

        def announce(name: str, total: int) -> Progress:
            task = bars.add_task(name, total=total)
            if not console.is_terminal:
                console.print(f"{name} ({total})", highlight=False)
            return lambda done: bars.advance(task, done)

        yield announce


def printable(text: str) -> str:
    """Untrusted text without markup and control characters, which a terminal might obey."""
    from rich.markup import escape

    return escape("".join(c if c.isprintable() or c == "\n" else "?" for c in text))


def show(data: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(data, indent=1, default=str))
    else:
        table(["", ""], [[k, v] for k, v in data.items()])


def show_rows(rows: list[dict[str, Any]], as_json: bool) -> None:
    """Records with the same keys, one a line; a missing value is a dash."""
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    keys = list(rows[0]) if rows else []
    table(keys, [["–" if r[k] is None else r[k] for k in keys] for r in rows])


def table(head: list[str], rows: list[list[Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, show_header=any(head))
    for name in head:
        table.add_column(name, overflow="fold")  # a name that is cut is another name
    for row in rows:
        table.add_row(*(printable(str(cell)) for cell in row))
    Console().print(table)
