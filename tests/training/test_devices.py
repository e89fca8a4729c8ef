"""Two processes train as one does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from personalign.models.local import LocalModel
from personalign.records import Message
from personalign.training import devices
from personalign.training.config import Health
from personalign.training.samples import sampler

SCRIPT = Path(__file__).parent / "two_processes.py"
CONFIGS = Path(__file__).parents[2] / "src" / "personalign" / "recipes" / "accelerate"


def run(base: Path, out: Path, cache: Path, processes: int, method: str) -> list[dict[str, Any]]:
    launch = ["-m", "accelerate.commands.launch", "--config_file", str(CONFIGS / "ddp.yaml")]
    start = [*launch, "--num_processes", str(processes)] if processes > 1 else []
    done = subprocess.run(
        [sys.executable, *start, str(SCRIPT), str(base), str(out), str(4 // processes), method],
        env={**os.environ, "PERSONALIGN_CACHE": str(cache), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
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
def test_two_processes_give_the_losses_of_one(tiny_base: Path, tmp_path: Path, method: str) -> None:
    one, two = (
        run(tiny_base, tmp_path / f"{n}", tmp_path / f"cache{n}", n, method) for n in (1, 2)
    )
    assert sorted(f.name for f in (tmp_path / "2").glob("rank*")) == ["rank0", "rank1"]
    assert len(one) == len(two) == 6
    for name in ("loss", "rewards/accuracies", "rewards/margins", "logps/chosen", "grad_norm"):
        ours, theirs = [h[name] for h in one], [h[name] for h in two]
        assert theirs == pytest.approx(ours, rel=1e-3, abs=1e-4), name
    assert one[-1]["loss"] < 0.9 * one[0]["loss"], "nothing was learned, so nothing is shown"
    file = "adapter_model.safetensors" if method == "lora" else "model.safetensors"
    a, b = load_file(tmp_path / "1" / file), load_file(tmp_path / "2" / file)
    assert a.keys() == b.keys()
    assert max(float((a[k] - b[k]).abs().max()) for k in a) < 1e-3
    assert not (tmp_path / "2" / "checkpoints").exists()
