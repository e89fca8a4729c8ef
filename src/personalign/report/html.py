"""The page: one HTML file that holds everything it needs and asks nobody for anything."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from personalign import __version__, findings
from personalign.files import write_atomic
from personalign.report.citation import citation
from personalign.report.compare import comparison, read_runs
from personalign.report.drawing.ink import MARKS
from personalign.report.drawing.tables import data_uri
from personalign.report.methods import methods
from personalign.report.sections import sections
from personalign.report.sections.samples import browser_data, to_script
from personalign.report.sections.verdicts import cards
from personalign.report.words import Language, Words

__all__ = ["build", "build_comparison", "render"]


def build(run: Path, out: Path | None = None, language: Language = "en") -> Path:
    """Write the report of a run.

    Args:
        run: The run's folder; parts of it may be missing, and the page says which.
        out: The page's file; `report/index.html` in the run's folder where not given.
        language: Of the report's own words.

    Returns:
        The file that was written.

    Raises:
        RunError: where there is no such folder, or the page cannot be written.
    """
    return write_atomic(out or run / "report" / "index.html", render(run, language))


def build_comparison(runs: Sequence[Path], out: Path, language: Language = "en") -> Path:
    """Write one page about several runs, `index.html` in the folder `out`.

    Raises:
        InputError: for fewer than two runs.
        RunError: as `build`.
    """
    words, found = Words(language), read_runs(runs)
    conditions = dict.fromkeys(c for f in found.values() for c in f.conditions)
    page = _page(
        "compare.j2",
        words,
        conditions,
        title=words("compare.title", names=", ".join(found)),
        first="runs",
        names=list(found),
        sections=comparison(words, found),
    )
    return write_atomic(out / "index.html", page)


def render(run: Path, language: Language = "en") -> str:
    """The page of a run as text."""
    words, found = Words(language), findings.read(run)
    data = browser_data(words, found)
    return _page(
        "run.j2",
        words,
        found.conditions,
        title=words("title", name=found.name),
        first="verdicts",
        found=found,
        cards=cards(words, found),
        sections=sections(words, found),
        methods=methods(words, found),
        data=Markup(to_script(data)),
        left_out=data["left_out"],
        citation_href=data_uri("text/plain", citation(found)),
    )


def _page(template: str, words: Words, conditions: Iterable[str], **parts: Any) -> str:
    script = _asset("script.js")
    return (
        _environment()
        .get_template(template)
        .render(
            words=words,
            language=words.language,
            marks=[(words.name("condition", c), c) for c in conditions if c in MARKS],
            style=Markup(_asset("style.css")),
            script=Markup(script),
            policy=_policy(script),
            version=__version__,
            made=datetime.now(timezone.utc).strftime("%Y-%m-%d"),
            **parts,
        )
    )


@cache
def _asset(name: str) -> str:
    file = resources.files("personalign.report").joinpath("templates", name)
    return file.read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("personalign.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _policy(script: str) -> str:
    """The browser is told to load nothing, and to run no script but this page's own."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
