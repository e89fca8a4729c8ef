"""The code that a result depends on, as one number.

A module's code is its syntax without docstrings and comments, with that of every module of this
package that it imports, and so on: a changed formula changes the number of all that use it, a
changed sentence about it does not. What stands under `if TYPE_CHECKING` does not run and does not
count; nor do the modules of `PLUMBING`, which carry results and make none.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from personalign.runs.hashing import content_hash

__all__ = ["code_hash", "modules"]

PACKAGE = "personalign"
PLUMBING = tuple(f"{PACKAGE}.{n}" for n in ("errors", "files", "progress", "runs", "records"))


def code_hash(*names: str) -> str:
    """Hash of the code of some modules and of all of this package that they import.

    Args:
        names: Dotted names, such as `personalign.measures.behaviour`.
    """
    return content_hash({name: _syntax(name) for name in modules(*names)})


def modules(*names: str) -> list[str]:
    """The modules themselves and all of this package that they import, sorted."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [n for n in _imports(name) if n not in found]
    return sorted(found)


@cache
def _file(name: str) -> Path | None:
    try:
        spec = find_spec(name)
    except ModuleNotFoundError:
        return None
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


@cache
def _tree(name: str) -> ast.Module:
    file = _file(name)
    return ast.parse(file.read_text(encoding="utf-8") if file else "")


@cache
def _imports(name: str) -> tuple[str, ...]:
    """Modules of this package that a module imports, wherever in it, and their packages."""
    said = {whole for named in _named(_tree(name)) for whole in _parents(named)}
    return tuple(sorted(n for n in said if not n.startswith(PLUMBING) and _file(n)))


def _parents(name: str) -> Iterator[str]:
    """A dotted name of this package, and what it stands in, the package itself left out."""
    parts = name.split(".")
    if parts[0] == PACKAGE:
        yield from (".".join(parts[:k]) for k in range(2, len(parts) + 1))


def _named(tree: ast.AST) -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        yield from _named(node)


@cache
def _syntax(name: str) -> str:
    tree = _tree(name)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [s for s in body if not _is_text(s)]  # type: ignore[attr-defined]
    return ast.dump(tree)


def _is_text(statement: ast.AST) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
