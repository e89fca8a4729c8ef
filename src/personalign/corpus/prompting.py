"""Prompts are files; what comes from outside is put into them as data, between marks."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from string import Template

from personalign.errors import InputError, unknown
from personalign.files import read_text
from personalign.records import Message, Record

__all__ = ["Prompt", "bullets", "fenced", "one_line", "prompt"]


class Prompt(Record):
    """A prompt file: a system part and, unless a conversation follows, a user part.

    Its version is a hash of its text.
    """

    name: str
    version: str
    system: str
    user: str

    @property
    def identity(self) -> str:
        return f"{self.name}@{self.version}"

    def filled(self, **values: str | int) -> tuple[Message, ...]:
        """The prompt as messages. Every `$placeholder` must be given."""
        try:
            system, user = (Template(part).substitute(values) for part in (self.system, self.user))
        except (KeyError, ValueError) as e:
            known = ", ".join(f"${name}" for name in values)
            raise InputError(f"prompt {self.name!r}: placeholder {e}", f"known: {known}") from e
        head = (Message(role="system", content=system),)
        return (*head, Message(role="user", content=user)) if user else head


def prompt(name: str) -> Prompt:
    """A shipped prompt by name, or one from a path that ends in `.md`."""
    folder = Path(str(resources.files("personalign.corpus"))) / "prompts"
    path = Path(name) if name.endswith(".md") else folder / f"{name}.md"
    if not path.is_file():
        raise unknown("prompt", name, [p.stem for p in folder.glob("*.md")])
    text = read_text(path)
    system, _, user = text.partition("\n---\n")
    version = hashlib.sha256(text.encode()).hexdigest()[:8]
    return Prompt(name=path.stem, version=version, system=system.strip(), user=user.strip())


def fenced(text: str) -> str:
    """Untrusted text between marks that it cannot contain: they are a hash of it."""
    mark = hashlib.sha256(text.encode()).hexdigest()[:16]
    return f"<<<data {mark}\n{text.strip()}\ndata {mark}>>>"


def one_line(text: str, limit: int = 400) -> str:
    """Untrusted text as one line of bounded length."""
    line = re.sub(r"\s+", " ", text).strip()
    return line if len(line) <= limit else line[: limit - 1].rsplit(" ", 1)[0] + "…"


def bullets(lines: Sequence[str]) -> str:
    """Lines as a list."""
    return "\n".join(f"- {line}" for line in lines)
