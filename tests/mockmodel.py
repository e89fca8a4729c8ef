"""Models that say what a test gives them, without a network; what is no text is raised."""

from __future__ import annotations

from typing import Any

from inspect_ai.log import EvalLog
from inspect_ai.model import Model, ModelOutput, ModelUsage, get_model

NAME = "mockllm/model"


def said(text: str) -> ModelOutput:
    output = ModelOutput.from_content(NAME, text)
    output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
    return output


def saying(*replies: str | Exception) -> Model:
    """A model that gives these replies in turn."""
    queue = list(replies)

    def answer(*_: Any) -> ModelOutput:
        reply = queue.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return said(reply)

    return get_model(NAME, custom_outputs=answer)


def run(task: Any, model: Model, folder: Any, **more: Any) -> EvalLog:
    """One evaluation's log; samples in turn, so that replies go to them in order."""
    from inspect_ai import eval as evaluate

    settings = {"display": "none", "log_realtime": False, "max_samples": 1, "max_tasks": 1}
    log = evaluate(task, model=model, log_dir=str(folder), **(settings | more))[0]
    assert log.status == "success", log.error and log.error.message
    return log
