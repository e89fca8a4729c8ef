"""A Llama of any size with random weights and the embedded model's tokenizer, as a base.

    python benchmarks/random_llama.py /tmp/8b            # the size of Llama-3-8B, bf16, 16 GB
    python benchmarks/random_llama.py /tmp/tiny --hidden 64 --layers 2 --inner 192 --heads 4 --kv 2

Speed and memory do not depend on what the weights are.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch


def write(
    folder: Path, hidden: int, layers: int, inner: int, heads: int, kv: int, vocabulary: int = 0
) -> Path:
    """Save the model in bf16 if it is large, in float32 otherwise."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    from personalign.models import embedded

    source = embedded.resolve(embedded.EMBEDDED)
    size = {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "intermediate_size": inner,
        "num_attention_heads": heads,
        "num_key_value_heads": kv,
        "tie_word_embeddings": hidden < 2048,
    } | ({"vocab_size": vocabulary} if vocabulary else {})
    config = AutoConfig.from_pretrained(source, **size)
    config.head_dim = hidden // heads
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with torch.device(device):
        dtype = torch.bfloat16 if hidden >= 2048 else torch.float32
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(source).save_pretrained(folder)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--hidden", type=int, default=4096)
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--inner", type=int, default=14336)
    parser.add_argument("--heads", type=int, default=32)
    parser.add_argument("--kv", type=int, default=8)
    parser.add_argument("--vocabulary", type=int, default=128256)
    args = parser.parse_args()
    print(
        write(
            args.folder, args.hidden, args.layers, args.inner, args.heads, args.kv, args.vocabulary
        )
    )


if __name__ == "__main__":
    main()
