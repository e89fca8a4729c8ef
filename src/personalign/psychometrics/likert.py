"""Single sentences about oneself and the number that a model gives them.

`expected` reads the probabilities of the seven answers, which a model that seldom writes a bare
number has too; `written` asks for what it writes, as people do who ask a model. Values are
agreement, from 1 to the inventory's highest answer, whatever the order of the options: on a
reversed scale of seven 8 − value was shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.special import logsumexp, softmax

from personalign.errors import InputError
from personalign.models.respondent import Respondent
from personalign.progress import Progress, silent
from personalign.psychometrics.inventory import StatementInventory
from personalign.psychometrics.options import option_log_probs
from personalign.psychometrics.wording import RATINGS, RatingForm
from personalign.psychometrics.written import Answer, Question

__all__ = ["expected", "written"]


def expected(
    who: Respondent,
    inventory: StatementInventory,
    forms: Sequence[RatingForm] = RATINGS,
    progress: Progress = silent,
) -> Iterator[Answer]:
    """Mean agreement under the probabilities of the answers, for each item and form.

    Rows `expected:<form>`, Σ k·p(k) / Σ p(k), and `mass:<form>`, Σ p(k) from 0 to 1: how much the
    answers weigh among all that the model could write. `progress` counts questions.
    """
    asked = [(form, item) for form in _fitted(forms, inventory) for item in inventory.items]
    questions = [form.ask(item.text) for form, item in asked]
    answers = np.arange(1, inventory.highest + 1)
    found = option_log_probs(who, questions, [*map(str, answers)], progress)
    for (form, item), log_probs in zip(asked, found, strict=True):
        shown = softmax(log_probs) @ answers
        yield Answer(item.id, f"expected:{form.name}", float(form.agreement(shown)))
        yield Answer(item.id, f"mass:{form.name}", float(np.exp(logsumexp(log_probs))))


def written(
    inventory: StatementInventory,
    forms: Sequence[RatingForm] = RATINGS,
    seeds: Sequence[int] = (0,),
) -> list[Question]:
    """Every item under every form and seed, for `draw` or `remote`: metric `written:<form>:<seed>`.

    A reply that chooses nothing is `refused` or `unparsed`.
    """
    return [
        Question(item.id, f"written:{form.name}:{seed}", form.ask(item.text), seed, form.read)
        for form in _fitted(forms, inventory)
        for seed in seeds
        for item in inventory.items
    ]


def _fitted(forms: Sequence[RatingForm], inventory: StatementInventory) -> list[RatingForm]:
    """The forms with as many options as the inventory has answers."""
    rated = f"inventory {inventory.name!r} is rated {inventory.lowest} to {inventory.highest}"
    if inventory.lowest != 1 or inventory.highest not in (5, 7):
        raise InputError(rated, "1 to 5 and 1 to 7 can be asked")
    if inventory.highest != 7 and any(form.layout == "lapd" for form in forms):
        raise InputError(f"{rated}, and LAPD's form asks for 1 to 7", "leave that form out")
    return [RatingForm.model_validate({**dict(f), "points": inventory.highest}) for f in forms]
