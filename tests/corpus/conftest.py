"""What the corpus tests share: two personas of their own, and a key for a server on loopback."""

from __future__ import annotations

from pathlib import Path

import pytest
from people import persona

from personalign.corpus.ask import Limits
from personalign.personas import Persona


@pytest.fixture
def quiet() -> Persona:
    return persona("Quiet", "Loud", "quiet", -0.8)


@pytest.fixture
def loud() -> Persona:
    return persona("Loud", "Quiet", "loud", 0.8)


@pytest.fixture
def persona_files(tmp_path: Path, quiet: Persona, loud: Persona) -> tuple[Path, Path]:
    """The two personas as files; JSON is YAML."""
    paths = tmp_path / "quiet.yaml", tmp_path / "loud.yaml"
    for path, one in zip(paths, (quiet, loud), strict=True):
        path.write_text(one.model_dump_json())
    return paths


@pytest.fixture
def limits() -> Limits:
    """Impatient limits, so that failures cost no time."""
    return Limits(concurrency=8, backoff=0.02, timeout=2, attempts=4)


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_API_KEY", "none")
