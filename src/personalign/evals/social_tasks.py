"""Social reasoning as Inspect tasks: the likeliest of the answers, or the one that is written."""

from __future__ import annotations

from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.model import GenerateConfig
from inspect_ai.scorer import Score, Scorer, Target, grouped, mean, scorer, stderr
from inspect_ai.solver import TaskState, generate

from personalign.evals.social import (
    LETTERS,
    PROMPT,
    STARTER,
    SocialItem,
    parse_choice,
    read,
    task_name,
)
from personalign.evals.solvers import chosen, tree_choice

__all__ = ["social", "social_generate"]

ASK = """{context} {question}

{answers}

Which answer is best? Reply with its letter only."""
MAX_TOKENS = 24


@task
def social(source: str = STARTER) -> Task:
    """SocialIQA by log-prob: the likeliest of three answers, for models `personalign/...`.

    Args:
        source: `starter`, `hub`, a file or SocialIQA's folder; see `read`.
    """
    return Task(
        name=task_name(source),
        dataset=[_sample(item, PROMPT) for item in read(source)],
        solver=tree_choice(),
        scorer=correct(parse=False),
        metadata={"metrics": ["correct"]},
    )


@task
def social_generate(source: str = STARTER) -> Task:
    """SocialIQA in words: the model writes a letter; replies without one are `unparsed`.

    Args:
        source: `starter`, `hub`, a file or SocialIQA's folder; see `read`.
    """
    return Task(
        name=f"{task_name(source)}-generate",
        dataset=[_sample(item, ASK) for item in read(source)],
        solver=generate(),
        scorer=correct(parse=True),
        config=GenerateConfig(max_tokens=MAX_TOKENS, temperature=0.0),
        metadata={"metrics": ["correct"]},
    )


def _sample(item: SocialItem, ask: str) -> Sample:
    answers = "\n".join(f"{x}. {a}" for x, a in zip(LETTERS, item.answers, strict=False))
    text = ask.format(context=item.context, question=item.question, answers=answers)
    return Sample(
        id=item.id,
        input=text,
        choices=list(item.answers),
        target=LETTERS[item.label],
        metadata={"kind": item.kind},
    )


@scorer(metrics=[mean(), stderr(), grouped(mean(), "kind", all=False)])
def correct(parse: bool) -> Scorer:
    """1 for the best answer, 0 for another; unscored where a reply names none."""

    async def score(state: TaskState, target: Target) -> Score:
        answers = [choice.value for choice in state.choices]
        choice = parse_choice(state.output.completion, answers) if parse else chosen(state)
        if choice is None:
            return Score.unscored(reason="invalid_response_format", answer=state.output.completion)
        return Score(value=float(LETTERS[choice] == target.text), answer=LETTERS[choice])

    return score
