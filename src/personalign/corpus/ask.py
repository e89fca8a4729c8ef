"""Asking a language model many things, within limits, nothing twice."""

from __future__ import annotations

import asyncio
import gc
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakValueDictionary

import anyio
from pydantic import Field
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    wait_exponential_jitter,
)

from personalign.corpus.ledger import Answer, AnswerState, Ledger
from personalign.corpus.providers import BYTES_A_TOKEN, Provider, Question, Reply, connect
from personalign.errors import InputError, ModelError, PersonalignError, RunError
from personalign.records import Record
from personalign.runs import content_hash

if TYPE_CHECKING:
    from inspect_ai.model import Model

__all__ = ["Asker", "Estimate", "Limits", "Question", "ask_with", "asking", "estimate", "ordered"]

WRONG = (400, 413, 422)
DENIED = (401, 403, 404)
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

    def __init__(self, provider: Provider, ledger: Ledger, limits: Limits) -> None:
        if limits.max_cost is not None and None in (limits.price_in, limits.price_out):
            raise InputError("--max-cost without prices", "give --price-in and --price-out")
        self.provider = provider
        self.ledger = ledger
        self.limits = limits
        self._slots = asyncio.Semaphore(limits.concurrency)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._pace = _Pace(limits.per_minute)
        self._spent = ledger.totals().cost
        self._on_its_way = 0.0
        self._lost_in_a_row = 0
        self._stopped: PersonalignError | None = None

    @property
    def model(self) -> str:
        """The model's name, for the provenance of what it writes."""
        return self.provider.name

    def key(self, q: Question) -> str:
        """A hash of the model's whole identity and of all that the answer depends on."""
        schema = q.schema.__name__ if q.schema and self.provider.structured else ""
        said = [[m.role, m.content] for m in q.messages]
        parts = [q.prompt, said, q.seed, q.max_tokens, q.temperature, schema]
        return content_hash([self.provider.identity, *parts])

    async def ask(self, q: Question) -> Answer:
        """The answer to a question: from the ledger, or from the model."""
        key = self.key(q)
        if known := self.ledger.answer(key):
            return known
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock, self._slots:
            return self.ledger.answer(key) or await self._settled(key, q)

    async def _settled(self, key: str, q: Question) -> Answer:
        answer = await self._persist(key, q)
        if answer.state != "lost":
            self._lost_in_a_row = 0
            self.ledger.settle(key, q.purpose, answer)
            return answer
        self._lost_in_a_row += 1
        if self._lost_in_a_row >= self.limits.give_up:
            self._stop(
                ModelError(
                    f"{self.model}: {self._lost_in_a_row} questions in a row got no answer, "
                    f"the last one because of {answer.detail}",
                    "see that the provider is well and run the same command again",
                )
            )
        return answer

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
                    return _answer(await self._once(key, q), attempts)
        except EmptyReplyError:
            return Answer(state="empty", attempts=attempts)
        except PersonalignError:
            raise
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

    async def _once(self, key: str, q: Question) -> Reply:
        """One request. Until its cost is known it counts as the most that it can cost."""
        await self._pace.turn()
        most = self.limits.cost(q.most_tokens(), q.max_tokens)
        self._refuse_beyond_budget(most)
        request = self.ledger.leave(key, q.purpose, self.model, q.prompt, q.seed, most)
        self._on_its_way += most
        cost = most
        try:
            reply = await self._provided(q)
            cost = self._billed(request, q, reply)
        except BaseException as e:
            if _status(e) is not None:
                cost = 0.0  # an HTTP error is not billed; of what broke off nobody knows
            self.ledger.back(request, _brief(e), cost=cost)
            raise
        finally:
            self._on_its_way -= most
            self._spent += cost
        if not reply.text.strip() and reply.stop != "filter":
            raise EmptyReplyError("an empty reply")
        return reply

    def _refuse_beyond_budget(self, most: float) -> None:
        if self._stopped:
            raise self._stopped
        limit = self.limits.max_cost
        if limit is not None and self._spent + self._on_its_way + most > limit:
            self._stop(
                RunError(
                    f"--max-cost {limit:g} reached: {self._spent:.4f} spent, "
                    f"{self._on_its_way:.4f} on its way, the next may cost {most:.4f}",
                    "raise it and run the same command again: nothing is asked twice",
                )
            )

    def _stop(self, error: PersonalignError) -> None:
        self._stopped = error
        raise error

    async def _provided(self, q: Question) -> Reply:
        with anyio.fail_after(None if self.limits.batch else self.limits.timeout):
            return await self.provider.reply(q)

    def _billed(self, request: int, q: Question, reply: Reply) -> float:
        """Note what an answer cost; tokens that the server does not count are estimated."""
        counted_in, counted_out = reply.tokens_in, reply.tokens_out
        tokens_in = round(q.tokens()) if counted_in is None else counted_in
        said = len(reply.text.encode()) / BYTES_A_TOKEN
        tokens_out = round(said) if counted_out is None else counted_out
        cost = self.limits.cost(tokens_in, tokens_out)
        empty = not reply.text.strip() and reply.stop != "filter"
        self.ledger.back(request, "empty" if empty else "ok", tokens_in, tokens_out, cost)
        return cost


def _answer(reply: Reply, attempts: int) -> Answer:
    states: dict[str, AnswerState] = {"stop": "ok", "length": "truncated", "filter": "refused"}
    return Answer(state=states[reply.stop], text=reply.text, attempts=attempts)


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
    provider = connect(name, base_url, limits.batch)
    try:
        with _light_collections():
            yield Asker(provider, ledger, limits)
    finally:
        await provider.close()


@contextmanager
def _light_collections() -> Iterator[None]:
    """Rarer garbage collection that passes over what is loaded already.

    Every request makes thousands of short-lived objects; without this a fifth of the time goes
    into walking, again and again, through all imported modules.
    """
    usual = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    try:
        yield
    finally:
        gc.set_threshold(*usual)
        gc.unfreeze()


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


def _status(error: BaseException) -> int | None:
    status = getattr(error, "status_code", None)
    return status if isinstance(status, int) else None


def _transient(error: BaseException) -> bool:
    own = isinstance(error, PersonalignError) or not isinstance(error, Exception)
    return not own and _status(error) not in WRONG + DENIED


def _retry_after(error: BaseException | None) -> float | None:
    """Seconds that a server asks to be left alone, where it says so in seconds."""
    headers = getattr(error, "headers", None) or getattr(
        getattr(error, "response", None), "headers", None
    )
    value = headers.get("retry-after") if headers else None
    return float(value) if value and value.replace(".", "", 1).isdigit() else None


def _brief(error: BaseException) -> str:
    """One line without control characters: it may be a server's."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = "".join(c if c.isprintable() else "?" for c in lines[-1]) if lines else "no message"
    return f"{type(error).__name__}: {said}"[:200]


def ask_with(
    work: Callable[[Asker], Awaitable[R]],
    model: str | Model,
    base_url: str | None,
    ledger_path: Path,
    limits: Limits,
) -> R:
    """Do asynchronous work with a model that is open as long as the work takes."""

    async def session() -> R:
        with closing(Ledger(ledger_path)) as ledger:
            async with asking(model, ledger, limits, base_url) as asker:
                return await work(asker)

    return asyncio.run(session())
