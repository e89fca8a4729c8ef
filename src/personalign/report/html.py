"""The page: one HTML file that holds everything it needs and asks nobody for anything."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime, timezone
from functools import cache
from importlib import resources
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from personalign import __version__
from personalign.report import findings
from personalign.report.citation import citation
from personalign.report.ink import MARKS
from personalign.report.methods import methods
from personalign.report.samples import browser_data, to_script
from personalign.report.sections import sections
from personalign.report.tables import data_uri
from personalign.report.verdicts import cards
from personalign.report.words import Language, Words
from personalign.runs import write_atomic

__all__ = ["build", "render"]


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


def render(run: Path, language: Language = "en") -> str:
    """The page as text."""
    words, found = Words(language), findings.read(run)
    style, script = _asset("style.css"), _asset("script.js")
    data = browser_data(words, found)
    return (
        _environment()
        .get_template("html.j2")
        .render(
            words=words,
            language=language,
            found=found,
            cards=cards(words, found),
            sections=sections(words, found),
            methods=methods(words, found),
            marks=[(words.name("condition", c), c) for c in found.conditions if c in MARKS],
            data=Markup(to_script(data)),
            left_out=data["left_out"],
            citation_href=data_uri("text/plain", citation(found)),
            style=Markup(style),
            script=Markup(script),
            policy=_policy(script),
            version=__version__,
            made=datetime.now(timezone.utc).strftime("%Y-%m-%d"),
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
