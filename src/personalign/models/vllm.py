"""Arms of a base that a vLLM server answers for, with adapters loaded by content hash.

    VLLM_ALLOW_RUNTIME_LORA_UPDATING=True vllm serve Qwen/Qwen3-8B --enable-lora --max-lora-rank 16
    inspect eval personalign/safety --model personalign-vllm/Qwen/Qwen3-8B \\
        --model-base-url http://127.0.0.1:8000/v1 -M persona=INFP -M adapter=runs/x/adapters/INFP

The server is asked to load an adapter under its own hash the first time that an arm needs it
(vLLM's `/v1/load_lora_adapter`), so that no two adapters can be mistaken for each other, and the
folder must lie where the server sees it, unchanged since. Adapter and system prompt are in the
model's name by their hash; of the base it holds a hash of the server's model card, which says
neither weights nor number type nor template.
"""

from __future__ import annotations

import json
import os
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from inspect_ai.model import (
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageUser,
    GenerateConfig,
    ModelAPI,
    ModelOutput,
    get_model,
    modelapi,
)
from inspect_ai.model._cache import epoch  # what Inspect's own cache tells epochs apart by
from inspect_ai.tool import ToolChoice, ToolInfo

from personalign.errors import InputError, ModelError, unknown
from personalign.models.chat import with_system
from personalign.models.engine import BATCH
from personalign.models.fitting import check_files
from personalign.models.provenance import adapter_hash
from personalign.models.provider import (
    CHOICES,
    IDENTITY,
    ModelArgs,
    message_of,
    model_args,
)
from personalign.models.respondent import seed_of
from personalign.runs import content_hash

__all__ = ["ServedAPI", "personalign_vllm"]

ENABLE = (
    "start vLLM with --enable-lora, a --max-lora-rank that is large enough, and "
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True; the adapter's folder must be on its disk"
)
LOADING = 600  # seconds that a server may take to load an adapter
DEFAULTS = GenerateConfig()
ROLES: dict[str, Any] = {
    "assistant": ChatMessageAssistant,
    "system": ChatMessageSystem,
    "user": ChatMessageUser,
}


class ServedAPI(ModelAPI):
    """Inspect's view of one arm of a served base.

    Args:
        model_name: The base as the server names it, or a whole name from a log.
        base_url: The server's address, ending in `/v1`; else `VLLM_BASE_URL`.
        api_key: The server's key; else `VLLM_API_KEY`, or none.
        config: Settings of generation. What a task leaves open is sent as the local engine has it
            (temperature 0, all tokens), not left to the server's defaults.
        arm_args: `persona`, `condition`, `system`, `adapter`; see `provider.model_args`.

    Raises:
        ModelError: where the server does not answer, has no such base, or cannot load the adapter.
    """

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig = DEFAULTS,
        **arm_args: Any,
    ) -> None:
        self.arm = model_args(**arm_args)
        known = IDENTITY.fullmatch(model_name)
        base = known["base"] if known else model_name
        url = (base_url or os.environ.get("VLLM_BASE_URL") or "").rstrip("/")
        if not url:
            raise InputError("no address of a vLLM server", "give --model-base-url http://…/v1")
        key = api_key or os.environ.get("VLLM_API_KEY") or "none"
        server = _Server(url, key)
        card = server.card(base)
        served, parts = base, [f"{base}@{content_hash(card)[:16]}"]
        if self.arm.adapter is not None:
            served = server.load(_folder(self.arm))
            parts.append(f"adapter@{served}x1.0")
        if self.arm.system is not None:
            parts.append(f"system@{content_hash(self.arm.system)[:16]}")
        name = "+".join(parts)
        if known and model_name != name:
            raise ModelError(f"{model_name} has become {name}", "evaluate anew")
        super().__init__(name, url, key, [], config)
        asked = f"openai-api/vllm/{served}"
        self.inner = get_model(asked, base_url=url, api_key=key, memoize=False).api

    def max_tokens(self) -> int | None:
        return self.inner.max_tokens()

    def max_connections(self) -> int:
        return BATCH

    def connection_key(self) -> str:
        return str(self.base_url)

    def should_retry(self, ex: Exception) -> Any:
        return self.inner.should_retry(ex)

    async def generate(
        self,
        input: list[ChatMessage],  # noqa: A002 -- Inspect's name
        tools: list[ToolInfo],
        tool_choice: ToolChoice,
        config: GenerateConfig,
    ) -> Any:
        """The server's reply under the arm's system prompt, with a seed of the request's own."""
        if CHOICES in (config.extra_body or {}):
            raise InputError(
                "answers to choose from, for a served model",
                "take the task that asks in words, as social_generate, or the local engine",
            )
        asked = [message_of(m) for m in input]
        said = [ROLES[m.role](content=m.content) for m in with_system(asked, self.arm.system)]
        own = _settled(config, seed_of(config.seed or 0, asked, epoch.get(1) - 1))
        answer = await self.inner.generate(said, tools, tool_choice, own)
        output = answer[0] if isinstance(answer, tuple) else answer
        if isinstance(output, ModelOutput):
            output.metadata = {**(output.metadata or {}), "seed": own.seed}
        return answer


def _settled(config: GenerateConfig, seed: int) -> GenerateConfig:
    """Settings with nothing left to the server; `top_k` is no part of OpenAI's, but of vLLM's."""
    more = {"top_k": config.top_k or -1} | (config.extra_body or {})
    return config.merge(
        GenerateConfig(
            seed=seed,
            temperature=config.temperature or 0.0,
            top_p=1.0 if config.top_p is None else config.top_p,
            extra_body=more,
        )
    )


def _folder(arm: ModelArgs) -> Path:
    path = Path(arm.adapter or "")
    if arm.strength not in (None, 1.0):
        raise InputError(
            f"strength {arm.strength} of a served adapter",
            "vLLM applies adapters as they are: `personalign adapters compose` weakens one",
        )
    return path


class _Server:
    """What is asked of a server besides replies."""

    def __init__(self, url: str, key: str) -> None:
        self.url, self.key = url, key

    def card(self, base: str) -> dict[str, Any]:
        """What the server says of a base, apart from when it was started."""
        cards = self._cards()
        if base not in cards:
            raise unknown("model", base, cards)
        return {key: cards[base].get(key) for key in ("id", "root", "max_model_len")}

    def load(self, folder: Path) -> str:
        """Load an adapter if it is not there; the name under which it answers, its hash."""
        name = adapter_hash(folder)
        check_files(folder)  # a server answers as the base where it understands nothing
        if name not in self._cards():
            asked = {"lora_name": name, "lora_path": str(folder.resolve())}
            try:
                self._ask("load_lora_adapter", asked, ENABLE)
            except ModelError:
                if name not in self._cards():  # another process may have been faster
                    raise
        return name

    def _cards(self) -> dict[str, dict[str, Any]]:
        said = self._ask("models", None, "see that it is vLLM's address and key")
        try:
            return {str(card["id"]): dict(card) for card in json.loads(said)["data"]}
        except (ValueError, KeyError, TypeError) as e:
            raise ModelError(f"{self.url}/models lists no models", "mend the URL") from e

    def _ask(self, path: str, body: Any, remedy: str) -> str:
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = Request(f"{self.url}/{path}", data, headers)
        try:
            with build_opener(_Direct).open(request, timeout=LOADING) as answer:
                said: str = answer.read().decode()
                return said
        except HTTPError as e:
            told = " ".join(e.read(300).decode(errors="replace").split())
            raise ModelError(f"{self.url}/{path} answered {e.code}: {told}", remedy) from e
        except (OSError, HTTPException, ValueError) as e:
            raise ModelError(f"no server at {self.url}: {e}", "start it, or mend the URL") from e


class _Direct(HTTPRedirectHandler):
    """Follows nothing: a key is for the server that was named."""

    def redirect_request(self, *args: Any) -> None: ...


@modelapi(name="personalign-vllm")
def personalign_vllm() -> type[ModelAPI]:
    """Registers the provider: models named `personalign-vllm/<base as served>`."""
    return ServedAPI
