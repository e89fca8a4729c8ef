"""A tokenizer's own chat template: messages to text, in which text is never markup."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from functools import cached_property
from typing import Any

from jinja2 import TemplateError
from transformers.utils.chat_template_utils import mark_control_tokens

from personalign.errors import ModelError
from personalign.models.thoughts import without_thoughts
from personalign.records import Message

__all__ = ["TODAY", "ChatTemplate", "joined"]

TODAY = date(2024, 7, 26)
"""The day on which every prompt is asked: what Llama 3.2's template says where none is given."""

DIRECTIVES = ("%-d", "%d", "%-m", "%m", "%b", "%B", "%a", "%A", "%y", "%Y", "%H", "%M", "%S")
MARK = "\U000f0000"
"""Stands before a control token within a text; see transformers' `mark_control_tokens`."""


def joined(messages: Sequence[Message]) -> list[Message]:
    """Messages with the system's text in the first turn, as Gemma's makers say to do."""
    if messages[0].role != "system" or len(messages) == 1:
        return list(messages)
    system, first, *rest = messages
    if first.role != "user":
        return [Message(role="user", content=system.content), first, *rest]
    return [first.model_copy(update={"content": f"{system.content}\n\n{first.content}"}), *rest]


class ChatTemplate:
    """How a tokenizer writes messages down.

    Control tokens are its special tokens, and what the template writes of its other added ones.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer

    @property
    def name(self) -> str:
        """The base, as errors call it."""
        return repr(self.tokenizer.name_or_path)

    @cached_property
    def source(self) -> str:
        """The template in Jinja; empty where there is none."""
        known = self.tokenizer.chat_template
        if known is None:
            return ""
        return known if isinstance(known, str) else str(self.tokenizer.get_chat_template())

    @cached_property
    def control(self) -> re.Pattern[str]:
        """Matches the control tokens, but for those that are marked as text."""
        added = self.tokenizer.added_tokens_decoder.values()
        written = (t.content for t in added if t.special or t.content in self.source)
        tokens = sorted((t for t in written if t.strip()), key=len, reverse=True)
        return re.compile(f"(?<!{MARK})(?:{'|'.join(map(re.escape, tokens)) or '(?!)'})")

    def render(
        self,
        messages: Sequence[Message],
        generate: bool = False,
        thinking: bool = False,
        today: date = TODAY,
    ) -> str:
        """The messages as text, control tokens in what they say marked.

        Thoughts of earlier replies are left out, as the makers of thinking models say to do.

        Args:
            messages: Turns; a system message goes in as it is.
            generate: Does it end where a reply begins?
            thinking: What the template is told, if it asks.

        Raises:
            ModelError: where there is no template, or it refuses the messages.
        """
        if not self.source:
            raise ModelError(f"{self.name} has no chat template", "use an instruct model as base")
        said = [{"role": m.role, "content": self.marked(m)} for m in messages]
        try:
            text: str = self.tokenizer.apply_chat_template(
                said,
                chat_template=self._dated(today),
                tokenize=False,
                add_generation_prompt=generate,
                enable_thinking=thinking,
                thinking=thinking,
                date_string=f"{today:%d %b %Y}",
            )
        except TemplateError as e:
            raise ModelError(
                f"the chat template of {self.name} refuses a prompt: {e}",
                "user and assistant must take turns; or use another base",
            ) from e
        return text

    def marked(self, message: Message) -> str:
        """What a message says, its control tokens marked as text."""
        text = message.content
        said = without_thoughts(text) if message.role == "assistant" else text
        marked: str = mark_control_tokens(said, self.control)
        return marked

    def encode(self, text: str) -> list[int]:
        """Tokens of rendered text; what is marked in it becomes no control token.

        Raises:
            ModelError: where the tokenizer cannot do without.
        """
        try:
            said = self.tokenizer(
                text, add_special_tokens=False, sanitize_control_tokens=MARK in text
            )
        except ValueError as e:
            raise ModelError(
                f"the tokenizer of {self.name} cannot write a control token as text: {e}",
                "take it out of the text",
            ) from e
        ids: list[int] = said["input_ids"]
        return ids

    def following(self, before: str, text: str) -> list[int]:
        """Tokens of a text as they follow another's; alone, where it would change those.

        A tokenizer that puts a blank before what begins (SentencePiece) encodes it otherwise alone.
        """
        head, whole = self.encode(before), self.encode(before + text)
        follows = whole[: len(head)] == head
        return whole[len(head) :] if follows else self.encode(text)

    def _dated(self, today: date) -> str:
        """The template with `strftime_now` of a day that stays the same."""
        if "strftime_now" not in self.source:
            return self.source
        chain = "".join(f"|replace('{d}', '{today.strftime(d)}')" for d in DIRECTIVES)
        return f"{{% macro strftime_now(form) %}}{{{{ form{chain} }}}}{{% endmacro %}}{self.source}"
