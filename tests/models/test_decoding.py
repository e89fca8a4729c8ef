"""Decoding in place, and of rows that leave when they end."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from personalign.models.cache import BLOCK, RoomyLayer
from personalign.models.local import LocalModel
from personalign.models.mixing import mixed
from personalign.models.sampling import Sampling


def test_a_roomy_layer_holds_what_transformers_own_does() -> None:
    ours, theirs = RoomyLayer(), DynamicLayer()
    torch.manual_seed(0)
    for tokens in (BLOCK - 2, 1, 1, 1, BLOCK, 1):
        new = torch.randn(4, 2, tokens, 8), torch.randn(4, 2, tokens, 8)
        for mine, own in zip(ours.update(*new), theirs.update(*new), strict=True):
            assert torch.equal(mine, own)
        assert ours.get_seq_length() == theirs.get_seq_length()
    for layer in (ours, theirs):
        layer.batch_select_indices(torch.tensor([0, 2]))
        layer.update(*(part[:2] for part in new))
    assert ours.keys.shape[0] == 2
    assert torch.equal(ours.keys, theirs.keys)
    assert torch.equal(ours.values, theirs.values)


@pytest.fixture
def three(tiny_base: Path, adapters: dict[str, Path]) -> LocalModel:
    local = LocalModel.load(str(tiny_base), "float32", "cpu")
    for name, folder in adapters.items():
        local.add_adapter(name, folder)
    return local


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_rows_leave_when_they_end_and_the_others_go_on(
    three: LocalModel, temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = [tuple(range(5, 9 + k)) for k in range(10)]
    names = [(None, "one", "two")[k % 3] for k in range(10)]
    sampling, seeds = Sampling(24, temperature), list(range(10))
    whole = three.draw(prompts, names, sampling, seeds)
    ends = [token for reply in whole[:6] for token in three.tokenizer(reply.text)["input_ids"][5:9]]
    monkeypatch.setattr(LocalModel, "stops", lambda self: sorted(set(ends)))
    sizes: list[int] = []
    select = DynamicCache.batch_select_indices

    def seen(self: DynamicCache, rows: Tensor) -> None:
        sizes.append(len(rows))
        select(self, rows)

    monkeypatch.setattr(DynamicCache, "batch_select_indices", seen)
    together = three.draw(prompts, names, sampling, seeds)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes
    alone = [
        three.draw([p], [n], sampling, [s])[0]
        for p, n, s in zip(prompts, names, seeds, strict=True)
    ]
    assert together == alone
    assert {g.ended for g in together} == {"stop", "length"}


def test_settings_that_a_base_brings_do_not_break_a_batch(
    three: LocalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = [tuple(range(5, 9 + k)) for k in range(10)]
    own = {"repetition_penalty": 1.3, "use_cache": False, "cache_implementation": "static"}
    for key, value in {**own, "num_beams": 2}.items():
        monkeypatch.setattr(three.model.generation_config, key, value)
    sampling, names = Sampling(16, 1.0), [None] * 10
    whole = three.draw(prompts, names, sampling, list(range(10)))
    ends = [t for reply in whole[:6] for t in three.tokenizer(reply.text)["input_ids"][3:6]]
    monkeypatch.setattr(LocalModel, "stops", lambda self: sorted(set(ends)))
    together = three.draw(prompts, names, sampling, list(range(10)))
    alone = [three.draw([p], [None], sampling, [s])[0] for s, p in enumerate(prompts)]
    assert together == alone
    assert len({g.tokens for g in together}) > 1


def test_a_mixture_answers_for_the_rows_that_stay(three: LocalModel) -> None:
    ids = torch.tensor([[5, 6, 7]] * 3)
    handles = [three.adapters[n].handle if n else None for n in (None, "one", "two")]
    with torch.no_grad(), mixed(three.model, handles) as keep:
        before = three.model(ids).logits
        keep(torch.tensor([0, 2]))
        after = three.model(ids[:2]).logits
    torch.testing.assert_close(after, before[[0, 2]])
    assert (after[0] - after[1]).abs().max() > 0.01
