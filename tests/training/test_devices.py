"""Two processes train as one does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM

from personalign.models.local import LocalModel
from personalign.records import Message
from personalign.training import devices
from personalign.training.checkpoints import COMPLETE
from personalign.training.config import Health
from personalign.training.health import ear

SCRIPT = Path(__file__).parent / "two_processes.py"
CONFIGS = Path(__file__).parents[2] / "src" / "personalign" / "recipes" / "accelerate"
NEEDS_DEEPSPEED = pytest.mark.skipif(find_spec("deepspeed") is None, reason="needs deepspeed")
KINDS = ["ddp", "fsdp", pytest.param("deepspeed", marks=NEEDS_DEEPSPEED)]


@pytest.fixture(scope="module")
def untied_base(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny base with a head of its own, as Llama-3-8B has one."""
    path = tmp_path_factory.mktemp("untied")
    shutil.copytree(tiny_base, path, dirs_exist_ok=True)
    config = LlamaConfig.from_pretrained(tiny_base)
    config.tie_word_embeddings = False
    torch.manual_seed(1)
    LlamaForCausalLM(config).save_pretrained(path)
    return path


def run(base: Path, out: Path, kind: str = "", **options: Any) -> list[dict[str, Any]]:
    """The history of a training in one process, or in two of a kind; empty where it was killed."""
    config = str(CONFIGS / f"{kind}.yaml")
    start = ["-m", "accelerate.commands.launch", "--config_file", config, "--num_processes", "2"]
    options |= {"micro-batch": 2 if kind else 4}
    given = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    done = subprocess.run(
        [sys.executable, *(start if kind else []), str(SCRIPT), str(base), str(out), *given],
        env={**os.environ, "PERSONALIGN_CACHE": f"{out}.cache", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    if "stop" in options:
        assert done.returncode
        return []
    assert done.returncode == 0, done.stderr[-3000:]
    return list(json.loads((out / "history.json").read_text()))


CURVES = ("loss", "logps/chosen", "grad_norm")


def same(one: list[dict[str, Any]], two: list[dict[str, Any]], rel: float, *more: str) -> None:
    """Are these curves the same?"""
    assert len(one) == len(two) == 6
    for name in (*CURVES, *more):
        ours, theirs = [h[name] for h in one], [h[name] for h in two]
        assert theirs == pytest.approx(ours, rel=rel, abs=rel / 10), name
    assert one[-1]["loss"] < 0.9 * one[0]["loss"], "nothing was learned, so nothing is shown"


def test_what_is_shared_out_is_read_off_the_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert (devices.shards(), devices.splits_weights(), devices.local_rank()) == (1, False, 3)
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    for stage, found in {"1": (1, False), "2": (8, False), "3": (8, True)}.items():
        monkeypatch.setenv("ACCELERATE_DEEPSPEED_ZERO_STAGE", stage)
        assert (devices.shards(), devices.splits_weights()) == found
    monkeypatch.delenv("ACCELERATE_DEEPSPEED_ZERO_STAGE")  # it stands in another file
    assert (devices.shards(), devices.splits_weights()) == (8, True)
    monkeypatch.delenv("ACCELERATE_USE_DEEPSPEED")
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    assert (devices.shards(), devices.splits_weights()) == (8, True)


def test_no_text_is_drawn_from_parts_of_the_weights(
    tiny: LocalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = [[Message(role="user", content="How was your day?")]]
    assert ear(tiny, prompts, Health(samples=1, sample_tokens=8))
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    assert ear(tiny, prompts, Health(samples=1, sample_tokens=8)) is None


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_give_the_losses_of_one(
    tiny_base: Path, untied_base: Path, tmp_path: Path, kind: str, tied: bool, method: str
) -> None:
    base, out = tiny_base if tied else untied_base, tmp_path / "two"
    one = run(base, tmp_path / "one", method=method)
    two = run(base, out, kind, method=method)
    same(one, two, 1e-3, "rewards/margins")
    right = [[h["rewards/accuracies"] for h in history[1:]] for history in (one, two)]
    assert right[0] == right[1], "before the first step policy and reference differ by rounding"
    assert sorted(f.name for f in out.glob("rank*")) == ["rank0", "rank1"]
    assert ("speech/base_loss" in two[-1]) == (kind != "fsdp")
    file = "adapter_model.safetensors" if method == "lora" else "model.safetensors"
    a, b = load_file(tmp_path / "one" / file), load_file(out / file)
    assert set(a) <= set(b)
    assert max(float((a[k] - b[k]).abs().max()) for k in a) < 1e-3
    assert not (out / "checkpoints").exists()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_is_not_rounded_further(
    untied_base: Path, tmp_path: Path, kind: str
) -> None:
    one = run(untied_base, tmp_path / "one", dtype="bfloat16")
    same(one, run(untied_base, tmp_path / "two", kind, dtype="bfloat16"), 0.02)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_go_on_after_a_kill(
    tiny_base: Path, tmp_path: Path, kind: str, method: str
) -> None:
    out = tmp_path / "killed"
    whole = run(tiny_base, tmp_path / "whole", kind, method=method)
    run(tiny_base, out, kind, method=method, stop=5)
    assert (out / "checkpoints" / "checkpoint-4" / COMPLETE).exists()
    same(whole, run(tiny_base, out, kind, method=method), 1e-4)
    assert (out / "rank0").read_text() == "5", "it began anew"
