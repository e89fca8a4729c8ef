"""Single sentences about oneself and the number that a model gives them.

`expected` reads the probabilities of the seven answers, which a model that seldom writes a bare
number has too; `written` asks for what it writes, as people do who ask a model. Values are
agreement from 1 to 7 whatever the order of the options: on a reversed scale 8 − value was shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from scipy.special import logsumexp, softmax

from personalign.models.local import LocalModel
from personalign.psychometrics.answers import Answer
from personalign.psychometrics.drawn import Question
from personalign.psychometrics.items import StatementInventory
from personalign.psychometrics.options import option_log_probs
from personalign.psychometrics.wording import LAPD, RATINGS, RatingForm

__all__ = ["OPTIONS", "expected", "written"]

OPTIONS = tuple("1234567")


def expected(
    local: LocalModel,
    inventory: StatementInventory,
    system: str | None,
    adapter: str | None,
    forms: Sequence[RatingForm] = RATINGS,
    progress: Callable[[int], None] = lambda done: None,
) -> Iterator[Answer]:
    """Mean agreement under the probabilities of the seven answers, for each item and form.

    Rows `expected:<form>`, Σ k·p(k) / Σ p(k) from 1 to 7, and `mass:<form>`, Σ p(k) from 0 to 1:
    how much the seven answers weigh among all that the model could write. `progress` counts
    questions.
    """
    asked = [(form, item) for form in forms for item in inventory.items]
    questions = [form.ask(item.text) for form, item in asked]
    found = option_log_probs(local, questions, OPTIONS, system, adapter, progress)
    for (form, item), log_probs in zip(asked, found, strict=True):
        shown = softmax(log_probs) @ np.arange(1, 8)
        yield Answer(item.id, f"expected:{form.name}", float(form.agreement(shown)))
        yield Answer(item.id, f"mass:{form.name}", float(np.exp(logsumexp(log_probs))))


def written(
    inventory: StatementInventory,
    forms: Sequence[RatingForm] = (LAPD, *RATINGS),
    seeds: Sequence[int] = (0,),
) -> list[Question]:
    """Every item under every form and seed, for `draw` or `remote`: metric `written:<form>:<seed>`.

    Values are 1 to 7; a reply that chooses nothing is `refused` or `unparsed`.
    """
    return [
        Question(item.id, f"written:{form.name}:{seed}", form.ask(item.text), seed, form.read)
        for form in forms
        for seed in seeds
        for item in inventory.items
    ]
