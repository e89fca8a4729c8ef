"""What this machine has, what is missing of the optional parts, and what a base's template does."""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path
from typing import Any

__all__ = ["examine", "examine_base"]

OPTIONAL = {
    "datasets": "hub",
    "scrapy": "crawl",
    "trafilatura": "crawl",
    "five_factor_e": "norms",
    "trl": "bench",
    "lm_eval": "bench",
    "bitsandbytes": "gpu",
    "unsloth": "unsloth",
}

NO_SETTING = re.compile(r"^_|^output_|^use_cache$|_token_id$|version")
"""Keys of a `generation_config.json` that say nothing about how replies are drawn."""


def examine() -> dict[str, Any]:
    """Hardware, number type, threads, weights, hub and optional parts, as JSON values."""
    import torch

    from personalign.models.embedded import cache_folder, gguf_file
    from personalign.models.local import best_device, best_dtype
    from personalign.runs import environment

    device = best_device()
    here = environment()
    weights = gguf_file()
    return {
        "processor": here["processor"],
        "cores": here["cores"],
        "memory_mib": here["memory_mib"],
        "device": device,
        "gpu": torch.cuda.get_device_name(0) if device == "cuda" else "none",
        "dtype": str(best_dtype(device)).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "weights": str(weights) if weights else "missing",
        "cache": str(cache_folder()),
        "hub": "offline" if os.environ.get("HF_HUB_OFFLINE") == "1" else _hub(),
        "versions": here["packages"],
        "optional": {
            name: "installed"
            if importlib.util.find_spec(name)
            else f"pip install 'personalign[{extra}]'"
            for name, extra in OPTIONAL.items()
        },
    }


def examine_base(base: str) -> dict[str, Any]:
    """What a base's chat template does, by its tokenizer alone, as JSON values.

    `left_out` are its own settings of generation, which no reply is drawn with.

    Raises:
        ModelError: where there is no such base, or no tokenizer with it.
    """
    from personalign.models import embedded
    from personalign.models.chat import open_chat

    found = open_chat(base).probe.model_dump(mode="json")
    return {"base": base, **found, "left_out": _own_settings(embedded.resolve(base))}


def _own_settings(folder: Path) -> dict[str, Any]:
    from transformers import GenerationConfig

    if not (folder / "generation_config.json").exists():
        return {}
    own = GenerationConfig.from_pretrained(folder).to_diff_dict()
    return {k: v for k, v in own.items() if not NO_SETTING.search(k)}


def _hub() -> str:
    import httpx
    from huggingface_hub import constants

    try:
        httpx.head(constants.ENDPOINT, timeout=3)
    except httpx.HTTPError:
        return "not reachable"
    return "reachable"
