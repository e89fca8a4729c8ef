"""From messages to tokens, through the tokenizer's own chat template and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from personalign.errors import InputError, ModelError
from personalign.models import embedded
from personalign.models.probe import Probe, probe
from personalign.models.template import ChatTemplate, joined
from personalign.models.thoughts import TAGS, Thinking, is_open, without_thoughts
from personalign.models.trees import Tree
from personalign.records import Message
from personalign.runs import content_hash

__all__ = ["Chat", "open_chat", "with_system"]


def with_system(prompt: Sequence[Message], system: str | None) -> tuple[Message, ...]:
    """The prompt under a persona's system text; a prompt that brings its own has it after that."""
    if system is None:
        return tuple(prompt)
    if prompt[0].role != "system":
        return (Message(role="system", content=system), *prompt)
    both = Message(role="system", content=f"{system}\n\n{prompt[0].content}")
    return (both, *prompt[1:])


class Chat:
    """A base's way to be asked: prompts and replies to tokens, tokens to what was said.

    Whole replies are scored, and trained, after a prompt whose thoughts are shut. With `thinking`
    on, replies are drawn from a prompt that leaves them open, and thoughts are cut off what was
    drawn.
    """

    def __init__(self, tokenizer: Any, thinking: Thinking = "off") -> None:
        self.tokenizer, self.thinking = tokenizer, thinking
        self.template = ChatTemplate(tokenizer)

    @cached_property
    def probe(self) -> Probe:
        """What the template does, found when first asked for."""
        return probe(self.template)

    def check(self) -> None:
        """Refuse a base that cannot be trained or scored through its template.

        Raises:
            ModelError: naming the base and the reason.
            InputError: where it is to think and cannot.
        """
        if self.probe.refused:
            raise ModelError(
                f"base {self.template.name} cannot be used: {self.probe.refused}",
                "use an instruct model whose template keeps the prompt unchanged as base",
            )
        if self.thinking == "on" and self.probe.thoughts == "none":
            raise InputError(
                f"thinking: on, and the chat template of {self.template.name} knows no thoughts",
                "leave thinking off, or use a base that thinks",
            )

    @property
    def digest(self) -> str:
        """Hash of what a prompt's text depends on: the template, and how it is used."""
        found = self.probe
        used: list[str] = [found.system] if found.system == "first turn" else []
        used += [self.thinking] if found.thoughts != "none" else []
        used += [found.date] if found.date else []
        template = self.tokenizer.chat_template
        return content_hash([template, *used] if used else template)

    def prompt(self, messages: Sequence[Message]) -> tuple[int, ...]:
        """Tokens up to where the assistant begins: to reply, or with `thinking` on to think."""
        open_ = self.thinking == "on"
        text = self._asked(messages, open_)
        return tuple(self.template.encode(text if open_ else text + self.probe.shut))

    def reply_tree(self, messages: Sequence[Message], replies: Sequence[str]) -> Tree:
        """One prompt and several whole replies, each with the template's end of turn."""
        return self._tree(messages, replies, ended=True)

    def opening_tree(self, messages: Sequence[Message], openings: Sequence[str]) -> Tree:
        """One prompt and several ways to begin a reply, without an end of turn."""
        return self._tree(messages, openings, ended=False)

    def text_tree(self, context: str, continuations: Sequence[str], longest: int) -> Tree:
        """Plain text and what may follow it, as lm-eval encodes them, in at most `longest` tokens.

        White space at the end of the context goes to the continuations. An empty context is the
        tokenizer's first token (or its last, where it has no first). What is too long loses tokens
        at its end where there is no context, and of its context's beginning where there is one.
        """
        head = self._plain(context.rstrip())
        branches = [tuple(self._plain(context + c)[len(head) :]) for c in continuations]
        if not head:
            first = self.tokenizer.bos_token_id
            head = [self.tokenizer.eos_token_id if first is None else first]
        room = longest - max(map(len, branches))
        if not context:
            return Tree(tuple(head), tuple(b[: longest - len(head)] for b in branches))
        return Tree(tuple(head[-max(1, room) :]), tuple(branches))

    def _plain(self, text: str) -> list[int]:
        """Tokens of a text without a template, in which no special token is one."""
        ids: list[int] = self.tokenizer(text, split_special_tokens=True)["input_ids"]
        return ids

    def ending(self, text: str) -> str | None:
        """The end of turn or another control token in which a text ends, if it ends in one."""
        text, own = text.rstrip(), self.probe.ends.strip()
        if own and text.endswith(own):
            return own
        found = [m for m in self.template.control.finditer(text) if m.end() == len(text)]
        return found[-1].group() if found else None

    def said(self, tokens: Sequence[int]) -> str:
        """What drawn tokens say: without control tokens and thoughts."""
        kept = self._after_thoughts(list(tokens))
        text: str = self.tokenizer.decode(kept, skip_special_tokens=True)
        if self._opens and len(kept) == len(tokens) and not any(c in text for c in TAGS.values()):
            return ""  # the prompt had opened a thought, and it was cut
        return without_thoughts(text)

    @cached_property
    def _opens(self) -> bool:
        """Does a prompt from which replies are drawn end within a thought?"""
        hello = [Message(role="user", content="Hello")]
        return self.thinking == "on" and is_open(self._asked(hello, thinking=True))

    def _after_thoughts(self, tokens: list[int]) -> list[int]:
        """Drawn tokens without thoughts whose tags are tokens, which decoding may leave out."""
        known = self.tokenizer.added_tokens_encoder
        for begin, end in ((known.get(b), known.get(e)) for b, e in TAGS.items()):
            if end in tokens:
                tokens = tokens[len(tokens) - tokens[::-1].index(end) :]
            if begin in tokens:
                tokens = tokens[: tokens.index(begin)]
        return tokens

    def _asked(self, messages: Sequence[Message], thinking: bool = False) -> str:
        return self.template.render(self._placed(messages), generate=True, thinking=thinking)

    def _placed(self, messages: Sequence[Message]) -> list[Message]:
        own = self.probe.system == "own message"
        return list(messages) if own else joined(messages)

    def _tree(self, messages: Sequence[Message], replies: Sequence[str], ended: bool) -> Tree:
        """Replies as they are encoded after the prompt, cut where it ends.

        What stands before the prompt's last control token joins with nothing after it.
        """
        found, asked = self.probe, self._asked(messages)
        before = asked + found.shut
        start = max((m.start() for m in self.template.control.finditer(before)), default=0)
        tail = before[start:]
        whole = asked.removesuffix(found.opened) if found.opened else before
        texts = (self._after(messages, reply, whole) for reply in replies)
        said = (t if ended else t.removesuffix(found.ends) for t in texts)
        branches = [tuple(self.template.following(tail, text)) for text in said]
        return Tree(tuple(self.template.encode(before)), tuple(branches))

    def _after(self, messages: Sequence[Message], reply: str, before: str) -> str:
        """A reply with the template's end of turn, as text."""
        turn = Message(role="assistant", content=reply)
        whole = self.template.render([*self._placed(messages), turn])
        if not whole.startswith(before):
            raise ModelError(
                f"the chat template of {self.template.name} renders a prompt differently once "
                "a reply follows",
                "use a base whose template keeps the prompt unchanged",
            )
        return whole[len(before) :]


def open_chat(base: str, thinking: Thinking = "off") -> Chat:
    """A base's chat by the base's name, without its weights.

    Raises:
        ModelError: where there is no such base, or no tokenizer with it.
    """
    from transformers import AutoTokenizer

    path = embedded.resolve(base)
    try:
        return Chat(AutoTokenizer.from_pretrained(path), thinking)
    except (OSError, ValueError) as e:
        raise embedded.cannot_load(base, e) from e
