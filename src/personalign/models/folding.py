"""LoRA layers that multiply by one weight: the update folded into a copy of the base's.

PEFT computes x·Wᵀ + s·(x·Aᵀ)·Bᵀ, three products and two passes over the result. Here
W' = W + s·B·A is made once after each change of A or B (in training: once an optimiser step, in
use: once an adapter), and a layer is one product, forward and backward. The gradients of A and B
need no gradient of W':  ∂B = s·gᵀ·(x·Aᵀ),  ∂A = s·(g·B)ᵀ·x  for the gradient g of the output.

Only in float32: in bfloat16 a small update would vanish when it is added to the weight. Costs a
copy of the adapted weights. What cannot be folded (dropout, DoRA, a LoRA bias, mixed adapters,
half precision) goes PEFT's own way.

Shape legend: x [..., I], W [O, I], A [r, I], B [O, r], y [..., O].
"""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.optimizer import register_optimizer_step_post_hook

__all__ = ["fold"]


class _FoldedProduct(torch.autograd.Function):
    """x·W'ᵀ + bias, with gradients for x, A and B."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        folded: Tensor,
        bias: Tensor | None,
        a: Tensor,
        b: Tensor,
        scaling: float,
    ) -> Tensor:
        ctx.save_for_backward(x, folded, a, b)
        ctx.scaling = scaling
        return functional.linear(x, folded, bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, folded, a, b = ctx.saved_tensors
        g, flat = grads[0].flatten(0, -2), x.flatten(0, -2)
        grad_x = (g @ folded).view(x.shape) if ctx.needs_input_grad[0] else None
        grad_a = ((g @ b).T @ flat).mul_(ctx.scaling) if ctx.needs_input_grad[3] else None
        grad_b = (g.T @ (flat @ a.T)).mul_(ctx.scaling) if ctx.needs_input_grad[4] else None
        return grad_x, None, None, grad_a, grad_b, None


class _FoldedForward:
    """A LoRA layer's forward pass; keeps the folded weight of the adapter used last."""

    def __init__(self, layer: Any) -> None:
        self.layer = weakref.proxy(layer)  # no cycle: the copy goes when the layer goes
        self.peft = type(layer).forward
        self.made_of: tuple[Any, ...] = (None, None)
        self.weight: Tensor | None = None

    def __call__(self, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        layer = self.layer
        name = self._adapter(x, kwargs)
        if name is None:
            return self.peft(layer, x, *args, **kwargs)
        a, b = layer.lora_A[name].weight, layer.lora_B[name].weight
        scaling = layer.scaling[name]
        weight = self._folded(a, b, scaling)
        bias = layer.base_layer.bias
        if torch.is_grad_enabled() and (a.requires_grad or x.requires_grad):
            return _FoldedProduct.apply(x, weight, bias, a, b, scaling)  # type: ignore[no-untyped-call]
        return functional.linear(x, weight, bias)

    def _adapter(self, x: Tensor, kwargs: dict[str, Any]) -> str | None:
        """The one adapter that answers, where its update can be folded."""
        layer = self.layer
        if layer.disable_adapters or layer.merged or kwargs.get("adapter_names") is not None:
            return None
        active: list[str] = [name for name in layer.active_adapters if name in layer.lora_A]
        if len(active) != 1 or active[0] in layer.lora_variant or layer.lora_bias.get(active[0]):
            return None
        drops = layer.training and not isinstance(layer.lora_dropout[active[0]], nn.Identity)
        exact = x.dtype == layer.lora_A[active[0]].weight.dtype == torch.float32
        return active[0] if exact and not drops else None

    def _folded(self, a: Tensor, b: Tensor, scaling: float) -> Tensor:
        if self.weight is None or not self._is_current(a, b, scaling):
            with torch.inference_mode(False), torch.no_grad():
                self.weight = torch.addmm(self.layer.base_layer.weight, b, a, alpha=scaling)
            self.made_of = (a, b, a._version, b._version, scaling, _steps)
        return self.weight

    def _is_current(self, a: Tensor, b: Tensor, scaling: float) -> bool:
        known_a, known_b, *known = self.made_of
        if known_a is not a or known_b is not b or known[:3] != [a._version, b._version, scaling]:
            return False
        return not a.requires_grad or known[3] == _steps


def _count_step(*args: Any) -> None:
    global _steps
    _steps += 1


_steps = 0  # of all optimisers: a fused one changes weights without counting a version
register_optimizer_step_post_hook(_count_step)


def fold(model: Any) -> None:
    """Let every LoRA layer of a PEFT model fold its update; safe to call again."""
    from peft.tuners.lora import Linear

    for layer in model.modules():
        if not isinstance(layer, Linear) or isinstance(layer.forward, _FoldedForward):
            continue
        base: Any = layer.base_layer
        if type(base) is nn.Linear and base.weight.dtype == torch.float32:
            layer.forward = _FoldedForward(layer)  # type: ignore[method-assign]
