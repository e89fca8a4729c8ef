"""Asking a language model many things: any provider that Inspect names, within limits."""

from __future__ import annotations

import asyncio
import gc
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import anyio
from inspect_ai.model import (
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageUser,
    GenerateConfig,
    Model,
    ModelOutput,
    ResponseSchema,
    get_model,
)
from inspect_ai.util import json_schema
from pydantic import BaseModel, Field
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    wait_exponential_jitter,
)

from personalign.corpus.ledger import Answer, Ledger
from personalign.errors import InputError, ModelError, RunError
from personalign.records import Message, Record
from personalign.runs import content_hash

__all__ = ["Asker", "Estimate", "Limits", "Question", "asking", "estimate", "ordered"]

OWN_RETRIES = ("openai", "openai-api", "anthropic", "openrouter", "together", "vllm", "sglang")
"""Providers whose client would retry by itself, unseen by the ledger, unless told not to."""

OPENAI_CLIENTS = ("openai-api", "openai")
"""Providers that take an HTTP client of OpenAI's package. For a server of one's own, which may
answer hundreds of times a second, the one on aiohttp costs a third less time than the default."""

STRUCTURED = ("openai", "google", "mistral", "grok", "vllm", "sglang")
"""Providers that hold a model to a JSON schema (Inspect's list for `response_schema`)."""

WRONG = (400, 413, 422)
DENIED = (401, 403, 404)
CHARACTERS_A_TOKEN = 4.0
"""For estimates only: about four characters of English a token in common vocabularies."""

ROLES: dict[str, Callable[..., ChatMessage]] = {
    "system": ChatMessageSystem,
    "user": ChatMessageUser,
    "assistant": ChatMessageAssistant,
}
T = TypeVar("T")
R = TypeVar("R")


class Limits(Record):
    """How fast, how long, how often and for how much a model is asked."""

    concurrency: int = Field(default=16, ge=1)
    per_minute: int = Field(default=0, ge=0)
    """Requests a minute at most; 0 for no limit."""
    attempts: int = Field(default=6, ge=1)
    """Tries of one question, with exponential backoff or as long as the provider asks for."""
    backoff: float = Field(default=1.0, ge=0)
    """Seconds before the second try; doubles up to a minute."""
    timeout: float = Field(default=120.0, gt=0)
    """Seconds that one try may take."""
    give_up: int = Field(default=20, ge=1)
    """Stop when so many questions in a row got no answer at all."""
    max_cost: float | None = Field(default=None, gt=0)
    """Stop before a ledger's total passes this, in the currency of the prices."""
    price_in: float | None = Field(default=None, ge=0)
    """Price of a million input tokens."""
    price_out: float | None = Field(default=None, ge=0)
    batch: bool = False
    """Use the provider's batch mode (cheaper and slow), where Inspect supports one."""

    def cost(self, tokens_in: float, tokens_out: float) -> float:
        """Price of tokens; 0 where no prices are given."""
        return (tokens_in * (self.price_in or 0) + tokens_out * (self.price_out or 0)) / 1e6


@dataclass(frozen=True, slots=True)
class Question:
    """One thing to ask: all that the answer depends on, except the model."""

    purpose: str
    prompt: str
    messages: tuple[Message, ...]
    seed: int
    max_tokens: int = 1024
    temperature: float = 0.8
    schema: type[BaseModel] | None = None

    def tokens(self) -> float:
        """A rough count of the prompt's tokens."""
        return sum(len(m.content) for m in self.messages) / CHARACTERS_A_TOKEN


class Estimate(Record):
    """What a step would ask for. Output is taken as half of what is allowed."""

    requests: int = 0
    answered: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float | None = None

    def __add__(self, other: Estimate) -> Estimate:
        cost = None if self.cost is None or other.cost is None else self.cost + other.cost
        return Estimate(
            requests=self.requests + other.requests,
            answered=self.answered + other.answered,
            tokens_in=self.tokens_in + other.tokens_in,
            tokens_out=self.tokens_out + other.tokens_out,
            cost=cost,
        )


class EmptyReplyError(Exception):
    """A provider answered with nothing."""


class Asker:
    """One model, asked within limits, with a ledger that answers what was asked before."""

    def __init__(self, model: Model, ledger: Ledger, limits: Limits) -> None:
        if limits.max_cost is not None and None in (limits.price_in, limits.price_out):
            raise InputError("--max-cost without prices", "give --price-in and --price-out")
        self.model = model
        self.ledger = ledger
        self.limits = limits
        self.structured = str(model).split("/")[0] in STRUCTURED
        self.identity = content_hash([str(model), model.api.base_url, _plain(model.model_args)])
        self._slots = asyncio.Semaphore(limits.concurrency)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._pace = _Pace(limits.per_minute)
        self._spent = ledger.totals().cost
        self._reserved = 0.0
        self._lost_in_a_row = 0
        self._stopped: Exception | None = None

    def key(self, q: Question) -> str:
        """A hash of the model's whole identity and of all that the answer depends on."""
        schema = q.schema.__name__ if q.schema and self.structured else ""
        parts = [q.prompt, [m.model_dump() for m in q.messages], q.seed, q.max_tokens]
        return content_hash([self.identity, *parts, q.temperature, schema])

    async def ask(self, q: Question) -> Answer:
        """The answer to a question: from the ledger, or from the model."""
        key = self.key(q)
        if known := self.ledger.answer(key):
            return known
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock, self._slots:
            return self.ledger.answer(key) or await self._within_budget(key, q)

    async def _within_budget(self, key: str, q: Question) -> Answer:
        if self._stopped:
            raise self._stopped
        reserve = self.limits.cost(q.tokens(), q.max_tokens)
        limit = self.limits.max_cost
        if limit is not None and self._spent + self._reserved + reserve > limit:
            self._stop(
                RunError(
                    f"--max-cost {limit:g} reached: {self._spent:.4f} spent, "
                    f"{self._reserved:.4f} on its way, the next may cost {reserve:.4f}",
                    "raise it and run the same command again: nothing is asked twice",
                )
            )
        self._reserved += reserve
        try:
            answer = await self._persist(key, q)
        finally:
            self._reserved -= reserve
        self._count(answer)
        if answer.state != "lost":
            self.ledger.settle(key, q.purpose, answer)
        return answer

    def _stop(self, error: Exception) -> None:
        self._stopped = error
        raise error

    def _count(self, answer: Answer) -> None:
        self._spent += answer.cost
        self._lost_in_a_row = self._lost_in_a_row + 1 if answer.state == "lost" else 0
        if self._lost_in_a_row >= self.limits.give_up:
            self._stop(
                ModelError(
                    f"{self.model}: {self._lost_in_a_row} questions in a row got no answer, "
                    f"the last one because of {answer.detail}",
                    "see that the provider is well and run the same command again",
                )
            )

    async def _persist(self, key: str, q: Question) -> Answer:
        tries = AsyncRetrying(
            stop=stop_after_attempt(self.limits.attempts),
            wait=self._wait,
            retry=retry_if_exception(_transient),
            reraise=True,
        )
        attempts = 0
        try:
            async for attempt in tries:
                with attempt:
                    attempts += 1
                    return self._answer(await self._once(key, q), attempts)
        except EmptyReplyError:
            return Answer(state="empty", attempts=attempts)
        except Exception as e:
            if _status(e) in DENIED:
                self._stop(ModelError(f"{self.model}: {_brief(e)}", "check its name and your key"))
            return Answer(state="lost", detail=_brief(e), attempts=attempts)
        raise AssertionError("unreachable")

    def _wait(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = _retry_after(error)
        grown = wait_exponential_jitter(self.limits.backoff, 60, jitter=self.limits.backoff)(state)
        return grown if asked is None else max(asked, 0.05)

    async def _once(self, key: str, q: Question) -> ModelOutput:
        await self._pace.turn()
        request = self.ledger.leave(key, q.purpose, str(self.model), q.prompt, q.seed)
        try:
            output = await self._provider(q)
            if not output.completion.strip() and _stop_reason(output) != "content_filter":
                raise EmptyReplyError("an empty reply")
        except asyncio.CancelledError:
            self.ledger.back(request, "cancelled")
            raise
        except Exception as e:
            self.ledger.back(request, _brief(e))
            raise
        self.ledger.back(request, "ok")
        return output

    async def _provider(self, q: Question) -> ModelOutput:
        """One request through Inspect's provider alone.

        `Model.generate` would retry unseen by the ledger, wait for a second set of connections
        and keep an event of every call; that is a fifth of the time a short request takes.
        """
        messages = [ROLES[m.role](content=m.content) for m in q.messages]
        with anyio.fail_after(self.limits.timeout):
            result = await self.model.api.generate(messages, [], "none", self._config(q))
        output = result[0] if isinstance(result, tuple) else result
        if isinstance(output, Exception):
            raise output
        return output

    def _config(self, q: Question) -> GenerateConfig:
        schema = None
        if q.schema is not None and self.structured:
            schema = ResponseSchema(name=q.schema.__name__, json_schema=json_schema(q.schema))
        mine = {
            "seed": q.seed,
            "max_tokens": q.max_tokens,
            "temperature": q.temperature,
            "response_schema": schema,
        }
        return self.model.config.model_copy(update=mine)

    def _answer(self, output: ModelOutput, attempts: int) -> Answer:
        usage = output.usage
        tokens_in = usage.input_tokens if usage else 0
        tokens_out = usage.output_tokens if usage else 0
        reason = _stop_reason(output)
        states: dict[str, Any] = {"content_filter": "refused", "max_tokens": "truncated"}
        return Answer(
            state=states.get(reason, "ok"),
            text=output.completion,
            tokens_in=tokens_in,
            tokens_out=tokens_out,
            cost=self.limits.cost(tokens_in, tokens_out),
            attempts=attempts,
        )


class _Pace:
    """Lets requests go no faster than so many a minute."""

    def __init__(self, per_minute: int) -> None:
        self.gap = 60 / per_minute if per_minute else 0.0
        self.next = 0.0

    async def turn(self) -> None:
        if not self.gap:
            return
        now = asyncio.get_running_loop().time()
        self.next = max(self.next + self.gap, now)
        await asyncio.sleep(self.next - now)


@asynccontextmanager
async def asking(
    name: str | Model, ledger: Ledger, limits: Limits, base_url: str | None = None
) -> AsyncIterator[Asker]:
    """A model by the name that Inspect gives it, open for questions.

    Raises:
        ModelError: where the provider is unknown or lacks its package or key.
    """
    async with _open(name, limits, base_url) as model:
        asker = Asker(model, ledger, limits)
        with _light_collections():
            yield asker


@contextmanager
def _light_collections() -> Iterator[None]:
    """Rarer garbage collection that passes over what is loaded already.

    Every request makes thousands of short-lived objects; without this a fifth of the time goes
    into walking, again and again, through all imported modules.
    """
    usual = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    try:
        yield
    finally:
        gc.set_threshold(*usual)
        gc.unfreeze()


def _open(name: str | Model, limits: Limits, base_url: str | None) -> Model:
    if isinstance(name, Model):
        return name
    config = GenerateConfig(max_connections=limits.concurrency, batch=limits.batch or None)
    provider = name.split("/")[0]
    own: dict[str, Any] = {"max_retries": 0} if provider in OWN_RETRIES else {}
    try:
        if base_url and provider in OPENAI_CLIENTS:
            from openai import DefaultAioHttpClient

            own["http_client"] = DefaultAioHttpClient()
        return get_model(name, config=config, base_url=base_url, memoize=False, **own)
    except Exception as e:
        raise ModelError(
            f"cannot use model {name!r}: {_brief(e)}",
            "name it as Inspect does: <provider>/<model>, with the provider's package and key",
        ) from e


async def ordered(
    items: Iterable[T], work: Callable[[T], Awaitable[R]], window: int
) -> AsyncIterator[tuple[T, R]]:
    """Work on items concurrently and give results in order, never holding more than a window.

    An error lets what is on its way arrive (it is paid for) before it is raised; cancelling
    does not.
    """
    waiting: deque[tuple[T, asyncio.Future[R]]] = deque()
    try:
        for item in items:
            waiting.append((item, asyncio.ensure_future(work(item))))
            if len(waiting) >= window:
                yield waiting[0][0], await waiting[0][1]
                waiting.popleft()
        while waiting:
            yield waiting[0][0], await waiting[0][1]
            waiting.popleft()
    except asyncio.CancelledError:
        for _, task in waiting:
            task.cancel()
        raise
    finally:
        await asyncio.gather(*(task for _, task in waiting), return_exceptions=True)


def estimate(questions: Iterable[Question], asker: Asker) -> Estimate:
    """What asking would take, without what the ledger knows already."""
    total = Estimate(cost=0.0)
    for group in _chunks(questions, 1000):
        total = total + _estimate(group, asker)
    return total


def _estimate(questions: list[Question], asker: Asker) -> Estimate:
    new = [q for q in questions if asker.ledger.answer(asker.key(q)) is None]
    tokens_in, tokens_out = sum(q.tokens() for q in new), sum(q.max_tokens / 2 for q in new)
    priced = asker.limits.price_in is not None and asker.limits.price_out is not None
    return Estimate(
        requests=len(new),
        answered=len(questions) - len(new),
        tokens_in=round(tokens_in),
        tokens_out=round(tokens_out),
        cost=asker.limits.cost(tokens_in, tokens_out) if priced else None,
    )


def _chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    chunk: list[T] = []
    for item in items:
        chunk.append(item)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _stop_reason(output: ModelOutput) -> str:
    return output.stop_reason if output.choices else "unknown"


def _status(error: BaseException) -> int | None:
    status = getattr(error, "status_code", None)
    return status if isinstance(status, int) else None


def _transient(error: BaseException) -> bool:
    return isinstance(error, Exception) and _status(error) not in WRONG + DENIED


def _retry_after(error: BaseException | None) -> float | None:
    headers = getattr(getattr(error, "response", None), "headers", None)
    value = headers.get("retry-after") if headers else None
    return float(value) if value and value.replace(".", "", 1).isdigit() else None


def _brief(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1] if lines else 'no message'}"[:200]


def _plain(arguments: dict[str, Any]) -> dict[str, str]:
    """Arguments of a model as far as its answers depend on them."""
    transport = ("http_client", "max_retries")
    kept = {k: v for k, v in sorted(arguments.items()) if k not in transport}
    return {k: str(v) for k, v in kept.items() if not callable(v)}
