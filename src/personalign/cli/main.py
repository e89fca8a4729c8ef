"""The command line: each command parses, then calls one library function.

Heavy imports happen inside the commands, so that help answers at once.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from personalign.cli import adapters, corpus, judge, personas, pipeline, read, report
from personalign.cli.show import Json, progress_bars, show, table
from personalign.errors import PersonalignError

if TYPE_CHECKING:
    from personalign.analysis.results import ArmContrast
    from personalign.findings import Findings
    from personalign.records import Arm

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Give a language model a persona, prove that it took, and measure what that did.",
)
study_app = typer.Typer(no_args_is_help=True, help="Whole studies, from a study file.")
app.add_typer(study_app, name="study")
app.add_typer(personas.app, name="personas")
pipeline.app.command("check")(corpus.check)
pipeline.app.command("import")(corpus.import_)
pipeline.app.command("distil")(corpus.distil)
pipeline.app.command("trait")(corpus.trait)
app.add_typer(pipeline.app, name="corpus")
app.add_typer(adapters.app, name="adapters")
app.add_typer(judge.app, name="judge")
app.command("report")(report.report)
app.command("read")(read.read)
study_app.command("plan")(report.plan)
study_app.command("step")(report.step)

Out = Annotated[Path | None, typer.Option(help="Run folder; default: runs/<name of the study>.")]
STOPPED = 130  # exit code after Ctrl-C
MARKS = {"confirmed": "+", "indeterminate": "?", "contradicted": "-", "not asked": "·"}
StudyFile = Annotated[Path, typer.Argument(help="Study file (YAML).")]


def main() -> None:
    """Run the command line; an error that a user can mend is one line and exit code 2."""
    try:
        app()
    except PersonalignError as e:
        print(f"personalign: {e}", file=sys.stderr)
        sys.exit(2)
    except (KeyboardInterrupt, SystemExit) as e:
        if getattr(e, "code", STOPPED) != STOPPED:  # typer's own way to say Ctrl-C
            raise
        print("personalign: stopped; the same command goes on where it was", file=sys.stderr)
        sys.stderr.flush()
        os._exit(STOPPED)  # a thread that is inside torch would abort Python's own way out
    except OSError as e:
        where = f" {e.filename}" if e.filename else ""
        print(f"personalign: cannot use{where}: {e.strerror or e}", file=sys.stderr)
        sys.exit(2)


def _study(file: Path, out: Path | None, announce: Any, skip_bad: bool = False) -> Any:
    from personalign.study import read_config

    read = read_config(file)
    config = read.skipping_bad() if skip_bad else read
    tick = announce("load libraries", 1)
    from personalign.study import Study

    tick(1)
    return Study(config, out or Path("runs") / config.name, announce)


@study_app.command("run")
def study_run(file: StudyFile, out: Out = None, as_json: Json = False) -> None:
    """Run every step of a study that is not done yet: train, verify, measure, analyse, report.

    Reads a study file; writes a run folder with adapters, scores, verdicts and a report.

    Example: personalign study run recipes/quickstart.yaml
    """
    with progress_bars() as announce:
        study = _study(file, out, announce)
        folder = study.run()
    _show_verdicts(folder, folder / "report" / "index.html", as_json)


@app.command()
def quickstart(out: Out = None, as_json: Json = False) -> None:
    """Train, verify, measure and report two personas on this machine, without key, GPU or hub.

    Reads the shipped corpus; writes runs/quickstart.

    Example: personalign quickstart
    """
    from importlib import resources

    file = Path(str(resources.files("personalign"))) / "recipes" / "quickstart.yaml"
    study_run(file, out, as_json)


@app.command()
def train(
    file: StudyFile,
    persona: str,
    out: Out = None,
    skip_bad: Annotated[
        bool, typer.Option(help="Leave out rows of its pairs that are no pair, each told by line.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Train one persona of a study, on one device or under `accelerate launch` on several.

    Reads a study file; writes pairs/ and adapters/PERSONA in the run folder. Several personas may
    be trained at the same time, each by a command of its own: jobs of a cluster, or processes on a
    GPU with room. `personalign study run` then goes on with what they made.

    Example: personalign train recipes/quickstart.yaml INFP
    """
    from personalign.errors import unknown
    from personalign.training import devices

    with progress_bars() as announce:
        study = _study(file, out, announce, skip_bad)
        if persona not in study.content.personas:
            raise unknown("persona", persona, study.content.personas, str(file))
        folder = study.train(persona)
    if not devices.is_main():
        return
    history = json.loads((folder / "history.json").read_text())
    show({"adapter": str(folder), **history[-1]}, as_json)


@app.command()
def verify(file: StudyFile, out: Out = None, as_json: Json = False) -> None:
    """Ask whether a study's personas are there, by its own measures, with a verdict on each.

    Reads a study file and the adapters in its run folder (trains those that are missing);
    writes verification.json there.

    Example: personalign verify recipes/quickstart.yaml
    """
    with progress_bars() as announce:
        study = _study(file, out, announce)
        folder = study.run("persona", until="verify")
    _show_verdicts(folder, None, as_json)


@app.command()
def evaluate(file: StudyFile, out: Out = None, as_json: Json = False) -> None:
    """Measure what a study's personas changed, against base, on the same samples.

    Reads a study file and the adapters in its run folder (trains those that are missing);
    writes scores.parquet and analysis.json there.

    Example: personalign evaluate recipes/quickstart.yaml
    """
    with progress_bars() as announce:
        study = _study(file, out, announce)
        folder = study.run(until="analyse")
    _show_analysis(folder, as_json)


@app.command()
def doctor(
    base: Annotated[
        str | None, typer.Option(help="A base: say what its chat template does instead.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what this machine has: hardware, number types, weights, hub, optional parts.

    Reads the machine, or with --base the base's tokenizer; writes nothing. Exits with 1 where the
    embedded model, or the base, cannot be used.

    Example: personalign doctor --base embedded
    """
    from personalign.doctor import examine, examine_base

    if base is not None:
        known = examine_base(base)
        whole = ("begins", "ends", "opened", "shut")  # with their white space
        show({k: repr(v) if k in whole and not as_json else v for k, v in known.items()}, as_json)
        raise typer.Exit(1 if known["refused"] else 0)
    found = examine()
    show(found, as_json)
    raise typer.Exit(0 if found["weights"] != "missing" else 1)


def _show_verdicts(folder: Path, page: Path | None, as_json: bool) -> None:
    from personalign.study.verdicts import verdicts

    found = verdicts(folder)
    if as_json:
        result = {"verifications": [v.model_dump(mode="json") for v in found]}
        print(json.dumps(result | ({"report": str(page)} if page else {}), indent=1))
        return
    rows = []
    for v in found:
        letters = " ".join(f"{s.target}{MARKS[s.verdict]}" for s in v.scales)
        prefers = f"{v.margin.preferred[0]:.0%}" if v.margin else ""
        moved = f"{v.margin.moved[0]:.0%}" if v.margin and v.margin.moved else ""
        grounds = " ".join(f"{c.name}{MARKS[c.verdict]}" for c in v.criteria)
        rows.append([v.persona, v.condition, v.word, grounds, letters, moved, prefers])
    head = ["persona", "condition", "verdict", "by", "scales", "scenes moved", "prefers own reply"]
    table(head, rows)
    print(f"\nmarks: {', '.join(f'{mark} {verdict}' for verdict, mark in MARKS.items())}")
    for v in found:
        print(f"{v.persona} {v.condition}")
        for c in v.criteria:
            shown = "" if c.value is None else f" {c.value:+.2f}"
            ends = "" if c.low is None else f" ({c.low:+.2f} to {c.high:+.2f})"
            print(f"  {c.name}: {c.verdict}{shown}{ends}{f'; {c.reason}' if c.reason else ''}")
            print(
                *(f"    {figure}" for figure in c.figures), sep="\n", end="\n" if c.figures else ""
            )
    if page:
        print(f"report: {page}")


def _show_analysis(folder: Path, as_json: bool) -> None:
    from personalign import findings

    if as_json:
        print((folder / "analysis.json").read_text(encoding="utf-8").rstrip())
        return
    found = findings.read(folder)
    rows = [
        [
            c.task,
            c.metric,
            _arm(c.b),
            _arm(c.a),
            _signed(c.difference),
            _interval(c),
            c.p_adjusted,
            c.n,
            ", ".join(f"{count} {state}" for state, count in c.missing.items()),
        ]
        for c in found.contrasts
    ]
    head = ["task", "metric", "arm", "against", "difference", "95 %", "p (Holm)", "n", "missing"]
    table(head, rows)
    _show_judges(found)


def _show_judges(found: Findings) -> None:
    """A line for each task that is judged: how far its judge agrees with people."""
    from personalign.report.judges import JUDGED

    known = found.calibrations
    for task in dict.fromkeys(c.task for c in found.contrasts if c.metric in JUDGED):
        said = known[task].summary() if task in known else "its judge's agreement was not measured"
        print(f"{task}: {said}")


def _arm(arm: Arm) -> str:
    return f"{arm.persona} {arm.condition}".strip()


def _signed(value: float | None) -> str:
    return "missing" if value is None else f"{value:+.3f}"


def _interval(c: ArmContrast) -> str:
    return "" if c.low is None else f"{c.low:+.3f} to {c.high:+.3f}"
