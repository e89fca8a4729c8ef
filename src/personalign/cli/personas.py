"""`personalign personas …`: the catalogue, and new personas. Mounted under `personas`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from personalign.cli.show import Json, table

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="The catalogue of personas, and new ones.")

Name = Annotated[str, typer.Argument(help="A name of the catalogue, or a YAML file.")]


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the personas of the catalogue.

    Reads the catalogue; writes nothing.

    Example: personalign personas list
    """
    from personalign.personas import catalog

    known = catalog().values()
    if as_json:
        print(json.dumps([p.model_dump(mode="json") for p in known], indent=1))
        return
    rows = [[p.name, p.framework, p.title, p.opposite or ""] for p in known]
    table(["persona", "framework", "title", "opposite"], rows)


@app.command("show")
def show(
    name: Name,
    as_json: Json = False,
    as_yaml: Annotated[bool, typer.Option("--yaml", help="Print the persona's file.")] = False,
) -> None:
    """Show a persona and the system prompt that is derived from it.

    Reads the catalogue or a persona file; writes nothing.

    Example: personalign personas show INFP
    """
    import yaml

    from personalign.personas import load

    persona = load(name)
    data = persona.model_dump(mode="json")
    if as_json:
        print(json.dumps(data | {"system_prompt": persona.system_prompt()}, indent=1))
    elif as_yaml:
        print(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), end="")
    else:
        print(f"{persona.name}: {persona.title}\n\n{persona.system_prompt()}")


@app.command("new")
def new(
    name: Annotated[str, typer.Argument(help="Letters, digits, - and _.")],
    like: Annotated[
        str, typer.Option("--from", help="A persona to begin with: a name, or a YAML file.")
    ] = "",
    out: Annotated[Path | None, typer.Option(help="File to write; default: NAME.yaml.")] = None,
) -> None:
    """Begin a persona of one's own: a file with a comment above every field.

    Reads the catalogue, or the file given with --from; writes one YAML file, never over another.

    Example: personalign personas new night_baker --from night_mechanic
    """
    from personalign.errors import InputError
    from personalign.files import write_atomic
    from personalign.personas import load, scaffold

    text = scaffold(name, load(like) if like else None)
    path = out or Path(f"{name}.yaml")
    if path.suffix not in {".yaml", ".yml"}:
        raise InputError(f"{path} would not be found as a persona", "end it in .yaml")
    if path.exists():
        raise InputError(f"{path} is there already", "move it away, or choose another --out")
    print(write_atomic(path, text))
