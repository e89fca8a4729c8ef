"""The local engine as an Inspect model provider: one base in memory, an arm for each model name.

    inspect eval personalign/social --model personalign/embedded \\
        -M adapter=runs/quickstart/adapters/INFP -M persona=INFP -M condition=prompted+adapter

Inspect's cache of answers leaves model arguments out of its key. A model's name here therefore
says all that its answers depend on: base and weights' hash, number type and chat template,
adapter's hash and strength, system prompt's hash. A name that carries them already (from a log)
must come out the same again, or the model is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessage,
    ChatMessageAssistant,
    GenerateConfig,
    Model,
    ModelAPI,
    ModelOutput,
    ModelUsage,
    StopReason,
    get_model,
    modelapi,
)
from inspect_ai.model._cache import epoch  # what Inspect's own cache tells epochs apart by
from inspect_ai.tool import ToolChoice, ToolInfo

from personalign import personas
from personalign.errors import InputError, ModelError, unknown
from personalign.models.chat import prompt_tokens, reply_tree, with_system
from personalign.models.engine import BATCH, Draw, Rate, adopt, engine_for
from personalign.models.local import LocalModel, Sampling
from personalign.models.provenance import adapter_hash
from personalign.records import BASE, Condition, Message
from personalign.runs import content_hash

__all__ = [
    "CHOICES",
    "Arm",
    "PersonalignAPI",
    "arm",
    "base_of",
    "condition_of",
    "message_of",
    "model",
    "name_of",
    "own_seed",
    "personalign",
]

CHOICES = "choices"
"""Key of `GenerateConfig.extra_body` under which a list of answers is given to choose from."""

MAX_TOKENS = 256  # LAPD's limit
IDENTITY = re.compile(r"(?P<base>.+?)@[0-9a-f]{16}(?P<rest>\+.*)?")
DEFAULTS = GenerateConfig()
REFUSED = (
    "best_of",
    "frequency_penalty",
    "logit_bias",
    "modalities",
    "presence_penalty",
    "prompt_logprobs",
    "response_schema",
    "top_logprobs",
)


@dataclass(frozen=True, slots=True)
class Arm:
    """A persona under a condition: what the model is told, and through which adapter it answers.

    `adapter` is the name of an adapter in memory, or a folder; `strength` (0 to 2) is for a
    folder, an adapter in memory has its own.
    """

    persona: str = ""
    condition: Condition = BASE.condition
    system: str | None = None
    adapter: str | None = None
    strength: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "condition", Condition(self.condition))
        if bool(self.persona) == (not self.condition.parts):
            raise InputError(
                f"condition {self.condition!r} with persona {self.persona!r}",
                "base has no persona, every other condition has one",
            )
        for part, given in (("prompted", self.system), ("adapter", self.adapter)):
            if (part in self.condition.parts) != (given is not None):
                raise InputError(
                    f"condition {self.condition!r} {'without' if given is None else 'with'} "
                    f"{'a system prompt' if part == 'prompted' else 'an adapter'}",
                    "give what the condition names, and nothing else",
                )


def arm(
    persona: str = "",
    condition: str | None = None,
    system: str | None = None,
    adapter: str | None = None,
    strength: float | None = None,
) -> Arm:
    """An arm from model arguments, where a catalogue persona brings its own system prompt."""
    chosen = Condition(condition) if condition else condition_of(persona, adapter)
    if "prompted" in chosen.parts and system is None and persona:
        system = personas.load(persona).system_prompt()
    return Arm(persona, chosen, system, adapter, strength)


def condition_of(persona: str, adapter: str | None) -> Condition:
    """What an arm is that names no condition.

    An adapter means `adapter`, a persona alone `prompted`, neither `base`.
    """
    return Condition("adapter" if adapter else "prompted" if persona else "base")


def name_of(local: LocalModel, adapter: str | None, system: str | None) -> str:
    """All that answers depend on, in one name; see the module's first lines."""
    template = content_hash(local.tokenizer.chat_template)[:8]
    parts = [local.identity, f"{local.dtype}-{template}"]
    if adapter is not None:
        loaded = local.adapters[adapter]
        parts.append(f"adapter@{loaded.digest}x{loaded.strength!r}")
    if system is not None:
        parts.append(f"system@{content_hash(system)[:16]}")
    return "+".join(parts)


def base_of(model: str) -> str:
    """The base's identity in a model's name; other providers' names as they are."""
    name = re.sub(r"^personalign(-vllm)?/", "", model)
    known = IDENTITY.fullmatch(name)
    return name.removesuffix(known["rest"] or "") if known else name


def model(local: LocalModel, arm: Arm) -> Model:
    """An Inspect model for one arm of a base that is in memory."""
    engine = adopt(local)
    name = name_of(local, _loaded(engine.local, arm), arm.system)
    given = {key: value for key, value in asdict(arm).items() if value not in (None, "")}
    given |= {"dtype": local.dtype, "device": local.device.type}
    return get_model(f"personalign/{name}", memoize=False, **given)


def _loaded(local: LocalModel, arm: Arm) -> str | None:
    """The name under which an arm's adapter is in memory; loads it from its folder if need be."""
    if arm.adapter is None:
        return None
    if arm.adapter in local.adapters:
        if arm.strength not in (None, local.adapters[arm.adapter].strength):
            raise InputError(
                f"adapter {arm.adapter!r} is loaded at another strength than {arm.strength}",
                "name its folder, or leave the strength out",
            )
        return arm.adapter
    path, strength = Path(arm.adapter), 1.0 if arm.strength is None else float(arm.strength)
    if not path.is_dir():
        raise unknown("adapter", arm.adapter, [*local.adapters, "(or a folder)"])
    name = f"{adapter_hash(path)}x{strength!r}"
    if name not in local.adapters:
        local.add_adapter(name, path, strength)
    return name


class PersonalignAPI(ModelAPI):
    """Inspect's view of one arm; all arms of a base share its engine.

    Args:
        model_name: `embedded`, a folder or a Hub id, or a whole name from a log.
        base_url: Not used.
        api_key: Not used.
        config: Settings of generation; what cannot be honoured is an error.
        dtype: The base's number type.
        device: Where the base is.
        arm_args: `persona`, `condition`, `system`, `adapter`, `strength`; see `arm`.
    """

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig = DEFAULTS,
        dtype: str = "auto",
        device: str = "auto",
        **arm_args: Any,
    ) -> None:
        self.arm = arm(**arm_args)
        known = IDENTITY.fullmatch(model_name)
        self.engine = engine_for(known["base"] if known else model_name, dtype, device)
        local = self.engine.local
        self.adapter = _loaded(local, self.arm)
        name = name_of(local, self.adapter, self.arm.system)
        if known and model_name != (name if known["rest"] else local.identity):
            raise ModelError(
                f"{model_name} has become {name}",
                "its weights, adapter, template or system prompt have changed: evaluate anew",
            )
        super().__init__(name, base_url, api_key, [], config)

    def close(self) -> None:
        """The engine stays for the base's other arms."""

    def max_tokens(self) -> int:
        return MAX_TOKENS

    def max_connections(self) -> int:
        return BATCH

    def connection_key(self) -> str:
        return self.engine.local.identity

    async def count_text_tokens(self, text: str) -> int:
        return len(self.engine.local.tokenizer(text, add_special_tokens=False)["input_ids"])

    async def generate(
        self,
        input: list[ChatMessage],  # noqa: A002 -- Inspect's name
        tools: list[ToolInfo],
        tool_choice: ToolChoice,
        config: GenerateConfig,
    ) -> ModelOutput:
        """A reply, or where `config.extra_body` has `choices` the likeliest of them."""
        _check(tools, config)
        asked = [message_of(m) for m in input]
        prompt = with_system(asked, self.arm.system)
        if CHOICES in (config.extra_body or {}):
            return await self._choose(prompt, (config.extra_body or {})[CHOICES])
        tokens = prompt_tokens(self.engine.local.tokenizer, prompt)
        seed = own_seed(config.seed, asked)
        return await self._draw(tokens, config, seed)

    async def _draw(
        self, tokens: tuple[int, ...], config: GenerateConfig, seed: int
    ) -> ModelOutput:
        wanted = config.max_tokens or MAX_TOKENS
        room = self._window() - len(tokens)
        if room < 1:
            return self._output("", "model_length", len(tokens), 0)
        sampling = Sampling(
            max_new_tokens=min(wanted, room),
            temperature=config.temperature or 0.0,
            top_p=1.0 if config.top_p is None else config.top_p,
            top_k=config.top_k or 0,
            stop=tuple(config.stop_seqs or ()),
        )
        reply = await self.engine.draw(Draw(tokens, self.adapter, sampling, seed))
        full: StopReason = "max_tokens" if wanted <= room else "model_length"
        reason: StopReason = "stop" if reply.ended == "stop" else full
        return self._output(reply.text, reason, len(tokens), reply.tokens, {"seed": seed})

    async def _choose(self, prompt: Sequence[Message], choices: Sequence[str]) -> ModelOutput:
        if not choices:
            raise InputError("no answers to choose from", "give the sample `choices`")
        tree = reply_tree(self.engine.local.tokenizer, prompt, choices)
        if tree.depth > self._window():
            raise InputError(
                f"a prompt and answer of {tree.depth} tokens, in a window of {self._window()}",
                "shorten the prompt, or use a base with a longer window",
            )
        scored = await self.engine.rate(Rate(tree, self.adapter))
        sums = [float(s.sum()) for s in scored]
        if any(map(math.isnan, sums)):
            raise ModelError("log-probs of answers are no numbers", "load the base in float32")
        best = max(range(len(sums)), key=sums.__getitem__)
        found = {"log_probs": sums, "tokens": [len(s) for s in scored], "choice": best}
        return self._output(choices[best], "stop", tree.size, 0, found)

    def _window(self) -> int:
        config = self.engine.local.model.config.get_text_config()
        return int(getattr(config, "max_position_embeddings", None) or 2**31)

    def _output(
        self, text: str, reason: StopReason, read: int, written: int, more: Any = None
    ) -> ModelOutput:
        message = ChatMessageAssistant(content=text, model=self.model_name, source="generate")
        return ModelOutput(
            model=self.model_name,
            choices=[ChatCompletionChoice(message=message, stop_reason=reason)],
            usage=ModelUsage(input_tokens=read, output_tokens=written, total_tokens=read + written),
            metadata=more,
        )


def _check(tools: Sequence[ToolInfo], config: GenerateConfig) -> None:
    """Refuse what would otherwise be ignored."""
    asked = [key for key in REFUSED if getattr(config, key) is not None]
    asked += ["tools"] if tools else []
    asked += ["num_choices"] if (config.num_choices or 1) > 1 else []
    asked += ["logprobs"] if config.logprobs else []
    asked += [f"extra_body: {key}" for key in config.extra_body or {} if key != CHOICES]
    if asked:
        raise InputError(
            f"the local engine does not know {', '.join(asked)}",
            "leave it out, or serve the model with vLLM and name it by `openai-api/...`",
        )


def message_of(message: ChatMessage) -> Message:
    """A message of text as ours.

    Raises:
        InputError: for a tool's message, or one with more than text.
    """
    if message.role == "tool":
        raise InputError("a tool's message for the local engine", "use a task without tools")
    parts = () if isinstance(message.content, str) else message.content
    if other := [part.type for part in parts if part.type not in ("text", "reasoning")]:
        raise InputError(f"a message with {other[0]} for the local engine", "use a task of text")
    return Message(role=message.role, content=message.text)


def own_seed(seed: int | None, asked: Sequence[Message]) -> int:
    """A seed of its own for each prompt and epoch; arms share it, as common random numbers."""
    return int(content_hash([seed or 0, epoch.get(1), list(asked)])[:15], 16)


@modelapi(name="personalign")
def personalign() -> type[ModelAPI]:
    """Registers the provider: models named `personalign/<base>`."""
    return PersonalignAPI
