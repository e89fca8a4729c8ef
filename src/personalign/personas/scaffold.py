"""A new persona as a file to be filled in: valid as written, a comment above every field."""

from __future__ import annotations

import textwrap
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from personalign.errors import InputError
from personalign.personas.persona import Persona, catalog, read

__all__ = ["scaffold"]

WIDTH = 96

HEAD = """\
# A persona. Wherever … stands, something is to be filled in.
# See the prompt that comes out of it with: personalign personas show FILE
"""


def scaffold(name: str, like: Persona | None = None) -> str:
    """A custom persona as commented YAML, which `read` accepts as it is.

    Args:
        name: Of the new persona; no name of the catalogue.
        like: Whose text to begin with; without it every text is an ellipsis.

    Raises:
        InputError: where the name is malformed or taken.
    """
    if name in catalog():
        raise InputError(f"persona {name!r} is in the catalogue already", "choose another name")
    data = _named(name, like).model_dump(mode="json")
    return "\n".join([HEAD, *(_entry(field, value) for field, value in data.items())])


def _named(name: str, like: Persona | None) -> Persona:
    changes = {"name": name, "framework": "custom", "version": 1}
    if like:
        changes["source"] = f"after {like.name} (version {like.version}): {like.source}"
    begin = like or read(Path(str(resources.files("personalign.personas"))) / "blank.yaml")
    try:
        return Persona.model_validate(begin.model_dump() | changes)
    except ValidationError as e:
        raise InputError(
            f"{name!r} cannot name a persona",
            "use letters, digits, - and _, and begin with a letter or digit",
        ) from e


class _Block(str):
    """A text that YAML shows as a folded block, in which colons and quotes need no care."""


class _Dumper(yaml.SafeDumper):
    """YAML as people write it: lists indented, blocks for texts."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, indentless=False)


_Dumper.add_representer(
    _Block, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style=">")
)


def _entry(field: str, value: Any) -> str:
    """A field with what it means above it."""
    meaning = " ".join((Persona.model_fields[field].description or "").split())
    comment = textwrap.fill(
        meaning, WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False
    )
    shown = _Block(value) if field in {"identity", "decides", "spends_time"} else value
    text = yaml.dump(
        {field: shown}, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=WIDTH
    )
    return f"{comment}\n{text}"
