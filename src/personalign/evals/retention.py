"""Ability kept: what training a persona cost elsewhere.

`perplexity` asks how surprising plain expository prose has become. `capability` runs one of
lm-eval's own multiple-choice tasks — its data, its wording, its scoring — with the local engine
computing the log-probs and Inspect keeping the log; it needs the extra `bench`. `CAPABILITIES`
names the small fixed set that a study reports: ARC-easy (Clark et al. 2018, arXiv 1803.05457),
HellaSwag (Zellers et al. 2019, arXiv 1905.07830), and one subject of each of MMLU's four groups
(Hendrycks et al. 2021, arXiv 2009.03300).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib import resources
from itertools import groupby
from pathlib import Path
from typing import Any

from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.scorer import Score, Scorer, Target, mean, perplexity_per_token, scorer, stderr
from inspect_ai.solver import TaskState

from personalign.errors import CorpusError, InputError
from personalign.evals.solvers import plain_score, scored
from personalign.evals.sources import own_name
from personalign.files import Row, read_text, rows

__all__ = ["CAPABILITIES", "capability", "paragraphs", "perplexity"]

STARTER = "starter-neutral"
CAPABILITIES = (
    "arc_easy",
    "hellaswag",
    "mmlu_elementary_mathematics",
    "mmlu_high_school_psychology",
    "mmlu_nutrition",
    "mmlu_world_religions",
)


def paragraphs(source: str = STARTER) -> list[tuple[str, str]]:
    """Id and text of each paragraph of the shipped set, a text file, or JSON Lines with `text`.

    Raises:
        CorpusError: where the file cannot be read or holds no text.
    """
    folder = Path(str(resources.files("personalign.evals"))) / "starter"
    path = folder / "neutral.jsonl" if source == STARTER else Path(source)
    if ".jsonl" in path.suffixes[-2:]:
        texts = [_text(row) for row in rows(path)]
    else:
        texts = re.split(r"\n\s*\n", read_text(path))
    found = [t.strip() for t in texts if t.strip()]
    if not found:
        raise CorpusError(f"{path}: no text in it", "name a text file")
    return [(f"{path.stem}-{n:04}", t) for n, t in enumerate(found, start=1)]


def _text(row: Row) -> str:
    text = row.cells.get("text")
    if not isinstance(text, str):
        raise row.error("no 'text'", "give each line an object with text")
    return text


@task
def perplexity(source: str = STARTER) -> Task:
    """Perplexity of plain prose; the metric of a row is its paragraph's nats per token.

    Args:
        source: `starter-neutral`, a text file (paragraphs between empty lines), or JSON Lines
            with `text`.
    """
    samples = [
        Sample(id=name, input=text, choices=[text], metadata={"context": ""})
        for name, text in paragraphs(source)
    ]
    return Task(
        name=source if source == STARTER else own_name(Path(source)),
        dataset=samples,
        solver=plain_score(),
        scorer=nats_per_token(),
        metadata={"metrics": ["nats_per_token"]},
    )


@scorer(metrics=[mean(), stderr(), perplexity_per_token()])
def nats_per_token() -> Scorer:
    """Mean surprise of a paragraph's tokens, in nats."""

    async def score(state: TaskState, target: Target) -> Score:
        (total,), (count,) = scored(state)
        return Score(value=-total / count, metadata={"sum_log_probs": total, "num_tokens": count})

    return score


@task
def capability(name: str = CAPABILITIES[0], limit: int | None = None) -> Task:
    """One of lm-eval's multiple-choice tasks, with its own data, wording and scoring.

    Args:
        name: A task's name in lm-eval, or the path of a task file (YAML).
        limit: First items only.
    """
    their = _their_task(name)
    groups = groupby(_requests(their, limit), key=lambda r: r.doc_id)
    samples = [_sample(their, number, list(requests)) for number, requests in groups]
    return Task(
        name=str(their.task_name),
        dataset=samples,
        solver=plain_score(),
        scorer=by_lm_eval(name),
        metadata={"metrics": sorted(their.higher_is_better())},
    )


@cache
def _their_task(name: str) -> Any:
    try:
        from lm_eval.tasks import TaskManager
    except ImportError as e:
        raise InputError("lm-eval is not installed", "pip install 'personalign[bench]'") from e
    try:
        (found,) = TaskManager().load(name)["tasks"].values()
    except (KeyError, ValueError) as e:
        raise InputError(
            f"{name!r} is no single task of lm-eval: {e}", "see lm-eval ls tasks"
        ) from e
    except Exception as e:  # data sets raise the hub's, requests' and OS errors
        reason = (str(e).strip() or type(e).__name__).splitlines()[0]
        raise CorpusError(
            f"data of lm-eval's task {name!r} cannot be had: {reason}",
            "get a network or a filled data set cache, or use `perplexity`, which needs neither",
        ) from e
    if found.OUTPUT_TYPE != "multiple_choice":
        raise InputError(f"{name!r} asks for {found.OUTPUT_TYPE}", "choose a multiple-choice task")
    return found


def _requests(their: Any, limit: int | None) -> Iterator[Any]:
    their.build_all_requests(limit=limit)
    return iter(their.instances)


def _sample(their: Any, number: int, requests: list[Any]) -> Sample:
    """One item: what is asked (the same for all choices), and the choices."""
    contexts = {r.args[0] for r in requests}
    if len(contexts) > 1:
        raise InputError(f"{their.task_name}: choices with contexts of their own", "choose another")
    (context,) = contexts
    return Sample(
        id=f"{their.task_name}-{number:05}",
        input=context,
        choices=[r.args[1] for r in requests],
        metadata={"context": context, "number": number},
    )


@scorer(metrics={"*": [mean(), stderr()]})
def by_lm_eval(name: str) -> Scorer:
    """lm-eval's metrics of an item (`acc`, and `acc_norm` where the task has it)."""
    their = _their_task(name)
    documents = their.eval_docs

    async def score(state: TaskState, target: Target) -> Score:
        sums, _ = scored(state)
        results = [(total, False) for total in sums]  # whether it is greedy: not asked here
        found = their.process_results(documents[state.metadata["number"]], results)
        return Score(value={metric: float(value) for metric, value in found.items()})

    return score
