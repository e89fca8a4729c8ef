"""Preference losses as pure functions of log-probs.

Shapes: B pairs, N completion tokens of neutral replies. A loss is float [B], one value a pair,
whatever the pairs were batched with; the mean over a batch is what is trained on.

Values and gradients are those of TRL 1.16 (sigmoid, robust, ipo, hinge, apo_zero in its
DPOTrainer, simpo in its CPOTrainer, the odds ratio in its ORPOTrainer). Where TRL takes one mean
over the tokens of a batch (the NLL terms) the papers take one mean a reply, and so does this
file: a pair's loss then does not depend on its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, relu

__all__ = [
    "OBJECTIVES",
    "Objective",
    "PairLogProbs",
    "apo_zero",
    "average_margin",
    "average_preference",
    "dpo",
    "hinge",
    "ipo",
    "kl",
    "log_odds_ratio",
    "margin",
    "nll",
    "orpo",
    "robust_dpo",
    "simpo",
]


@dataclass(frozen=True, slots=True)
class PairLogProbs:
    """What is known of a batch of pairs; column 0 is the chosen reply, column 1 the rejected.

    Attributes:
        policy: Summed log-prob in nats of each reply under what is trained, float [B, 2].
        reference: The same under the base, float [B, 2].
        lengths: Tokens of each reply, its end of turn included, [B, 2], at least 1.
    """

    policy: Tensor
    reference: Tensor
    lengths: Tensor

    @property
    def ratios(self) -> Tensor:
        """log π(y|x) − log π_ref(y|x), nats, [B, 2]."""
        return self.policy - self.reference

    @property
    def averages(self) -> Tensor:
        """log π(y|x) / |y|, nats a token, [B, 2]."""
        return self.policy / self.lengths


def margin(pairs: PairLogProbs) -> Tensor:
    """How much more than the base the policy prefers the chosen reply, nats, [B]."""
    chosen, rejected = pairs.ratios.unbind(1)
    return chosen - rejected


def average_margin(pairs: PairLogProbs) -> Tensor:
    """The same with each reply's log-ratio divided by its length, nats a token, [B]."""
    chosen, rejected = (pairs.ratios / pairs.lengths).unbind(1)
    return chosen - rejected


def average_preference(pairs: PairLogProbs) -> Tensor:
    """How much the policy itself prefers the chosen reply, nats a token, [B]; no base in it."""
    chosen, rejected = pairs.averages.unbind(1)
    return chosen - rejected


def log_odds_ratio(pairs: PairLogProbs) -> Tensor:
    """log odds(chosen) − log odds(rejected), [B], where odds = p / (1 − p).

    p is the geometric mean of a reply's token probabilities (Hong et al. 2024, arXiv 2403.07691,
    section 4).
    """
    chosen, rejected = (pairs.averages - _log_one_minus_exp(pairs.averages)).unbind(1)
    return chosen - rejected


def _log_one_minus_exp(x: Tensor) -> Tensor:
    """log(1 − eˣ) for x < 0, exact near both ends.

    Mächler 2012, "Accurately computing log(1 − exp(−|a|))", with its switch at −log 2.
    """
    x = x.clamp(max=-torch.finfo(x.dtype).tiny)
    near = x > -0.6931471805599453
    # Each branch sees only arguments that it is exact for, so that no gradient is 0 · ∞.
    small = torch.log(-torch.expm1(torch.where(near, x, -0.5)))
    large = torch.log1p(-torch.exp(torch.where(near, -1.0, x)))
    return torch.where(near, small, large)


def dpo(pairs: PairLogProbs, beta: float) -> Tensor:
    """Direct preference optimisation: −log σ(β · margin).

    Rafailov et al. 2023, arXiv 2305.18290, equation 7. `beta` > 0; the paper uses 0.1 to 0.5.
    """
    return -logsigmoid(beta * margin(pairs))


def robust_dpo(pairs: PairLogProbs, beta: float, label_smoothing: float) -> Tensor:
    """DPO, unbiased where a share of the preferences is flipped; it can be negative.

    Chowdhury, Kini & Natarajan 2024, arXiv 2403.00409 (the paper's ε, in [0, 0.5), is
    `label_smoothing`).
    """
    z = beta * margin(pairs)
    clean, flipped = -logsigmoid(z), -logsigmoid(-z)
    kept = 1 - label_smoothing
    return (kept * clean - label_smoothing * flipped) / (kept - label_smoothing)


def ipo(pairs: PairLogProbs, beta: float) -> Tensor:
    """Identity preference optimisation: (average margin − 1 / 2β)².

    Azar et al. 2023, arXiv 2310.12036, section 5.2, equation 17, its τ being `beta`; log-ratios
    are divided by the replies' lengths, as TRL reports its authors to have done. So 1 / 2β is a
    margin in nats a token: 1 by the default of 0.5, where 0.1 would ask for 5, which is what the
    whole reply is asked for where nothing is divided.
    """
    return (average_margin(pairs) - 1 / (2 * beta)).square()


def hinge(pairs: PairLogProbs, beta: float) -> Tensor:
    """Hinge on the margin: max(0, 1 − β · margin).

    The calibration loss of SLiC (Zhao et al. 2023, arXiv 2305.10425) on log-ratios,
    which RSO calls hinge-norm (Liu et al. 2023, arXiv 2309.06657).
    """
    return relu(1 - beta * margin(pairs))


def apo_zero(pairs: PairLogProbs, beta: float) -> Tensor:
    """Anchored preference optimisation, zero: the chosen reply up and the rejected one down.

    1 − σ(β · chosen ratio) + σ(β · rejected ratio), between 0 and 2 (D'Oosterlinck et al. 2024,
    arXiv 2408.06266).
    """
    chosen, rejected = torch.sigmoid(beta * pairs.ratios).unbind(1)
    return 1 - chosen + rejected


def simpo(pairs: PairLogProbs, beta: float, gamma: float) -> Tensor:
    """Simple preference optimisation: −log σ(β · average preference − γ); it needs no base.

    Meng, Xia & Chen 2024, arXiv 2405.14734, equation 6; β 2.0 to 2.5 there.
    """
    return -logsigmoid(beta * average_preference(pairs) - gamma)


def orpo(pairs: PairLogProbs, beta: float) -> Tensor:
    """Odds ratio preference optimisation: NLL of the chosen reply − β · log σ(log odds ratio).

    Hong et al. 2024, arXiv 2403.07691, section 4, its λ (0.1 to 1) being `beta`; it
    needs no base.
    """
    return nll(pairs) - beta * logsigmoid(log_odds_ratio(pairs))


def nll(pairs: PairLogProbs) -> Tensor:
    """Negative log-likelihood of the chosen reply, nats a token, [B].

    As a term beside DPO: Pang et al. 2024, arXiv 2404.19733, section 2 (weight 1 there).
    """
    return -pairs.averages[:, 0]


def kl(policy: Tensor, reference: Tensor) -> Tensor:
    """KL(base ‖ policy) in nats, one non-negative estimate a token, [N].

    Both arguments are log-probs [N] of the same tokens, which the base drew itself: eʳ − 1 − r
    with r = log π − log π_ref is then unbiased, and so is its gradient (Schulman 2020,
    "Approximating KL divergence", estimator k3).
    """
    ratio = policy - reference
    return torch.expm1(ratio) - ratio


class Objective(NamedTuple):
    """A loss, and the quantity [B] that is positive where the chosen reply is ahead."""

    loss: Callable[..., Tensor]
    ahead: Callable[[PairLogProbs], Tensor]
    refers: bool = True  # to the base; where not, `reference` is never read


OBJECTIVES = {
    "dpo": Objective(dpo, margin),
    "robust_dpo": Objective(robust_dpo, margin),
    "ipo": Objective(ipo, average_margin),
    "hinge": Objective(hinge, margin),
    "apo_zero": Objective(apo_zero, margin),
    "simpo": Objective(simpo, average_preference, refers=False),
    "orpo": Objective(orpo, log_odds_ratio, refers=False),
}
"""Loss by its name in the settings."""
