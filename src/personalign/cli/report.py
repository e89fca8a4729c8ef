"""The commands that people read: the report of a run or of several, and the plan of a study."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from personalign.cli.show import Json, progress_bars, show_rows, table

__all__ = ["plan", "report", "step"]


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
    file: Annotated[Path, typer.Argument(help="Study file (YAML).")],
    steps: Annotated[
        bool, typer.Option("--steps", help="What there is to do instead, and what is done.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Run folder that the steps are of.")] = None,
    as_json: Json = False,
) -> None:
    """Say what a study would measure, and how small a difference each task could show.

    Reads a study file, and with --steps the run folder; writes nothing. --steps lists every step
    with what it needs, whether it is done, its size and the seconds that it may take, from steps
    of its kind in the runs beside it; with --json as JSON Lines.

    Example: personalign study plan recipes/quickstart.yaml --steps
    """
    from personalign.study import Study, read_config
    from personalign.study.plan import plan_of, steps_of

    if not steps:
        show_rows([line.model_dump() for line in plan_of(read_config(file))], as_json)
        return
    planned = steps_of(Study.read(file, out))
    if as_json:
        for step in planned:
            print(step.model_dump_json())
        return
    rows = [
        [s.id, _few(s.needs), s.state, f"{s.size} {s.unit}", _known(s.seconds)] for s in planned
    ]
    table(["step", "needs", "state", "size", "seconds"], rows)


def _few(names: Sequence[str], most: int = 2) -> str:
    """The first names, and how many more there are."""
    more = [f"and {len(names) - most} more"] if len(names) > most else []
    return ", ".join([*names[:most], *more])


def _known(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:g}"


def step(
    folder: Annotated[Path, typer.Argument(help="Run folder, as `study run` or `train` began it.")],
    name: Annotated[str, typer.Argument(help="The step, as `study plan --steps` names it.")],
) -> None:
    """Do one step of a run, whose needs are done: a job of a cluster, or a look at one thing.

    Reads study.yaml in the run folder; writes the step's files and its record there. Several
    steps may be done at the same time, each by a command of its own.

    Example: personalign study step runs/quickstart measure:base:behaviour
    """
    from personalign.study import Study, read_config

    with progress_bars() as announce:
        Study(read_config(folder / "study.yaml"), folder, announce).step(name)
