"""What a reader would see of a model under training, beside its base, and what is wrong with it.

A persona that finds the right reply likelier can still have lost its speech. So the model is let
talk, greedily and drawn, and is held against what its base says to the same prompts. Each number
is a pure function of text or of log-probs; each check one of the numbers logged so far, so that
it can be tested without a model.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from torch import Tensor

from personalign.judges.coherence import repetition
from personalign.models.local import Generation, LocalModel
from personalign.models.sampling import Sampling
from personalign.models.trees import Tree
from personalign.progress import Progress, silent
from personalign.records import Message, Record
from personalign.training.config import Health, TrainingConfig
from personalign.training.devices import splits_weights
from personalign.training.problem import Adjustment
from personalign.training.replies import base_replies, read_prompts

__all__ = ["CHECKS", "Check", "Ear", "Speech", "distinct_pairs", "ear"]

PROMPTS = Path(__file__).parent / "prompts" / "health.jsonl"
OPENING = 25  # words of each reply that `distinct_pairs` looks at, whatever its length
INNER = 4  # sentences of a reply after which an end of turn is looked for
INSIDE = re.compile(r"(?<=[.!?])\s+(?=\S)")
ENOUGH = 0.6  # reward accuracy that is told from a coin's


def distinct_pairs(texts: Sequence[str]) -> float:
    """Word pairs of all texts that differ from each other, as a share of all, 0 to 1: low where
    every prompt is answered alike (Li et al. 2016, arXiv 1510.03055, "distinct-2").

    Only how texts begin is read: the share falls with the number of words.
    """
    openings = [text.lower().split()[:OPENING] for text in texts]
    pairs = Counter(pair for words in openings for pair in pairwise(words))
    return len(pairs) / pairs.total() if pairs else 0.0


class Kept(Record):
    """What a model makes of what its base says.

    Attributes:
        end_inside: Mean probability of ending the turn after an inner sentence of what the base
            says greedily to our own prompts.
        end_at_end: The same where the base ended.
        base_loss: The same text's negative log-likelihood, in nats a token.
    """

    end_inside: float
    end_at_end: float
    base_loss: float

    def away(self, base: Kept) -> dict[str, float]:
        """How it differs from the base's, by the names under which it is logged: ends of turn in
        log-odds, the loss in nats a token."""
        return {
            "speech/end_inside": _log_odds(self.end_inside) - _log_odds(base.end_inside),
            "speech/end_at_end": _log_odds(self.end_at_end) - _log_odds(base.end_at_end),
            "speech/base_loss": self.base_loss - base.base_loss,
        }


class Speech(Kept):
    """How a model speaks, and what it makes of what its base says.

    Attributes:
        tokens: Mean length of its greedy replies.
        repetition: Mean share of repeated word triples in them.
        drawn_repetition: The same in replies drawn at temperature 1.
        distinct: Share of different word pairs among the openings of its greedy replies.
        ended: Share of all replies that ended by themselves.
    """

    tokens: float
    repetition: float
    drawn_repetition: float
    distinct: float
    ended: float

    def beside(self, base: Speech) -> dict[str, float]:
        """How it differs from the base's, by the names under which it is logged.

        Length and distinct pairs are ratios, the others differences; see `Kept.away`.
        """
        return {
            "speech/length": self.tokens / max(base.tokens, 1),
            "speech/repetition": self.repetition - base.repetition,
            "speech/drawn_repetition": self.drawn_repetition - base.drawn_repetition,
            "speech/distinct": self.distinct / max(base.distinct, 1e-6),
            "speech/ended": self.ended - base.ended,
        } | self.away(base)


def _log_odds(p: float) -> float:
    p = min(max(p, 1e-5), 1 - 1e-5)
    return math.log(p / (1 - p))


@dataclass(frozen=True, slots=True)
class Said:
    """What the base says greedily: its reply, then every inner part of it as if it ended there."""

    tree: Tree
    ended: bool

    def ends(self, scored: Sequence[Tensor]) -> tuple[list[float], list[float]]:
        """Probabilities of an end of turn inside and at the end."""
        inside = [float(branch[-1].exp()) for branch in scored[1:]]
        return inside, [float(scored[0][-1].exp())] if self.ended else []


@dataclass(frozen=True, slots=True)
class Ear:
    """Lets a model talk, always to the same prompts and with the same seeds."""

    prompts: tuple[tuple[Message, ...], ...]
    seeds: tuple[int, ...]
    sampling: tuple[Sampling, Sampling]
    said: tuple[Said, ...]
    base: Speech

    def hear(self, model: LocalModel, adapter: str | None = None) -> Speech:
        """How a model speaks, through one of its adapters or as it is."""
        through, batch = [adapter] * len(self.prompts), len(self.prompts)
        greedy, drawn = (
            model.generate(self.prompts, through, sampling, self.seeds, batch)
            for sampling in self.sampling
        )
        return _speech(greedy, drawn, self.said, model.score([s.tree for s in self.said], adapter))

    def kept(self, model: LocalModel) -> dict[str, float]:
        """What a model under training makes of what its base says, beside the base itself."""
        scored = model.score([s.tree for s in self.said])
        return Kept(**_kept(self.said, scored)).away(self.base)


def ear(
    local: LocalModel,
    held_out: Sequence[Sequence[Message]],
    health: Health,
    seed: int = 0,
    progress: Progress = silent,
) -> Ear | None:
    """What listens to a model under training; None where nothing is asked, or where the weights
    are shared out among processes: replies are drawn layer by layer, past the wrapper that brings
    them together.

    Args:
        local: The base without adapters. What it says is drawn once and kept.
        held_out: Prompts of the persona's kind that do not train it; with ours, in turn, they
            make `health.samples` prompts.
        progress: Called with the number of the base's replies that are ready, two a prompt.
    """
    ours = read_prompts(PROMPTS)
    both = [*zip(held_out, ours, strict=False)]
    mixed = [tuple(p) for pair in both for p in pair] + ours[len(both) :]
    prompts = mixed[: health.samples]
    if not prompts or splits_weights():
        return None
    seeds = tuple(seed + k for k in range(len(prompts)))
    limit = health.sample_tokens
    ways = (Sampling(max_new_tokens=limit), Sampling(max_new_tokens=limit, temperature=1.0))
    greedy, drawn = (base_replies(local, prompts, way, seeds, progress) for way in ways)
    known = {tuple(p) for p in held_out}
    said = tuple(
        _said(local, p, r)
        for p, r in zip(prompts, greedy, strict=True)
        if p not in known  # on the persona's own ground it is to say something else
    )
    base = _speech(greedy, drawn, said, local.score([s.tree for s in said]))
    return Ear(tuple(prompts), seeds, ways, said, base)


def _said(local: LocalModel, prompt: Sequence[Message], reply: Generation) -> Said:
    inner = [reply.text[: m.start()] for m in INSIDE.finditer(reply.text)][:INNER]
    stops = set(local.stops())
    branches = local.chat.reply_tree(prompt, inner).branches if inner else ()
    cut = [b[: next(i for i, t in enumerate(b) if t in stops) + 1] for b in branches]
    return Said(Tree(local.chat.prompt(prompt), (reply.ids, *cut)), reply.ended == "stop")


def _speech(
    greedy: Sequence[Generation],
    drawn: Sequence[Generation],
    said: Sequence[Said],
    scored: Sequence[Sequence[Tensor]],
) -> Speech:
    return Speech(
        tokens=_mean([r.tokens for r in greedy]),
        repetition=_mean([repetition(r.text) for r in greedy]),
        drawn_repetition=_mean([repetition(r.text) for r in drawn]),
        distinct=distinct_pairs([r.text for r in greedy]),
        ended=_mean([r.ended == "stop" for r in (*greedy, *drawn)]),
        **_kept(said, scored),
    )


def _kept(said: Sequence[Said], scored: Sequence[Sequence[Tensor]]) -> dict[str, float]:
    ends = [s.ends(branches) for s, branches in zip(said, scored, strict=True)]
    whole = [branches[0] for branches in scored]
    return {
        "end_inside": _mean([p for inside, _ in ends for p in inside]),
        "end_at_end": _mean([p for _, last in ends for p in last]),
        "base_loss": -sum(float(w.sum()) for w in whole) / max(sum(w.numel() for w in whole), 1),
    }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


Log = Mapping[str, float]
Look = Callable[[Sequence[Log], int, Health], tuple[float, float] | None]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that can go wrong.

    `look` gives the value and its limit where it has gone wrong, None where it has not; its
    arguments are the logs of all steps so far, the number of all steps, and the settings.
    """

    name: str
    meaning: str
    remedy: str
    look: Look
    adjust: Callable[[TrainingConfig], Adjustment]


def _recent(logs: Sequence[Log], name: str, count: int) -> float | None:
    values = [log[name] for log in logs if name in log and math.isfinite(log[name])][-count:]
    return sum(values) / len(values) if values else None


def _collapse(logs: Sequence[Log], steps: int, health: Health) -> tuple[float, float] | None:
    shift = _recent(logs, "logps/chosen_shift", health.patience)
    return (shift, -health.max_drop) if shift is not None and shift < -health.max_drop else None


def _stuck(logs: Sequence[Log], steps: int, health: Health) -> tuple[float, float] | None:
    late = len(logs) > health.patience and len(logs) >= steps / 3
    accuracy = _recent(logs, "rewards/accuracies", health.patience)
    return (accuracy, ENOUGH) if late and accuracy is not None and accuracy < ENOUGH else None


def _unsteady(logs: Sequence[Log], steps: int, health: Health) -> tuple[float, float] | None:
    lost = logs[-1].get("skipped", 0)
    return (lost, 0) if lost else None


def _beyond(sign: int, limit: Callable[[Health], float], *names: str) -> Look:
    """Is one of these above its limit (sign 1) or below it (-1) in what was logged last?"""

    def look(logs: Sequence[Log], steps: int, health: Health) -> tuple[float, float] | None:
        values = [sign * logs[-1][n] for n in (f"speech/{n}" for n in names) if n in logs[-1]]
        worst, bound = max(values, default=-math.inf), sign * limit(health)
        return (sign * worst, sign * bound) if worst > bound else None

    return look


def _slower(settings: TrainingConfig) -> Adjustment:
    return {"learning_rate": 0.5}


def _more_nll(settings: TrainingConfig) -> Adjustment:
    return {"nll": max(0.1, settings.nll, min(1.0, 2 * settings.nll))}


HOLD = "add nll (1 to 2) and kl (1), raise beta, or lower learning_rate"

CHECKS = (
    Check(
        "chosen log-prob collapse",
        "the chosen replies have become less likely than under the base: the loss is met by "
        "pushing the rejected ones down further, and text degrades",
        "add an nll term (0.1 to 1), raise beta, or lower learning_rate",
        _collapse,
        _more_nll,
    ),
    Check(
        "reward accuracy stuck",
        "the policy tells chosen from rejected hardly better than a coin",
        "raise learning_rate or epochs; if that does not help, look at the pairs: do the two "
        "replies differ in the persona (personalign corpus check)?",
        _stuck,
        lambda s: {"learning_rate": 2.0},
    ),
    Check(
        "numbers not finite",
        "loss or gradient overflowed; the step was left out and the weights are as before",
        "lower learning_rate, or train in float32 or bfloat16 instead of float16",
        _unsteady,
        _slower,
    ),
    Check(
        "replies repeat themselves",
        "replies say the same words again more often than the base's do, as those of over-trained "
        "models do",
        HOLD,
        _beyond(1, lambda h: h.max_repetition, "repetition", "drawn_repetition"),
        _slower,
    ),
    Check(
        "replies alike",
        "the model answers different prompts in the same words",
        HOLD,
        _beyond(-1, lambda h: h.min_distinct, "distinct"),
        _slower,
    ),
    Check(
        "replies cut short",
        "replies have become a fraction as long as the base's",
        HOLD,
        _beyond(-1, lambda h: h.min_length, "length"),
        _more_nll,
    ),
    Check(
        "replies do not end",
        "fewer replies than the base's end by themselves",
        HOLD,
        _beyond(-1, lambda h: -h.max_unended, "ended"),
        _more_nll,
    ),
    Check(
        "end of turn likelier",
        "in log-odds, the turn ends too readily after the first sentences: both replies of a pair "
        "end alike, so that the margin does not hold the end of turn",
        HOLD,
        _beyond(1, lambda h: h.max_end_shift, "end_inside"),
        _more_nll,
    ),
    Check(
        "end of turn lost",
        "in log-odds, the turn ends too seldom inside a reply or at its end: both replies of a "
        "pair end alike, so that the margin does not hold the end of turn",
        HOLD,
        _beyond(-1, lambda h: -h.max_end_shift, "end_inside", "end_at_end"),
        _more_nll,
    ),
    Check(
        "distance from the base",
        "in nats a token, what the base would say has become unlikely: skills, facts and refusals "
        "may be lost",
        HOLD,
        _beyond(1, lambda h: h.max_base_loss, "base_loss"),
        _slower,
    ),
)
