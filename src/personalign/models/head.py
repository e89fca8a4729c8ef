"""Log-probs from hidden states, without the logits: a language-model head in tiles.

A tile of the vocabulary is small enough to stay in the cache; the softmax is accumulated over
tiles with a running maximum (online softmax, Milakov & Gimelshein 2018, arXiv 1805.02867), and so
is its product with the head's weights, which is all that the gradient needs.

Shape legend: N predicted tokens, U hidden states that predict them (one may predict several: what
follows a prompt in each of its completions), D hidden size, V vocabulary, T tile of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

__all__ = ["through_head", "token_log_probs"]

ROWS = 1024
TILE = 2048


def token_log_probs(hidden: Tensor, weight: Tensor, row: Tensor, target: Tensor) -> Tensor:
    """log softmax(h[row] Wᵀ)[target] for each predicted token: float32 [N] in nats, differentiable.

    Args:
        hidden: [U, D].
        weight: The head's, [V, D]; may be trainable.
        row: int64 [N], which hidden state predicts a token.
        target: int64 [N].
    """
    result: Tensor = _TokenLogProb.apply(hidden, weight, row, target)  # type: ignore[no-untyped-call]
    return result


def through_head(head: Any, hidden: Tensor, row: Tensor, target: Tensor) -> Tensor:
    """`token_log_probs` as the head's own forward pass: the module's hooks run, such as FSDP's,
    which bring its weights together."""
    own = vars(head).get("forward")
    head.forward = lambda hidden: token_log_probs(hidden, head.weight, row, target)
    try:
        result: Tensor = head(hidden)
    finally:
        del head.forward  # the class's own shows again
        if own:
            head.forward = own
    return result


class _TokenLogProb(torch.autograd.Function):
    """The gradient of one log-prob with respect to its hidden state is W[target] − softmax · W.

    It does not depend on what follows, so the forward pass keeps it ([N, D]) and the backward
    pass needs no logits at all. With a trainable head the logits are made again, row by row.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, row: Tensor, target: Tensor) -> Tensor:
        need_hidden, need_weight = ctx.needs_input_grad[0], ctx.needs_input_grad[1]
        parts = [_normaliser(hidden[cut], weight, need_hidden) for cut in _cuts(len(hidden), ROWS)]
        norm, own = torch.cat([n for n, _ in parts]), weight[target]
        means = [mean for _, mean in parts if mean is not None]
        slope = own - torch.cat(means)[row].to(own.dtype) if means else hidden.new_empty(0)
        ctx.save_for_backward(row, slope, *((hidden, weight, target) if need_weight else ()))
        ctx.shape = hidden.shape
        return (hidden[row].float() * own.float()).sum(-1) - norm[row]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        row, slope, *rest = ctx.saved_tensors
        grad_hidden = None
        if ctx.needs_input_grad[0]:
            pull = slope * grad[:, None].to(slope.dtype)
            grad_hidden = pull.new_zeros(ctx.shape).index_add_(0, row, pull)
        if not rest:
            return grad_hidden, None, None, None
        hidden, weight, target = rest
        return grad_hidden, _weight_gradient(grad, hidden[row], weight, target), None, None


def _cuts(length: int, size: int) -> Iterator[slice]:
    return (slice(i, min(i + size, length)) for i in range(0, length, size))


def _normaliser(hidden: Tensor, weight: Tensor, with_mean: bool) -> tuple[Tensor, Tensor | None]:
    """log Σ exp(logits), float32 [N], and the mean of W under the softmax, float32 [N, D]."""
    top = hidden.new_full((hidden.shape[0], 1), -torch.inf, dtype=torch.float32)
    total = torch.zeros_like(top)
    mean = torch.zeros(hidden.shape, dtype=torch.float32, device=hidden.device)
    for cut in _cuts(weight.shape[0], TILE):
        logits = (hidden @ weight[cut].T).float()
        higher = torch.maximum(top, logits.amax(1, keepdim=True))
        shrink = (top - higher).exp_()
        odds = logits.sub_(higher).exp_()
        total.mul_(shrink).add_(odds.sum(1, keepdim=True))
        if with_mean:
            mean.mul_(shrink).add_(odds.to(weight.dtype) @ weight[cut])
        top = higher
    return (top + total.log()).squeeze(1), mean.div_(total) if with_mean else None


def _weight_gradient(grad: Tensor, hidden: Tensor, weight: Tensor, target: Tensor) -> Tensor:
    whole = torch.zeros_like(weight, dtype=torch.float32)
    for cut in _cuts(hidden.shape[0], ROWS // 4):
        probs = (hidden[cut] @ weight.T).float().softmax(-1)
        probs.mul_(-grad[cut, None])
        probs.scatter_add_(1, target[cut, None], grad[cut, None])
        whole += probs.T @ hidden[cut].float()
    return whole.to(weight.dtype)
