"""From messages to tokens, through the tokenizer's own chat template and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jinja2 import TemplateError

from personalign.errors import ModelError
from personalign.models.trees import Tree
from personalign.records import Message

__all__ = [
    "completion_tokens",
    "opening_tree",
    "prompt_tokens",
    "reply_tree",
    "text_tree",
    "with_system",
]

_SEEN: dict[int, int] = {}
"""A token's number is one object however often it is said: most of what a large corpus weighs."""


def with_system(prompt: Sequence[Message], system: str | None) -> tuple[Message, ...]:
    """The prompt under a persona's system text; a prompt that brings its own has it after that."""
    if system is None:
        return tuple(prompt)
    if prompt[0].role != "system":
        return (Message(role="system", content=system), *prompt)
    both = Message(role="system", content=f"{system}\n\n{prompt[0].content}")
    return (both, *prompt[1:])


def _render(tokenizer: Any, messages: Sequence[Message], generate: bool) -> str:
    """The messages as text; a template that knows no system message has it in the first turn.

    Gemma's template refuses one, and its makers' guide to prompts says to do so.
    """
    if tokenizer.chat_template is None:
        raise ModelError(
            f"{tokenizer.name_or_path!r} has no chat template", "use an instruct model as base"
        )
    try:
        return _template(tokenizer, messages, generate)
    except TemplateError as e:
        if messages[0].role != "system":
            raise _refused(tokenizer, e) from e
    system, first, *rest = messages
    begun = first.model_copy(update={"content": f"{system.content}\n\n{first.content}"})
    try:
        return _template(tokenizer, [begun, *rest], generate)
    except TemplateError as e:
        raise _refused(tokenizer, e) from e


def _template(tokenizer: Any, messages: Sequence[Message], generate: bool) -> str:
    plain = [m.model_dump() for m in messages]
    text: str = tokenizer.apply_chat_template(plain, tokenize=False, add_generation_prompt=generate)
    return text


def _refused(tokenizer: Any, error: Exception) -> ModelError:
    return ModelError(
        f"the chat template of {tokenizer.name_or_path!r} refuses a prompt: {error}",
        "user and assistant must take turns; or use another base",
    )


def _encode(tokenizer: Any, text: str) -> tuple[int, ...]:
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return tuple(_SEEN.setdefault(i, i) for i in ids)


def prompt_tokens(tokenizer: Any, prompt: Sequence[Message]) -> tuple[int, ...]:
    """Tokens up to where the assistant's reply begins."""
    return _encode(tokenizer, _render(tokenizer, prompt, generate=True))


def completion_tokens(tokenizer: Any, prompt: Sequence[Message], reply: str) -> tuple[int, ...]:
    """Tokens of a reply with the template's end of turn, as they follow the prompt's."""
    before = _render(tokenizer, prompt, generate=True)
    turn = Message(role="assistant", content=reply)
    whole = _render(tokenizer, [*prompt, turn], generate=False)
    if not whole.startswith(before):
        raise ModelError(
            f"the chat template of {tokenizer.name_or_path!r} renders a prompt differently once "
            "a reply follows",
            "use a base whose template keeps the prompt unchanged",
        )
    return _encode(tokenizer, whole[len(before) :])


def reply_tree(tokenizer: Any, prompt: Sequence[Message], replies: Sequence[str]) -> Tree:
    """One prompt and several whole replies as a prompt tree."""
    return Tree(
        prompt_tokens(tokenizer, prompt),
        tuple(completion_tokens(tokenizer, prompt, r) for r in replies),
    )


def opening_tree(tokenizer: Any, prompt: Sequence[Message], openings: Sequence[str]) -> Tree:
    """One prompt and several ways to begin a reply, without an end of turn, as a prompt tree."""
    return Tree(
        prompt_tokens(tokenizer, prompt), tuple(_encode(tokenizer, text) for text in openings)
    )


def text_tree(tokenizer: Any, context: str, continuations: Sequence[str], longest: int) -> Tree:
    """Plain text and what may follow it, as lm-eval encodes them, in at most `longest` tokens.

    White space at the end of the context goes to the continuations. An empty context is the
    tokenizer's first token (or its last, where it has no first). What is too long loses tokens
    at its end where there is no context, and of its context's beginning where there is one.
    """
    head: list[int] = tokenizer(context.rstrip())["input_ids"]
    whole = [tokenizer(context + c)["input_ids"] for c in continuations]
    branches = [tuple(w[len(head) :]) for w in whole]
    if not head:
        first = tokenizer.bos_token_id
        head = [tokenizer.eos_token_id if first is None else first]
    room = longest - max(map(len, branches))
    if not context:
        return Tree(tuple(head), tuple(b[: longest - len(head)] for b in branches))
    return Tree(tuple(head[-max(1, room) :]), tuple(branches))
