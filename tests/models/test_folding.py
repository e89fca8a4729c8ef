"""A folded LoRA layer answers and learns as PEFT's does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn

from personalign.models.folding import fold


class Net(nn.Module):
    """Two linear layers, one with a bias."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(12, 20, bias=False)
        self.second = nn.Linear(20, 6)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.second(torch.tanh(self.first(x)))
        return y


def adapted(**options: Any) -> Any:
    """A net under an adapter that does something, the same at every call."""
    torch.manual_seed(0)
    config = LoraConfig(r=4, lora_alpha=6, target_modules=["first", "second"], **options)
    model = get_peft_model(Net(), config)  # type: ignore[arg-type]
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(weight, std=0.3)
    return model


def learn(model: Any, steps: int, fused: bool) -> Iterator[list[Tensor]]:
    """Gradients of each step of a short training."""
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=0.05, fused=fused)
    x = torch.randn(3, 5, 12, generator=torch.Generator().manual_seed(1), requires_grad=True)
    for _ in range(steps):
        optimizer.zero_grad()
        x.grad = None
        model(x).square().sum().backward()
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        assert x.grad is not None
        yield [g.clone() for g in (x.grad, *grads)]
        optimizer.step()


@pytest.mark.parametrize("fused", [True, False])
def test_outputs_and_gradients_equal_pefts_while_it_learns(fused: bool) -> None:
    plain, folded = adapted(), adapted()
    fold(folded)
    fold(folded)  # a second time changes nothing
    for ours, theirs in zip(learn(folded, 4, fused), learn(plain, 4, fused), strict=True):
        assert len(ours) == len(theirs) == 5
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_switching_adapter_strength_and_base_is_seen() -> None:
    plain, folded = adapted(), adapted()
    fold(folded)
    x = torch.randn(2, 12)
    for model in (plain, folded):
        model.add_adapter("other", model.peft_config["default"])
    with torch.inference_mode():
        for change in ("default", "other", "default", "stronger", "off"):
            for model in (plain, folded):
                if change in ("default", "other"):
                    model.set_adapter(change)
                elif change == "stronger":
                    for layer in (model.base_model.model.first, model.base_model.model.second):
                        layer.scaling["default"] *= 2
                else:
                    model.base_model.disable_adapter_layers()
            torch.testing.assert_close(folded(x), plain(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("options", [{"use_dora": True}, {"lora_dropout": 0.5}])
def test_what_cannot_be_folded_goes_pefts_way(options: dict[str, Any]) -> None:
    plain, folded = adapted(**options), adapted(**options)
    fold(folded)
    x = torch.randn(2, 12)
    outputs = []
    for model in (plain, folded):
        torch.manual_seed(3)
        outputs.append(model(x))
    assert torch.equal(*outputs)


def test_half_precision_is_left_to_peft() -> None:
    plain, folded = adapted().to(torch.bfloat16), adapted().to(torch.bfloat16)
    fold(folded)
    x = torch.randn(2, 12, dtype=torch.bfloat16)
    assert torch.equal(plain(x), folded(x))
