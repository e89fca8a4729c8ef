"""The engine under an evaluation: bounds of a batch, one thread, what does not fit is said."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from inspect_ai.model import ChatMessageUser, ContentImage, ContentText, GenerateConfig

from personalign.errors import InputError, ModelError
from personalign.models import batcher
from personalign.models.batcher import Batcher
from personalign.models.engine import Draw, adopt, engine_for
from personalign.models.local import LocalModel
from personalign.models.provider import CHOICES, ModelArgs, arm_model
from personalign.models.sampling import Sampling
from personalign.records import Message
from personalign.training.config import Lora
from personalign.training.trainer import with_lora


def tens(seen: list[list[int]]) -> Batcher[int, int]:
    def work(batch: Sequence[int]) -> list[int]:
        seen.append(list(batch))
        return [x * 10 for x in batch]

    return Batcher(work, kind=lambda _: 0, cost=lambda x: x, size=8, budget=20)


def test_the_budget_bounds_a_batch_that_is_padded_to_its_longest() -> None:
    seen: list[list[int]] = []

    async def ask_all() -> list[int]:
        queue = tens(seen)
        return await asyncio.gather(*(queue.ask(x) for x in (1, 1, 9, 1, 1)))

    assert asyncio.run(ask_all()) == [10, 10, 90, 10, 10]
    assert seen == [[1, 1, 1, 1], [9]]


def test_one_thread_serves_however_many_ask_first(monkeypatch: pytest.MonkeyPatch) -> None:
    started, queue = [], tens([])
    askers = [threading.Thread(target=queue.submit, args=(k,)) for k in range(4)]

    class Slow(threading.Thread):
        def __init__(self, **how: Any) -> None:
            started.append(how["name"])
            time.sleep(0.1)  # others ask meanwhile
            super().__init__(**how)

    monkeypatch.setattr(batcher.threading, "Thread", Slow)
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join(timeout=30)
    assert queue.submit(5).result(timeout=30) == 50
    assert started == ["batcher"]


def ask(local: LocalModel, arm: ModelArgs, text: str = "Hello", **config: Any) -> Any:
    return asyncio.run(arm_model(local, arm).generate(text, config=GenerateConfig(**config)))


def test_a_folder_without_an_adapter_is_named(tiny: LocalModel, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no adapter in .*check the path"):
        arm_model(tiny, ModelArgs("INFP", "adapter", adapter=str(tmp_path)))


def test_a_strength_is_one_number_however_it_is_written(
    tiny: LocalModel, adapters: dict[str, Path]
) -> None:
    arms = [
        ModelArgs("INFP", "adapter", adapter=str(adapters["one"]), strength=s) for s in (1, 1.0)
    ]
    assert len({str(arm_model(tiny, arm)) for arm in arms}) == 1


def test_an_adapter_that_cannot_be_mixed_is_asked_beside_others(
    tiny: LocalModel, tiny_base: Path, adapters: dict[str, Path], tmp_path: Path
) -> None:
    bare = LocalModel.load(str(tiny_base), "float32", "cpu").model
    dora = with_lora(bare, Lora(rank=4, alpha=8, dora=True), 0)
    torch.manual_seed(0)
    for name, weight in dora.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.3)
    dora.save_pretrained(tmp_path)
    tiny.add_adapter("dora", tmp_path)
    tiny.add_adapter("one", adapters["one"])
    engine, hot = adopt(tiny), Sampling(24, temperature=0.5)
    tokens = tiny.chat.prompt([Message(role="user", content="Hello")])
    names = (None, "dora", "one")

    async def all_at_once() -> list[str]:
        drawn = await asyncio.gather(*(engine.queue.ask(Draw(tokens, n, hot, 0)) for n in names))
        return [reply.text for reply in drawn]

    alone = [tiny.draw([tokens], [n], hot, [0])[0].text for n in names]
    assert len(set(alone)) == 3
    assert asyncio.run(all_at_once()) == alone
    assert sorted(engine.queue.batches) == [1, 2]


def test_log_probs_that_are_no_numbers_are_an_error(
    tiny: LocalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = [[torch.tensor([float("nan")])] * 2]
    monkeypatch.setattr(tiny, "score", lambda trees, *rest: nothing)
    with pytest.raises(ModelError, match="load the base in float32"):
        ask(tiny, ModelArgs(), extra_body={CHOICES: ["Yes", "No"]})


def test_an_image_is_refused_and_not_passed_over(tiny: LocalModel) -> None:
    parts = [ContentText(text="What is this?"), ContentImage(image="data:image/png;base64,AA==")]
    asked = arm_model(tiny, ModelArgs()).generate([ChatMessageUser(content=parts)])
    with pytest.raises(InputError, match="a message with image"):
        asyncio.run(asked)


def test_a_device_by_number_is_refused(tiny_base: Path) -> None:
    with pytest.raises(InputError, match=r"device 'cuda:1'.*CUDA_VISIBLE_DEVICES"):
        engine_for(str(tiny_base), "float32", "cuda:1")


def test_a_request_that_has_no_kind_is_told_and_the_queue_goes_on() -> None:
    queue = Batcher(lambda b: [1 / x for x in b], lambda x: 1 // x, lambda _: 1, 8, 8)
    with pytest.raises(ZeroDivisionError):
        asyncio.run(queue.ask(0))
    assert asyncio.run(asyncio.wait_for(queue.ask(2), 30)) == 0.5


def test_choices_that_cannot_be_scored_are_errors(tiny: LocalModel) -> None:
    with pytest.raises(InputError, match="no answers to choose from"):
        ask(tiny, ModelArgs(), extra_body={CHOICES: []})
    with pytest.raises(InputError, match="in a window of 2048"):
        ask(tiny, ModelArgs(), "word " * 3000, extra_body={CHOICES: ["Yes", "No"]})
    with pytest.raises(InputError, match="does not know extra_body: choice "):
        ask(tiny, ModelArgs(), extra_body={"choice": ["Yes", "No"]})
