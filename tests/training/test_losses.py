"""Every loss: TRL's value and gradient where TRL has it, the paper's formula otherwise."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from personalign.training import losses
from personalign.training.losses import PairLogProbs

LENGTHS = torch.tensor([[3, 5], [4, 2], [6, 6], [1, 4]])
BETA, SMOOTHING, GAMMA = 0.3, 0.1, 0.8


@pytest.fixture
def tokens() -> Tensor:
    """Per-token log-probs [2B, T], chosen replies first, nothing masked yet."""
    drawn = torch.randn(8, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return (-drawn.abs()).requires_grad_()


def masks() -> Tensor:
    """Which tokens belong to a reply, [2B, T]."""
    return (torch.arange(6) < LENGTHS.T.reshape(-1, 1)).long()


def pairs(tokens: Tensor) -> PairLogProbs:
    sums = (tokens * masks()).sum(1).view(2, 4).T
    return PairLogProbs(sums, reference(), LENGTHS)


def reference() -> Tensor:
    drawn = torch.randn(4, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    return -3 * drawn.abs()


def with_gradient(loss: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    (gradient,) = torch.autograd.grad(loss, tokens)
    return loss.detach(), gradient


class Everyone:
    """Stands for accelerate's gathering on one process."""

    device = torch.device("cpu")

    def gather(self, x: Tensor) -> Tensor:
        return x

    gather_for_metrics = gather


def trl_dpo(kind: str, tokens: Tensor, only: tuple[int, ...] = (0, 1, 2, 3)) -> Tensor:
    """The loss that TRL's DPOTrainer makes of these per-token log-probs, of some pairs only."""
    trl = pytest.importorskip("trl")
    rows = [*only, *(i + 4 for i in only)]
    mask = masks()[rows]
    whole = torch.nn.functional.pad(mask, (1, 0))  # one prompt token
    seen = torch.zeros_like(mask).double()
    outputs = SimpleNamespace(
        log_probs=tokens[rows] * mask, entropy=seen, mean_logits=seen, is_top1=seen.bool()
    )

    def model(**given: Any) -> Any:
        return outputs

    trainer = SimpleNamespace(
        model=SimpleNamespace(training=True),
        accelerator=Everyone(),
        args=SimpleNamespace(),
        aux_loss_enabled=False,
        use_weighting=False,
        precompute_ref_logps=True,
        ld_alpha=None,
        f_divergence_type="reverse_kl",
        loss_types=[kind],
        loss_weights=[1.0],
        beta=BETA,
        label_smoothing=SMOOTHING,
        _metrics=defaultdict(lambda: defaultdict(list)),
        _total_train_tokens=0,
        _tp_size=1,
    )
    inputs = {
        "input_ids": torch.zeros_like(whole),
        "attention_mask": torch.ones_like(whole),
        "completion_mask": whole,
        "ref_chosen_logps": reference()[list(only), 0],
        "ref_rejected_logps": reference()[list(only), 1],
    }
    loss: Tensor = trl.DPOTrainer._compute_loss(trainer, model, inputs, return_outputs=False)
    return loss


def trl_simpo(tokens: Tensor) -> Tensor:
    cpo = pytest.importorskip("trl.experimental.cpo")
    trainer = SimpleNamespace(
        alpha=0.0,
        accelerator=Everyone(),
        loss_type="simpo",
        simpo_gamma=GAMMA,
        beta=BETA,
        label_smoothing=0.0,
    )
    averages = pairs(tokens).averages
    loss: Tensor = cpo.CPOTrainer.cpo_loss(trainer, averages[:, 0], averages[:, 1])[0]
    return loss.mean()


def trl_odds_ratio(tokens: Tensor) -> Tensor:
    """TRL's odds ratio term; it computes in float32."""
    orpo = pytest.importorskip("trl.experimental.orpo")
    trainer = SimpleNamespace(beta=BETA, accelerator=Everyone())
    averages = pairs(tokens).averages
    loss: Tensor = orpo.ORPOTrainer.odds_ratio_loss(trainer, averages[:, 0], averages[:, 1])[0]
    return -loss.double().mean()


PEERS: dict[str, tuple[Callable[[PairLogProbs], Tensor], Callable[[Tensor], Tensor]]] = {
    "dpo": (lambda p: losses.dpo(p, BETA), lambda t: trl_dpo("sigmoid", t)),
    "robust_dpo": (
        lambda p: losses.robust_dpo(p, BETA, SMOOTHING),
        lambda t: trl_dpo("robust", t),
    ),
    "ipo": (lambda p: losses.ipo(p, BETA), lambda t: trl_dpo("ipo", t)),
    "hinge": (lambda p: losses.hinge(p, BETA), lambda t: trl_dpo("hinge", t)),
    "apo_zero": (lambda p: losses.apo_zero(p, BETA), lambda t: trl_dpo("apo_zero", t)),
    "simpo": (lambda p: losses.simpo(p, BETA, GAMMA), trl_simpo),
    "odds_ratio": (lambda p: losses.orpo(p, BETA) - losses.nll(p), trl_odds_ratio),
}


@pytest.mark.parametrize("name", PEERS)
def test_value_and_gradient_are_those_of_trl(name: str, tokens: Tensor) -> None:
    ours, theirs = PEERS[name]
    per_pair = ours(pairs(tokens))
    assert per_pair.shape == (4,)
    value, gradient = with_gradient(per_pair.mean(), tokens)
    expected, slope = with_gradient(theirs(tokens), tokens)
    close = {"rtol": 1e-5, "atol": 1e-7} if name == "odds_ratio" else {"rtol": 1e-10, "atol": 1e-12}
    torch.testing.assert_close(value, expected, **close)
    torch.testing.assert_close(gradient, slope, **close)
    assert gradient.abs().sum() > 0


def test_nll_is_that_of_trl_where_every_reply_is_alone(tokens: Tensor) -> None:
    """TRL's "sft" takes one mean over a batch's tokens: the same for batches of one pair."""
    value, gradient = with_gradient(losses.nll(pairs(tokens)).mean(), tokens)
    theirs = torch.stack([trl_dpo("sft", tokens, (i,)) for i in range(4)]).mean()
    expected, slope = with_gradient(theirs, tokens)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(gradient, slope)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def by_hand(name: str, c: float, r: float, rc: float, rr: float, lc: int, lr: int) -> float:
    """The papers' formulas, one pair in plain numbers."""
    h = (c - rc) - (r - rr)
    odds = [math.exp(a) / (1 - math.exp(a)) for a in (c / lc, r / lr)]
    values = {
        "dpo": -math.log(sigmoid(BETA * h)),
        "robust_dpo": (
            -(1 - SMOOTHING) * math.log(sigmoid(BETA * h))
            + SMOOTHING * math.log(sigmoid(-BETA * h))
        )
        / (1 - 2 * SMOOTHING),
        "ipo": ((c - rc) / lc - (r - rr) / lr - 1 / (2 * BETA)) ** 2,
        "hinge": max(0.0, 1 - BETA * h),
        "apo_zero": 1 - sigmoid(BETA * (c - rc)) + sigmoid(BETA * (r - rr)),
        "simpo": -math.log(sigmoid(BETA * c / lc - BETA * r / lr - GAMMA)),
        "orpo": -c / lc - BETA * math.log(sigmoid(math.log(odds[0] / odds[1]))),
    }
    return values[name]


@pytest.mark.parametrize("name", losses.OBJECTIVES)
def test_value_is_the_papers(name: str, tokens: Tensor) -> None:
    given = pairs(tokens.detach())
    more: dict[str, dict[str, float]] = {
        "robust_dpo": {"label_smoothing": SMOOTHING},
        "simpo": {"gamma": GAMMA},
    }
    found = losses.OBJECTIVES[name].loss(given, beta=BETA, **more.get(name, {}))
    rows = zip(given.policy.tolist(), given.reference.tolist(), LENGTHS.tolist(), strict=True)
    expected = [by_hand(name, *p, *ref, *n) for p, ref, n in rows]
    assert found.tolist() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", losses.OBJECTIVES)
def test_making_the_chosen_reply_likelier_lowers_the_loss(name: str) -> None:
    policy = torch.tensor([[-6.0, -5.0]], requires_grad=True)
    given = PairLogProbs(policy, torch.tensor([[-6.0, -5.0]]), torch.tensor([[4, 4]]))
    more: dict[str, Any] = {"robust_dpo": {"label_smoothing": 0.1}, "simpo": {"gamma": 0.5}}
    loss = losses.OBJECTIVES[name].loss(given, beta=0.5, **more.get(name, {}))
    (slope,) = torch.autograd.grad(loss.sum(), policy)
    assert slope[0, 0] < 0 < slope[0, 1]


def test_orpo_is_finite_for_replies_that_are_certain_or_hopeless() -> None:
    policy = torch.tensor([[0.0, -1e-9], [-1e-30, -400.0], [-1e4, -1e4]], requires_grad=True)
    given = PairLogProbs(policy, torch.zeros(3, 2), torch.ones(3, 2))
    loss = losses.orpo(given, 0.1)
    (slope,) = torch.autograd.grad(loss[1:].sum(), policy)
    assert loss.isfinite().all()
    assert not slope.isnan().any()


def test_kl_estimates_the_divergence_and_its_gradient() -> None:
    """Weighted by the base's own probabilities, the estimate is the exact divergence."""
    logits = torch.tensor([0.3, -1.0, 2.0, 0.5], dtype=torch.float64, requires_grad=True)
    base = torch.tensor([1.0, 0.2, 0.4, -0.3], dtype=torch.float64).log_softmax(0)
    policy = logits.log_softmax(0)
    estimates = losses.kl(policy, base)
    assert (estimates >= 0).all()
    value, slope = with_gradient((base.exp() * estimates).sum(), logits)
    exact, expected = with_gradient((base.exp() * (base - logits.log_softmax(0))).sum(), logits)
    torch.testing.assert_close(value, exact)
    torch.testing.assert_close(slope, expected)
    assert losses.kl(base, base).abs().max() == 0
