"""A pass never waits for the device: nothing is read from a tensor but where it is logged."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import pytest
from torch.utils._python_dispatch import TorchDispatchMode

from personalign.models.local import LocalModel
from personalign.records import Message
from personalign.training.config import TrainingConfig
from personalign.training.neutral import neutral_replies
from personalign.training.trainer import Example, train, with_neutral

WAITS = ("_local_scalar_dense", "nonzero", "equal", "item", "_unique2", "bincount")
STEP = "on_pre_optimizer_step"
MAY = (STEP, "_maybe_log_save_evaluate", "_finalize_training", "get_batch_samples")
"""Whether a step is made is one value a step, logs are read, batches are made on the CPU."""


class Waits(TorchDispatchMode):
    """Where a value was waited for, by the names of the functions on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[list[str]] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if function._schema.name.removeprefix("aten::") in WAITS:
            self.seen.append([frame.name for frame in traceback.extract_stack()])
        return function(*args, **(kwargs or {}))

    def but_for(self, allowed: tuple[str, ...]) -> list[str]:
        return [" > ".join(way[-6:-1]) for way in self.seen if not set(allowed) & set(way)]


@pytest.mark.parametrize("kl", [0.0, 1.0])
def test_a_training_step_waits_for_no_value_but_whether_it_is_made(
    tiny: LocalModel, data: list[Example], tmp_path: Path, kl: float
) -> None:
    prompts = [(Message(role="user", content="Where is Oslo?"),)]
    settings = TrainingConfig(epochs=2, batch_size=4, micro_batch=2, kl=kl)
    given = with_neutral(data[:8], neutral_replies(tiny, prompts)) if kl else data[:8]
    with Waits() as waits:
        history = train(tiny, given, settings, tmp_path)
    assert waits.but_for(MAY) == []
    made = [way for way in waits.seen if STEP in way]
    assert len(made) == len(history) == 4


def test_a_scoring_pass_waits_for_no_value(tiny: LocalModel, data: list[Example]) -> None:
    with Waits() as waits:
        tiny.score([e.tree for e in data])
    assert waits.but_for(("pack",)) == []
