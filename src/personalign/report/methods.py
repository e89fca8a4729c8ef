"""How the run was made, from its manifest, so that another lab can do it again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from personalign.findings import ENTRIES, NOTHING, Findings
from personalign.report.drawing.tables import Show, Table, table
from personalign.report.words import Words, number

__all__ = ["Methods", "methods"]

Facts = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Methods:
    """Facts by heading, the system prompts, the steps with their files, and what is missing."""

    facts: tuple[tuple[str, Facts], ...]
    prompts: tuple[tuple[str, str], ...]
    tables: tuple[Table, ...]
    missing: tuple[tuple[str, str], ...]
    study: str


def methods(words: Words, found: Findings) -> Methods:
    """All of it that the manifest tells."""
    manifest = found.manifest
    groups = {
        "study": dict(_flat({k: v for k, v in found.study.items() if not isinstance(v, dict)}))
        | {"base_model": str(manifest.get("base_model") or "–")},
        "training": dict(_flat(found.study.get("training"))),
        "measures": dict(_flat(found.study.get("measures"))),
        "statistics": dict(_statistics(found)),
        "environment": dict(_flat(manifest.get("environment"))),
    }
    prompts = _dict(manifest.get("system_prompts"))
    made = (
        table(words, "steps", list(_steps(found)), STEPS),
        table(words, "files", list(_files(found)), FILES),
    )
    return Methods(
        facts=tuple((words(f"methods.{k}"), tuple(v.items())) for k, v in groups.items() if v),
        prompts=tuple((str(k), str(v)) for k, v in prompts.items()),
        tables=tuple(t for t in made if t),
        missing=tuple(
            (m.what, words(f"missing.{m.reason}", detail=m.detail)) for m in found.missing
        ),
        study=yaml.safe_dump(found.study, sort_keys=False, allow_unicode=True)
        if found.study
        else "",
    )


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as dotted names."""
    if not isinstance(value, Mapping):
        return
    for key, inner in value.items():
        name = f"{prefix}{key}"
        if isinstance(inner, Mapping):
            yield from _flat(inner, f"{name}.")
        elif isinstance(inner, list | tuple):
            yield name, ", ".join(map(str, inner)) or "–"
        else:
            yield name, "–" if inner is None else str(inner)


def _statistics(found: Findings) -> Iterator[tuple[str, str]]:
    if found.analysis is not NOTHING:
        told = found.analysis.model_dump(exclude=set(ENTRIES))
        yield from _flat(told)
    for name, said in (
        ("estimates.method", [e.method for e in found.estimates]),
        ("contrasts.method", [c.method for c in found.contrasts]),
        ("contrasts.test", [c.test for c in found.contrasts]),
    ):
        if said:
            yield name, "; ".join(dict.fromkeys(said))
    if found.verifications:
        yield "verification.seed", str(found.verifications[0].seed)


def _steps(found: Findings) -> Iterator[dict[str, Any]]:
    for done in found.steps:
        yield {
            "step": done.name,
            "seconds": done.seconds,
            "finished": done.finished,
            "inputs": done.key,
        }


def _files(found: Findings) -> Iterator[dict[str, Any]]:
    for done in found.steps:
        for file, digest in done.files.items():
            yield {"file": file, "sha256": digest}


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _short(digest: str) -> str:
    return digest[:12]


STEPS: Mapping[str, Show] = {
    "step": str,
    "seconds": lambda v: number(v, 1),
    "finished": str,
    "inputs": _short,
}
FILES: Mapping[str, Show] = {"file": str, "sha256": _short}
