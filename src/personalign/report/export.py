"""What goes into a paper: tables as CSV and LaTeX, figures as PDF, and a citation file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from personalign import findings
from personalign.files import write_atomic
from personalign.progress import Progress, silent
from personalign.report.citation import citation
from personalign.report.drawing.layout import Group
from personalign.report.drawing.tables import Table
from personalign.report.methods import methods
from personalign.report.sections import sections
from personalign.report.words import Language, Words

__all__ = ["export"]


def export(
    run: Path,
    out: Path,
    language: Language = "en",
    progress: Progress = silent,
) -> list[Path]:
    """Write every table and figure of a run's report into a folder, and CITATION.cff.

    Names say where a file belongs: `outcomes-starter-social-accuracy-1.pdf`. CSV files hold exact
    numbers; LaTeX files a `tabular` that needs the package booktabs; PDF figures are as wide as a
    column (344 pt).

    Args:
        run: The run's folder.
        out: Where the files go; files of the same name are replaced.
        language: Of words in figures and tables.
        progress: Called with 1 for each section that is done.

    Returns:
        The files that were written.

    Raises:
        RunError: where there is no such run, or the folder cannot be written.
    """
    words, found = Words(language), findings.read(run)
    files = [write_atomic(out / "CITATION.cff", citation(found))]
    for name, groups in sections(words, found).items():
        for group in groups:
            files += _group(out, f"{name}-{_slug(group.title)}", group)
        progress(1)
    for table in methods(words, found).tables:
        files += _table(out, f"methods-{table.name}", table)
    return files


def _group(out: Path, name: str, group: Group) -> Iterator[Path]:
    for number, drawing in enumerate(group.drawings, start=1):
        yield write_atomic(out / f"{name}-{number}.pdf", drawing.pdf)
    for table in group.tables:
        yield from _table(out, f"{name}-{table.name}", table)


def _table(out: Path, name: str, table: Table) -> Iterator[Path]:
    yield write_atomic(out / f"{name}.csv", table.csv)
    yield write_atomic(out / f"{name}.tex", table.latex)


def _slug(title: str) -> str:
    return re.sub(r"[^\w]+", "-", title.lower()).strip("-")
