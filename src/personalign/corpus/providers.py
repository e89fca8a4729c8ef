"""Who answers: an OpenAI-compatible server, or any provider that Inspect names."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from pydantic import BaseModel

from personalign.errors import ModelError
from personalign.models.thoughts import without_thoughts
from personalign.records import Message
from personalign.runs import content_hash

if TYPE_CHECKING:
    from inspect_ai.model import GenerateConfig, Model, ModelOutput

__all__ = ["Compatible", "Inspected", "Provider", "Question", "Reply", "StatusError", "connect"]

OWN_RETRIES = ("openai", "anthropic", "openrouter", "together", "vllm", "sglang", "ollama")
"""Providers whose client would retry by itself, unseen by the ledger, unless told not to."""

STRUCTURED = ("openai", "google", "mistral", "grok", "vllm", "sglang")
"""Providers that hold a model to a JSON schema (Inspect's list for `response_schema`)."""

BYTES_A_TOKEN = 4.0
"""For estimates only: about four bytes of English a token in common vocabularies."""

FEWEST_BYTES_A_TOKEN = 2.0
"""For budgets: text of which a token is shorter on average is rare."""

Stop = Literal["stop", "length", "filter"]

FINISHED: Mapping[str, Stop] = {
    "length": "length", "max_tokens": "length", "model_length": "length",
    "content_filter": "filter",
}  # fmt: skip
"""Reasons to end, as OpenAI's servers and as Inspect name them."""

FILTERED = ("content_filter", "content_policy_violation")
"""Error codes by which a server says that a filter, and nothing else, is why it does not answer."""


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

    def tokens(self, bytes_a_token: float = BYTES_A_TOKEN) -> float:
        """A rough count of the prompt's tokens."""
        return sum(len(m.content.encode()) for m in self.messages) / bytes_a_token

    def most_tokens(self) -> float:
        """More tokens than the prompt has in nearly any language and vocabulary."""
        return self.tokens(FEWEST_BYTES_A_TOKEN)


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back. Tokens are None where the server does not count them."""

    text: str
    stop: Stop = "stop"
    tokens_in: int | None = None
    tokens_out: int | None = None


class StatusError(Exception):
    """A server answered with an HTTP status that is no success."""

    def __init__(self, status: int, headers: Mapping[str, str], said: str) -> None:
        self.status_code = status
        self.headers = headers
        super().__init__(f"HTTP {status}: {said}")


class Provider(Protocol):
    """A model that answers questions."""

    name: str
    """As it was named; stands in the provenance of what it wrote."""
    identity: str
    """A hash of all that its answers depend on, except the question."""
    structured: bool
    """Is it held to a question's schema?"""

    async def reply(self, q: Question) -> Reply:
        """One answer to a question, from one request."""

    async def close(self) -> None:
        """Let connections go."""


def connect(name: str | Model, base_url: str | None, batch: bool) -> Provider:
    """A provider by the name that Inspect gives it.

    `openai-api/SERVICE/MODEL` is asked directly, with the URL from `base_url` or SERVICE_BASE_URL
    and the key from SERVICE_API_KEY, the variables that Inspect reads too.

    Raises:
        ModelError: where the provider is unknown or lacks its package, key or URL.
    """
    if not isinstance(name, str):
        return Inspected(name)
    provider, _, rest = name.partition("/")
    if provider == "openai-api":
        return _compatible(name, rest, base_url)
    return Inspected(_model(name, base_url, batch), name)


def _compatible(name: str, rest: str, base_url: str | None) -> Compatible:
    service, _, model = rest.partition("/")
    variable = service.upper().replace("-", "_")
    url = base_url or os.environ.get(f"{variable}_BASE_URL")
    if not model or not url:
        lacks = "its URL" if model else "a model: openai-api/<service>/<model>"
        remedy = f"give --base-url or set {variable}_BASE_URL" if model else "name one"
        raise ModelError(f"cannot use model {name!r}: it lacks {lacks}", remedy)
    return Compatible(name, model, url, os.environ.get(f"{variable}_API_KEY"))


def _model(name: str, base_url: str | None, batch: bool) -> Model:
    from inspect_ai.model import GenerateConfig, get_model

    own: dict[str, Any] = {"max_retries": 0} if name.split("/")[0] in OWN_RETRIES else {}
    try:
        config = GenerateConfig(batch=batch or None)
        return get_model(name, config=config, base_url=base_url, memoize=False, **own)
    except Exception as e:
        said = (str(e).strip() or type(e).__name__).splitlines()[-1]
        raise ModelError(
            f"cannot use model {name!r}: {said}",
            "name it as Inspect does: <provider>/<model>, with the provider's package and key",
        ) from e


class Compatible:
    """A server that speaks OpenAI's chat completions, without a client library in between.

    OpenAI's package takes several times the CPU time of the request itself, which is what limits
    a server of one's own that answers hundreds of times a second (docs/performance.md).

    Args:
        name: As it was named.
        model: The model's name at the server.
        url: Up to and without `/chat/completions`.
        key: Sent as bearer token, where there is one.
    """

    structured = False

    def __init__(self, name: str, model: str, url: str, key: str | None) -> None:
        import aiohttp

        self.name = name
        self.identity = content_hash([name, url])
        self._model = model
        self._url = f"{url.rstrip('/')}/chat/completions"
        self._session = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=None),
            proxy=_proxy(url),
        )

    async def reply(self, q: Question) -> Reply:
        body = {
            "model": self._model,
            "messages": [{"role": m.role, "content": m.content} for m in q.messages],
            "seed": q.seed,
            "max_tokens": q.max_tokens,
            "temperature": q.temperature,
        }
        async with self._session.post(self._url, json=body) as response:
            data = await response.read()
            if response.status == 200:
                return _read(json.loads(data))
        return _failed(response.status, response.headers, data)

    async def close(self) -> None:
        await self._session.close()


def _proxy(url: str) -> str | None:
    """The environment's proxy for a URL, looked up once; aiohttp would do so for every request."""
    parts = urlsplit(url)
    return None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)


def _read(data: Any) -> Reply:
    """A chat completion; what is none raises, and is asked again."""
    try:
        choice, usage = data["choices"][0], data.get("usage") or {}
        message = choice["message"]
        text, refusal = message.get("content") or "", message.get("refusal") or ""
    except (KeyError, IndexError, TypeError, AttributeError) as e:
        raise ValueError(f"not a chat completion: {str(data)[:80]}") from e
    stop = FINISHED.get(choice.get("finish_reason") or "stop", "stop")
    return Reply(
        text=without_thoughts(text) or refusal,
        stop="filter" if refusal and not text else stop,
        tokens_in=usage.get("prompt_tokens"),
        tokens_out=usage.get("completion_tokens"),
    )


def _failed(status: int, headers: Mapping[str, str], data: bytes) -> Reply:
    """An answer without success: a filter's, or an error."""
    said = data.decode("utf-8", "replace")
    try:
        error = json.loads(said)["error"]
        code, said = (error.get("code"), str(error.get("message"))) if error else (None, said)
    except (ValueError, KeyError, TypeError, AttributeError):
        code = None
    if status == 400 and code in FILTERED:
        return Reply("", "filter")
    raise StatusError(status, headers, said[:200])


class Inspected:
    """A provider of Inspect's, asked through its interface alone.

    `Model.generate` would retry unseen by the ledger, wait for a second set of connections and
    keep an event of every call.
    """

    def __init__(self, model: Model, name: str = "") -> None:
        self.name = name or str(model)
        self.structured = self.name.split("/")[0] in STRUCTURED
        transport = {"max_connections", "max_retries", "timeout", "batch"}
        settings = model.config.model_dump(exclude_none=True, exclude=transport, mode="json")
        arguments = {k: str(v) for k, v in sorted(model.model_args.items()) if k != "max_retries"}
        fixed = {k: v for k, v in arguments.items() if not callable(model.model_args[k])}
        self.identity = content_hash([self.name, model.api.base_url, fixed, settings])
        self._model = model

    async def reply(self, q: Question) -> Reply:
        from inspect_ai import model as inspect

        roles: dict[str, Any] = {
            "system": inspect.ChatMessageSystem,
            "user": inspect.ChatMessageUser,
            "assistant": inspect.ChatMessageAssistant,
        }
        messages = [roles[m.role](content=m.content) for m in q.messages]
        result = await self._model.api.generate(messages, [], "none", self._config(q))
        output = result[0] if isinstance(result, tuple) else result
        if isinstance(output, Exception):
            raise output
        return _from_inspect(output)

    def _config(self, q: Question) -> GenerateConfig:
        from inspect_ai.model import ResponseSchema
        from inspect_ai.util import json_schema

        schema = None
        if q.schema is not None and self.structured:
            schema = ResponseSchema(name=q.schema.__name__, json_schema=json_schema(q.schema))
        mine = {
            "seed": q.seed,
            "max_tokens": q.max_tokens,
            "temperature": q.temperature,
            "response_schema": schema,
        }
        return self._model.config.model_copy(update=mine)

    async def close(self) -> None:
        await self._model.api.aclose()


def _from_inspect(output: ModelOutput) -> Reply:
    reason = output.stop_reason if output.choices else "stop"
    used = output.usage
    return Reply(
        text=without_thoughts(output.completion),
        stop=FINISHED.get(reason, "stop"),
        tokens_in=used.input_tokens if used else None,
        tokens_out=used.output_tokens if used else None,
    )
