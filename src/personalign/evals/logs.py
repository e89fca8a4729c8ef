"""From Inspect's logs to `ScoreRow`s and transcripts: every sample and metric, whatever came of it.

A scorer gives a `Score` whose value is a number, or a mapping from metric to number. What could
not be measured is NaN there, and the score's `reason`, in Inspect's own words, says why:

    refusal -> refused            invalid_response_format, no_response -> unparsed
    grader_failed -> judge_error  scoring_failed -> error
    incoherent -> incoherent (ours: the reply says nothing; see `judges.coherence`)

A sample that raised, or that an interrupted evaluation never reached, is in state `error` in
every metric that the task names in its metadata under `metrics`. A sample's metadata may name
its `cluster`. A failure of the moment, the sample's or its judge's, is asked again by the next call
of `run.logged`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from inspect_ai.log import EvalLog, EvalSample, EvalSampleSummary
from inspect_ai.scorer import Score, value_to_float

from personalign.models.provider import base_of, condition_of
from personalign.models.thoughts import without_thoughts
from personalign.records import Condition, Message, ScoreRow, State, Transcript

__all__ = ["STATES", "errors", "rows", "transcripts", "unjudged"]

STATES: dict[str, State] = {
    "refusal": "refused",
    "invalid_response_format": "unparsed",
    "no_response": "unparsed",
    "incoherent": "incoherent",
    "grader_failed": "judge_error",
    "scoring_failed": "error",
}
"""Inspect's reason for a missing score → our state."""

_number = value_to_float()


def rows(log: EvalLog, run: str) -> list[ScoreRow]:
    """All measurements of one log, in the order of samples, epochs and metrics.

    Args:
        log: A log with its samples.
        run: The run's name, for the table.
    """
    samples = {(str(s.id), s.epoch): s for s in log.samples or []}
    metrics = _metrics(log, samples.values())
    persona, condition = _arm(log)
    return [
        ScoreRow(
            run=run,
            base_model=base_of(log.eval.model),
            persona=persona,
            condition=condition,
            task=log.eval.task,
            sample=name,
            cluster=_cluster(sample, name),
            epoch=number - 1,
            metric=metric,
            value=value,
            state=state,
        )
        for (name, number), sample in _planned(log, samples).items()
        for metric, (value, state) in _measured(sample, metrics).items()
    ]


def transcripts(log: EvalLog) -> list[Transcript]:
    """What was asked and said in the first epoch, with the words of those who judged it.

    Text that was only scored as it stands has no reply, and is left out.
    """
    persona, condition = _arm(log)
    return [
        Transcript(
            persona=persona,
            condition=condition,
            task=log.eval.task,
            sample=str(s.id),
            prompt=_prompt(s),
            reply=without_thoughts(s.output.completion),
            tokens=s.output.usage.output_tokens if s.output.usage else 0,
            seed=_seed(log, s),
            cut=_cut(s),
            judged="\n".join(x.explanation for _, x in _scores(s) if x.explanation),
        )
        for s in log.samples or []
        if s.epoch == 1 and s.error is None and _replied(s)
    ]


def _arm(log: EvalLog) -> tuple[str, Condition]:
    """Persona and condition, from the model's arguments as somebody gave them.

    Raises:
        InputError: for a condition that is unknown.
    """
    given = log.eval.model_args
    persona = given.get("persona") or ""
    named = given.get("condition")
    return persona, Condition(named) if named else condition_of(persona, given.get("adapter"))


def _cut(sample: EvalSample) -> bool | None:
    """Whether the reply stopped at its limit; a provider may give none at all."""
    choices = sample.output.choices
    return choices[0].stop_reason in ("max_tokens", "model_length") if choices else None


def _replied(sample: EvalSample) -> bool:
    found = sample.output.metadata or {}
    return "log_probs" not in found or "choice" in found


def _seed(log: EvalLog, sample: EvalSample) -> int:
    """The one that the reply was drawn with where the model says so, else the evaluation's."""
    own = (sample.output.metadata or {}).get("seed")
    return int(own if own is not None else log.plan.config.seed or 0)


def _prompt(sample: EvalSample) -> tuple[Message, ...]:
    """The dialogue as the task holds it, without the arm's system prompt."""
    if isinstance(sample.input, str):
        return (Message(role="user", content=sample.input),)
    return tuple(
        Message(role=m.role, content=m.text)
        for m in sample.input
        if m.role in ("system", "user", "assistant")
    )


def errors(log: EvalLog) -> dict[str, str]:
    """Samples that raised or whose judge gave no answer, with the first line of the error."""
    said = {
        f"{s.id} (epoch {s.epoch})": s.error.message if s.error else unjudged(s)
        for s in log.samples or []
    }
    return {
        name: (message.strip() or "no message").splitlines()[0]
        for name, message in said.items()
        if message is not None
    }


def unjudged(sample: EvalSample | EvalSampleSummary) -> str | None:
    """What went wrong where a sample's judge gave no answer; None where it gave one."""
    for _, score in _scores(sample):
        if STATES.get(score.reason or "") == "judge_error":
            return score.explanation or ""
    return None


def _planned(
    log: EvalLog, samples: Mapping[tuple[str, int], EvalSample]
) -> dict[tuple[str, int], EvalSample | None]:
    """What the log holds, and `None` for what it should hold and does not."""
    ids = [str(i) for i in log.eval.dataset.sample_ids or []]
    epochs = range(1, (log.eval.config.epochs or 1) + 1)
    planned = [(name, number) for name in ids for number in epochs]
    return {key: samples.get(key) for key in [*planned, *samples]}


def _metrics(log: EvalLog, samples: Any) -> list[str]:
    named = (log.eval.metadata or {}).get("metrics")
    seen = [m for s in samples for name, score in _scores(s) for m in _values(name, score)]
    return list(dict.fromkeys([*(named or ()), *seen]))


def _cluster(sample: EvalSample | None, name: str) -> str:
    return str(sample.metadata.get("cluster", name)) if sample else name


def _scores(sample: EvalSample | EvalSampleSummary) -> Iterator[tuple[str, Score]]:
    return iter((sample.scores or {}).items())


def _values(name: str, score: Score) -> dict[str, Any]:
    """Metric → raw value; a score that is NaN as a whole names no metric."""
    if isinstance(score.value, Mapping):
        return dict(score.value)
    missing = isinstance(score.value, float) and math.isnan(score.value)
    return {} if missing and score.reason else {name: score.value}


def _measured(
    sample: EvalSample | None, metrics: list[str]
) -> dict[str, tuple[float | None, State]]:
    """Metric → value and state, for all metrics of the task."""
    if sample is None or sample.error is not None or not sample.scores:
        return dict.fromkeys(metrics, (None, "error"))
    scores = list(_scores(sample))
    reasons = [STATES.get(score.reason, "error") for _, score in scores if score.reason]
    missing: tuple[float | None, State] = (None, reasons[0] if reasons else "error")
    found = dict.fromkeys(metrics, missing)
    for name, score in scores:
        state: State = STATES.get(score.reason or "", "error")
        for metric, raw in _values(name, score).items():
            value = math.nan if raw is None else _number(raw)
            found[metric] = (None, state) if math.isnan(value) else (value, "ok")
    return found
