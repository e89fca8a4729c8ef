"""Two sentences about oneself, and the letter of the one that a model takes.

Language models favour a letter or a place (Zheng et al. 2024, arXiv 2309.03882), so that a pair
is asked in both orders, and a value is about the pair's *first* sentence whatever its letter was.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from scipy.special import logsumexp, softmax

from personalign.models.respondent import Respondent
from personalign.progress import Progress, silent
from personalign.psychometrics.inventory import PairInventory
from personalign.psychometrics.options import option_log_probs
from personalign.psychometrics.wording import CHOICES, ChoiceForm
from personalign.psychometrics.written import Answer, Question

__all__ = ["OPTIONS", "letters", "written"]

OPTIONS = ("A", "B")


def letters(
    who: Respondent,
    inventory: PairInventory,
    forms: Sequence[ChoiceForm] = CHOICES,
    progress: Progress = silent,
) -> Iterator[Answer]:
    """How probable the letter of the first sentence is against the other, for each pair and form.

    Rows `letters:<form>`, p(first) / (p(A) + p(B)) from 0 to 1, and `mass:<form>`, p(A) + p(B).
    `progress` counts questions.
    """
    asked = [(form, item) for form in forms for item in inventory.items]
    questions = [form.ask(item.first, item.second) for form, item in asked]
    found = option_log_probs(who, questions, OPTIONS, progress)
    for (form, item), log_probs in zip(asked, found, strict=True):
        yield Answer(item.id, f"letters:{form.name}", float(form.first(softmax(log_probs)[0])))
        yield Answer(item.id, f"mass:{form.name}", float(np.exp(logsumexp(log_probs))))


def written(
    inventory: PairInventory,
    forms: Sequence[ChoiceForm] = CHOICES,
    seeds: Sequence[int] = (0,),
) -> list[Question]:
    """Every pair under every form and seed, for `draw` or `remote`: metric `written:<form>:<seed>`.

    Values are 1 for the first sentence and 0 for the second; a reply that chooses neither is
    `refused` or `unparsed`.
    """
    return [
        Question(
            item.id,
            f"written:{form.name}:{seed}",
            form.ask(item.first, item.second),
            seed,
            partial(form.read, item.first, item.second),
        )
        for form in forms
        for seed in seeds
        for item in inventory.items
    ]
