"""The commands that people read: the report of a run or of several, and the plan of a study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from personalign.cli.show import Json, progress_bars, show_rows

__all__ = ["plan", "report"]


def report(
    folders: Annotated[list[Path], typer.Argument(help="Run folders; several are compared.")],
    out: Annotated[Path | None, typer.Option(help="Folder of a comparison.")] = None,
    export: Annotated[
        Path | None, typer.Option(help="Folder for tables (CSV, LaTeX) and figures (PDF).")
    ] = None,
    language: Annotated[str, typer.Option(help="en or ko")] = "en",
) -> None:
    """Write the report of a run again, compare several runs, or export tables and figures.

    Reads run folders; writes report/index.html in the run's folder, index.html in --out for
    several runs, or the files of one run in --export. Pages open offline.

    Example: personalign report runs/quickstart --language ko
    """
    from personalign import report as room
    from personalign.errors import InputError, unknown
    from personalign.report.sections import SECTIONS
    from personalign.report.words import LANGUAGES

    if language not in LANGUAGES:
        raise unknown("language", language, LANGUAGES)
    for folder in folders:
        if not (folder / "manifest.json").exists():
            what = f"{folder} is no run folder: it has no manifest.json"
            raise InputError(what, "run a study first")
    if export and len(folders) > 1:
        raise InputError(f"--export of {len(folders)} runs", "export one run at a time")
    if out and len(folders) == 1:
        raise InputError("--out of one run", "it is for comparisons: name several runs")
    if len(folders) > 1:
        print(room.build_comparison(folders, out or Path("runs") / "comparison", language))
    elif export:
        with progress_bars() as announce:
            files = room.export(folders[0], export, language, announce("export", len(SECTIONS)))
        print(f"{len(files)} files in {export}")
    else:
        print(room.build(folders[0], language=language))


def plan(
    file: Annotated[Path, typer.Argument(help="Study file (YAML).")], as_json: Json = False
) -> None:
    """Say what a study would measure, and how small a difference each task could show.

    Reads a study file; writes nothing.

    Example: personalign study plan recipes/quickstart.yaml
    """
    from personalign.study import read_config
    from personalign.study.plan import plan_of

    rows = [line.model_dump() for line in plan_of(read_config(file))]
    show_rows(rows, as_json)
