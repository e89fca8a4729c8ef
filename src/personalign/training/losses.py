"""Preference losses as pure functions of log-probs.

Shapes: every argument is float [B], the summed log-prob in nats of one reply of each pair under
the policy or the reference; every result is float [B], one loss a pair.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import logsigmoid

__all__ = ["dpo", "margin"]


def margin(
    chosen: Tensor, rejected: Tensor, reference_chosen: Tensor, reference_rejected: Tensor
) -> Tensor:
    """How much more than the reference the policy prefers the chosen reply, in nats."""
    return (chosen - reference_chosen) - (rejected - reference_rejected)


def dpo(margins: Tensor, beta: float) -> Tensor:
    """Direct preference optimisation: -log σ(β · margin) (Rafailov et al. 2023, equation 7)."""
    return -logsigmoid(beta * margins)
