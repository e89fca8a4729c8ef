"""The same written questions on any model that Inspect reaches, with Inspect's logs.

    inspect eval personalign/letter_choice --model openai/gpt-4o-mini

A row is read from the log alone, so that a log from another day or machine does as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import inspect_ai
from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.log import EvalLog, EvalSample
from inspect_ai.model import ChatMessage, ChatMessageSystem, ChatMessageUser, GenerateConfig, Model
from inspect_ai.scorer import Score as InspectScore
from inspect_ai.scorer import Scorer, Target, mean, scorer
from inspect_ai.solver import Generate, Solver, TaskState, solver

from personalign.errors import ModelError
from personalign.models.sampling import Sampling
from personalign.models.thoughts import without_thoughts
from personalign.personas import load
from personalign.psychometrics import letters, likert
from personalign.psychometrics.inventory import pair_inventory, statement_inventory
from personalign.psychometrics.wording import CHOICES, LAPD, RATINGS
from personalign.psychometrics.written import BRIEF, Answer, Question
from personalign.records import State

__all__ = ["ask", "letter_choice", "rated_statements", "rows", "written_task"]

REASONS: dict[State, str] = {
    "refused": "refusal",
    "unparsed": "invalid_response_format",
    "judge_error": "grader_failed",
}
"""Our states in Inspect's words for why a sample has no score."""

STATES: dict[str | None, State] = {reason: state for state, reason in REASONS.items()}


@task
def rated_statements(
    inventory: str = "mbti_statements", persona: str | None = None, seeds: int = 1
) -> Task:
    """Every statement under LAPD's form and ours. `persona` goes into the system prompt."""
    questions = likert.written(statement_inventory(inventory), (LAPD, *RATINGS), range(seeds))
    return written_task(questions, load(persona).system_prompt() if persona else None)


@task
def letter_choice(
    inventory: str = "mbti_pairs", persona: str | None = None, seeds: int = 1
) -> Task:
    """Every pair under every form: choose A or B. `persona` goes into the system prompt."""
    questions = letters.written(pair_inventory(inventory), CHOICES, range(seeds))
    return written_task(questions, load(persona).system_prompt() if persona else None)


def written_task(
    questions: Sequence[Question], system: str | None, sampling: Sampling = BRIEF
) -> Task:
    """An Inspect task of one stateless call for each question, read by the question's own reader.

    The seed goes along to providers that know seeds.
    """
    return Task(
        dataset=[_sample(q, system) for q in questions],
        solver=seeded(),
        scorer=reading(questions),
        config=GenerateConfig(
            max_tokens=sampling.max_new_tokens,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
        ),
    )


def ask(
    questions: Sequence[Question],
    model: str | Model,
    system: str | None,
    log_dir: Path,
    sampling: Sampling = BRIEF,
) -> Iterator[Answer]:
    """Put questions to a model by Inspect's name for it; rows in their order, as `draw` gives them.

    A call that fails for good is a row of state `error`; the others go on.

    Raises:
        ModelError: where Inspect could not run the task at all.
    """
    (log,) = inspect_ai.eval(
        written_task(questions, system, sampling),
        model=model,
        log_dir=str(log_dir),
        log_realtime=False,
        display="none",
        fail_on_error=False,
    )
    found = {answer[:2]: answer for answer in rows([log])}
    yield from (found[q.sample, q.metric] for q in questions)


def rows(logs: Iterable[EvalLog]) -> Iterator[Answer]:
    """Rows of the samples in logs of `written_task`, in the logs' order.

    Raises:
        ModelError: where a log holds no samples, with the reason that it gives.
    """
    for log in logs:
        if not log.samples:
            why = log.error.message if log.error else f"status {log.status!r}"
            raise ModelError(f"nothing in log {log.location}: {why}", "run the task again")
        yield from map(_row, log.samples)


def _sample(question: Question, system: str | None) -> Sample:
    before: list[ChatMessage] = [ChatMessageSystem(content=system)] if system else []
    return Sample(
        id=_id(question),
        input=[*before, ChatMessageUser(content=question.text)],
        metadata={"sample": question.sample, "metric": question.metric, "seed": question.seed},
    )


def _id(question: Question) -> str:
    return f"{question.sample} {question.metric}"


@solver
def seeded() -> Solver:
    """One call, with the sample's own seed."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        return await generate(state, seed=state.metadata["seed"])

    return solve


@scorer(metrics=[mean()])
def reading(questions: Sequence[Question]) -> Scorer:
    """Reads each reply as its question says; what gives no value is unscored, with the reason."""
    readers = {_id(q): q.read for q in questions}

    async def score(state: TaskState, target: Target) -> InspectScore:
        text = without_thoughts(state.output.completion)
        value, why = readers[str(state.sample_id)](text)
        if value is None:
            return InspectScore.unscored(reason=REASONS[why], answer=text)
        return InspectScore(value=value, answer=text)

    return score


def _row(sample: EvalSample) -> Answer:
    named = str(sample.metadata["sample"]), str(sample.metadata["metric"])
    score = (sample.scores or {}).get("reading")
    if sample.error or score is None:
        return Answer(*named, None, "error")
    if score.reason in STATES:
        return Answer(*named, None, STATES[score.reason])
    return Answer(*named, score.as_float())
