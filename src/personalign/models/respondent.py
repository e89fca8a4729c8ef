"""Who answers: measures, evaluations and attacks know nothing else of models.

A `Respondent` scores texts, draws replies, and has a name that says all that its answers depend
on. What a persona does to a base is inside it, so that whoever asks says only what is asked; a
model with a system prompt, a guard or whatever else is a respondent around a respondent.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace

from torch import Tensor

from personalign.errors import InputError
from personalign.models.chat import with_system
from personalign.models.engine import Draw, Engine, Rate, adopt
from personalign.models.local import Generation, LocalModel
from personalign.models.sampling import Sampling
from personalign.models.trees import Tree
from personalign.progress import Progress, silent
from personalign.records import Message
from personalign.runs import content_hash

__all__ = [
    "Candidates",
    "LocalRespondent",
    "Prompted",
    "Respondent",
    "gathered",
    "respondent",
    "seed_of",
]


@dataclass(frozen=True, slots=True)
class Candidates:
    """What could be said next, to be scored.

    Attributes:
        prompt: Messages that end with the user's, or plain text, which is given as it stands: no
            chat template, and no persona's system prompt.
        texts: What could follow; in plain text, with the space that it begins with.
        whole: Each text is a whole reply, with the template's end of turn; else how one begins.
    """

    prompt: Sequence[Message] | str
    texts: Sequence[str]
    whole: bool = True


class Respondent(ABC):
    """Somebody who answers.

    `scoring` and `drawing` ask without waiting; `score` and `draw` wait. Requests of all who ask
    at the same time may be answered together, and nobody's answer depends on it.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """All that answers depend on: two respondents with one name answer alike."""

    @property
    @abstractmethod
    def base(self) -> Respondent:
        """Who would answer had nothing been done to it: no adapter, no training, no prompt."""

    @abstractmethod
    def scoring(
        self, asked: Sequence[Candidates], progress: Progress = silent
    ) -> Future[list[list[Tensor]]]:
        """Log-probs in nats of every token of every text, each [T]; `progress` counts prompts."""

    @abstractmethod
    def drawing(
        self, prompts: Sequence[Sequence[Message]], sampling: Sampling, seeds: Sequence[int]
    ) -> list[Future[Generation]]:
        """A reply to each prompt, from its own seed."""

    def score(self, asked: Sequence[Candidates], progress: Progress = silent) -> list[list[Tensor]]:
        """See `scoring`."""
        return self.scoring(asked, progress).result()

    def draw(
        self,
        prompts: Sequence[Sequence[Message]],
        sampling: Sampling,
        seeds: Sequence[int],
        progress: Progress = silent,
    ) -> list[Generation]:
        """See `drawing`; `progress` counts replies."""
        return gathered(self.drawing(prompts, sampling, seeds), progress)


@dataclass(frozen=True)
class LocalRespondent(Respondent):
    """A base in memory, through one of its adapters or none.

    Attributes:
        engine: The base's, in whose queue the requests of all respondents meet.
        adapter: Name of an adapter in memory.
        origin: What it was trained from, where all of it was trained.
    """

    engine: Engine
    adapter: str | None = None
    origin: Respondent | None = None

    @property
    def local(self) -> LocalModel:
        """The base in memory."""
        return self.engine.local

    @property
    def name(self) -> str:
        """Base, number type, template, and adapter with its strength."""
        parts = [self.local.identity, f"{self.local.dtype}-{self.local.chat.digest[:8]}"]
        if self.adapter is not None:
            loaded = self.local.adapters[self.adapter]
            parts.append(f"adapter@{loaded.digest}x{loaded.strength!r}")
        return "+".join(parts)

    @property
    def base(self) -> Respondent:
        """See `Respondent`."""
        return self.origin or LocalRespondent(self.engine)

    @property
    def window(self) -> int:
        """The most tokens that prompt and reply may have together."""
        config = self.local.model.config.get_text_config()
        return int(getattr(config, "max_position_embeddings", None) or 2**31)

    def scoring(
        self, asked: Sequence[Candidates], progress: Progress = silent
    ) -> Future[list[list[Tensor]]]:
        """See `Respondent`; one request, whatever its size.

        Raises:
            InputError: for a prompt and reply that are longer than the window. Plain text is cut.
        """
        trees = tuple(map(self.tree, asked))
        return self.engine.queue.submit(Rate(trees, self.adapter, progress))

    def drawing(
        self, prompts: Sequence[Sequence[Message]], sampling: Sampling, seeds: Sequence[int]
    ) -> list[Future[Generation]]:
        """See `Respondent`; a reply ends at the window's end at the latest."""
        return [self._draw(p, sampling, s) for p, s in zip(prompts, seeds, strict=True)]

    def _draw(self, prompt: Sequence[Message], sampling: Sampling, seed: int) -> Future[Generation]:
        tokens = self.local.chat.prompt(prompt)
        room = self.window - len(tokens)
        if room < 1:
            full: Future[Generation] = Future()
            full.set_result(Generation("", 0, seed, "length", len(tokens)))
            return full
        fitting = replace(sampling, max_new_tokens=min(sampling.max_new_tokens, room))
        return self.engine.queue.submit(Draw(tokens, self.adapter, fitting, seed))

    def tree(self, asked: Candidates) -> Tree:
        """What is scored, as a prompt tree."""
        chat = self.local.chat
        if isinstance(asked.prompt, str):
            return chat.text_tree(asked.prompt, asked.texts, self.window)
        build = chat.reply_tree if asked.whole else chat.opening_tree
        tree = build(asked.prompt, asked.texts)
        if tree.depth > self.window:
            raise InputError(
                f"a prompt and answer of {tree.depth} tokens, in a window of {self.window}",
                "shorten the prompt, or use a base with a longer window",
            )
        return tree


@dataclass(frozen=True)
class Prompted(Respondent):
    """A respondent under a system prompt; a prompt's own system message stands after it.

    Attributes:
        inner: Who answers.
        system: The persona's text.
    """

    inner: Respondent
    system: str

    @property
    def name(self) -> str:
        """The inner one's, with a hash of the system prompt."""
        return f"{self.inner.name}+system@{content_hash(self.system)[:16]}"

    @property
    def base(self) -> Respondent:
        """See `Respondent`."""
        return self.inner.base

    def scoring(
        self, asked: Sequence[Candidates], progress: Progress = silent
    ) -> Future[list[list[Tensor]]]:
        """See `Respondent`; plain text is scored as it stands."""
        told = [
            c
            if isinstance(c.prompt, str)
            else replace(c, prompt=with_system(c.prompt, self.system))
            for c in asked
        ]
        return self.inner.scoring(told, progress)

    def drawing(
        self, prompts: Sequence[Sequence[Message]], sampling: Sampling, seeds: Sequence[int]
    ) -> list[Future[Generation]]:
        """See `Respondent`."""
        return self.inner.drawing([with_system(p, self.system) for p in prompts], sampling, seeds)


def respondent(
    local: LocalModel, system: str | None = None, adapter: str | None = None
) -> Respondent:
    """A base in memory, through an adapter that it has loaded or none, under a system prompt."""
    who = LocalRespondent(adopt(local), adapter)
    return who if system is None else Prompted(who, system)


def gathered(asked: Sequence[Future[Generation]], progress: Progress = silent) -> list[Generation]:
    """Replies in the order in which they were asked for; `progress` counts them."""
    replies = []
    for reply in asked:
        replies.append(reply.result())
        progress(1)
    return replies


def seed_of(seed: int, prompt: Sequence[Message], draw: int = 0) -> int:
    """The seed of a draw: from the study's, what is asked, and how often it was asked before.

    The one rule. A persona's system prompt is no part of it, so that base and personas share their
    random numbers on a prompt.
    """
    return int(content_hash([seed, draw, list(prompt)])[:15], 16)
