"""Two processes train as one does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from personalign.models.local import LocalModel
from personalign.records import Message
from personalign.training import devices
from personalign.training.checkpoints import COMPLETE
from personalign.training.config import Health
from personalign.training.samples import sampler

SCRIPT = Path(__file__).parent / "two_processes.py"
CONFIGS = Path(__file__).parents[2] / "src" / "personalign" / "recipes" / "accelerate"
NEEDS_DEEPSPEED = pytest.mark.skipif(find_spec("deepspeed") is None, reason="needs deepspeed")
KINDS = ["ddp", "fsdp", pytest.param("deepspeed", marks=NEEDS_DEEPSPEED)]


def run(
    base: Path, out: Path, kind: str | None, method: str, stop: str = ""
) -> list[dict[str, Any]]:
    """The history of a training in one process, or in two of a kind; empty where it was killed."""
    config = str(CONFIGS / f"{kind}.yaml")
    start = ["-m", "accelerate.commands.launch", "--config_file", config, "--num_processes", "2"]
    start += ["--mixed_precision", "no"]
    micro_batch = "2" if kind else "4"
    arguments = [str(base), str(out), micro_batch, method, *([stop] if stop else [])]
    done = subprocess.run(
        [sys.executable, *(start if kind else []), str(SCRIPT), *arguments],
        env={**os.environ, "PERSONALIGN_CACHE": f"{out}.cache", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    if stop:
        assert done.returncode
        return []
    assert done.returncode == 0, done.stderr[-3000:]
    return list(json.loads((out / "history.json").read_text()))


def test_what_is_shared_out_is_read_off_the_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert (devices.shards(), devices.splits_weights(), devices.local_rank()) == (1, False, 3)
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_ZERO_STAGE", "2")
    assert (devices.shards(), devices.splits_weights()) == (8, False)
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_ZERO_STAGE", "3")
    assert devices.splits_weights()
    monkeypatch.delenv("ACCELERATE_USE_DEEPSPEED")
    monkeypatch.delenv("ACCELERATE_DEEPSPEED_ZERO_STAGE")
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    assert (devices.shards(), devices.splits_weights()) == (8, True)


def test_no_text_is_drawn_from_parts_of_the_weights(
    tiny: LocalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = [[Message(role="user", content="How was your day?")]]
    assert sampler(tiny, tiny.model, prompts, Health(), 0)
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    assert sampler(tiny, tiny.model, prompts, Health(), 0) is None


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_give_the_losses_of_one(
    tiny_base: Path, tmp_path: Path, kind: str, method: str
) -> None:
    one, two = (run(tiny_base, tmp_path / f"{k}", k, method) for k in (None, kind))
    out = tmp_path / kind
    assert sorted(f.name for f in out.glob("rank*")) == ["rank0", "rank1"]
    assert len(one) == len(two) == 6
    for name in ("loss", "rewards/accuracies", "rewards/margins", "logps/chosen", "grad_norm"):
        ours, theirs = [h[name] for h in one], [h[name] for h in two]
        assert theirs == pytest.approx(ours, rel=1e-3, abs=1e-4), name
    assert one[-1]["loss"] < 0.9 * one[0]["loss"], "nothing was learned, so nothing is shown"
    assert ("samples/kl" in two[-1]) == (kind != "fsdp")
    file = "adapter_model.safetensors" if method == "lora" else "model.safetensors"
    a, b = load_file(tmp_path / "None" / file), load_file(out / file)
    assert set(a) <= set(b)
    assert max(float((a[k] - b[k]).abs().max()) for k in a) < 1e-3
    assert not (out / "checkpoints").exists()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_go_on_after_a_kill(tiny_base: Path, tmp_path: Path, kind: str) -> None:
    whole = run(tiny_base, tmp_path / "whole", kind, "lora")
    run(tiny_base, tmp_path / "killed", kind, "lora", stop="5")
    assert (tmp_path / "killed" / "checkpoints" / "checkpoint-4" / COMPLETE).exists()
    resumed = run(tiny_base, tmp_path / "killed", kind, "lora")
    assert [h["loss"] for h in resumed] == pytest.approx([h["loss"] for h in whole], rel=1e-4)
