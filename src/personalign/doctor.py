"""What this machine has, and what is missing of the optional parts."""

from __future__ import annotations

import importlib.util
import os
from typing import Any

__all__ = ["examine"]

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


def _hub() -> str:
    import httpx
    from huggingface_hub import constants

    try:
        httpx.head(constants.ENDPOINT, timeout=3)
    except httpx.HTTPError:
        return "not reachable"
    return "reachable"
