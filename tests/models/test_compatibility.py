"""A model that prompt trees would score wrongly is refused, by name or by trying."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import (
    AttentionInterface,
    AutoConfig,
    AutoModelForCausalLM,
    BloomConfig,
    Gemma2Config,
    GPT2Config,
)

from personalign.errors import ModelError
from personalign.models import attention
from personalign.models.compatibility import check_apart, check_servable
from personalign.models.local import LocalModel


def make(config: Any) -> Any:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config).eval()


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (GPT2Config(vocab_size=99, n_embd=32, n_layer=1, n_head=2), "no rotary"),
        (BloomConfig(vocab_size=99, hidden_size=32, n_layer=1, n_head=2), "no rotary"),
        (
            Gemma2Config(vocab_size=99, hidden_size=32, intermediate_size=48, num_hidden_layers=1),
            "caps its final logits",
        ),
    ],
    ids=["gpt2", "bloom", "gemma2"],
)
def test_a_model_that_cannot_be_served_is_refused_by_name(config: Any, reason: str) -> None:
    with pytest.raises(ModelError, match=f"{config.model_type}.*{reason}"):
        check_servable(make(config))


def test_recurrent_layers_are_refused() -> None:
    config = AutoConfig.for_model("mamba", vocab_size=99, hidden_size=32, num_hidden_layers=1)
    with pytest.raises(ModelError, match="mamba"):
        check_servable(make(config))


def test_an_attention_that_ignores_the_layout_is_found(
    embedded: LocalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_apart(embedded.model)

    def plain(module: Any, query: Any, key: Any, value: Any, mask: Any, **given: Any) -> Any:
        return attention.tree_attention(module, query, key, value, None)

    monkeypatch.setattr(attention, "install", lambda model: None)
    monkeypatch.setitem(AttentionInterface._global_mapping, attention.NAME, plain)
    with pytest.raises(ModelError, match=r"branches of a prompt tree see one another: [\d.]+ nats"):
        check_apart(embedded.model)
