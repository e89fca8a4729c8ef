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
from asyncio import wrap_future
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

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
from personalign.models.engine import BATCH, adopt, engine_for
from personalign.models.local import LocalModel
from personalign.models.respondent import Candidates, Respondent, respondent, seed_of
from personalign.models.sampling import Sampling
from personalign.models.thoughts import Thinking, as_thinking
from personalign.records import BASE, Condition, Message

__all__ = [
    "CHOICES",
    "ModelArgs",
    "PersonalignAPI",
    "arm_model",
    "asked",
    "base_of",
    "condition_of",
    "message_of",
    "model",
    "model_args",
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
class ModelArgs:
    """Inspect's arguments of a model: an arm, what it is told, and which adapter answers.

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


def model_args(
    persona: str = "",
    condition: str | None = None,
    system: str | None = None,
    adapter: str | None = None,
    strength: float | None = None,
) -> ModelArgs:
    """Model arguments, where a catalogue persona brings its own system prompt."""
    chosen = Condition(condition) if condition else condition_of(persona, adapter)
    if "prompted" in chosen.parts and system is None and persona:
        system = personas.load(persona).system_prompt()
    return ModelArgs(persona, chosen, system, adapter, strength)


def condition_of(persona: str, adapter: str | None) -> Condition:
    """What an arm is that names no condition.

    An adapter means `adapter`, a persona alone `prompted`, neither `base`.
    """
    return Condition("adapter" if adapter else "prompted" if persona else "base")


def base_of(model: str) -> str:
    """The base's identity in a model's name; other providers' names as they are."""
    name = re.sub(r"^personalign(-vllm)?/", "", model)
    known = IDENTITY.fullmatch(name)
    return name.removesuffix(known["rest"] or "") if known else name


def model(who: Respondent, **given: Any) -> Model:
    """An Inspect model of a respondent.

    Args:
        given: Goes into the log, where `logs.rows` reads `persona`, `condition` and `seed`.
    """
    _respondents[who.name] = who
    return get_model(f"personalign/{who.name}", memoize=False, **given)


_respondents: WeakValueDictionary[str, Respondent] = WeakValueDictionary()
"""Those that `model` was given, by the name that says all that their answers depend on."""


def arm_model(local: LocalModel, args: ModelArgs) -> Model:
    """An Inspect model for one arm of a base that is in memory."""
    given = {key: value for key, value in asdict(args).items() if value not in (None, "")}
    return model(asked(local, args), **given)


def asked(local: LocalModel, args: ModelArgs) -> Respondent:
    """Who answers for these arguments; loads the adapter from its folder if need be."""
    return respondent(local, args.system, _loaded(local, args))


def _loaded(local: LocalModel, arm: ModelArgs) -> str | None:
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
    return adopt(local).adapter_of(path, strength)


def _found(
    name: str, dtype: str, device: str, thinking: Thinking, args: dict[str, Any]
) -> Respondent:
    """Who bears a name: `embedded`, a folder, a Hub id, or a whole name from a log."""
    known = IDENTITY.fullmatch(name)
    engine = engine_for(known["base"] if known else name, dtype, device, thinking)
    who = asked(engine.local, model_args(**args))
    if known and name != (who.name if known["rest"] else engine.local.identity):
        raise ModelError(
            f"{name} has become {who.name}",
            "its weights, adapter, template or system prompt have changed: evaluate anew",
        )
    return who


class PersonalignAPI(ModelAPI):
    """Inspect's view of one arm; all arms of a base share its engine.

    Args:
        model_name: `embedded`, a folder or a Hub id, or a whole name from a log.
        base_url: Not used.
        api_key: Not used.
        config: Settings of generation; what cannot be honoured is an error.
        dtype: The base's number type.
        device: Where the base is.
        thinking: `on` or `off`: does it think before replies?
        arm_args: `persona`, `condition`, `system`, `adapter`, `strength`; see `model_args`.
    """

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig = DEFAULTS,
        dtype: str = "auto",
        device: str = "auto",
        thinking: Any = "off",
        **arm_args: Any,
    ) -> None:
        self.respondent = _respondents.get(model_name) or _found(
            model_name, dtype, device, as_thinking(thinking), arm_args
        )
        super().__init__(self.respondent.name, base_url, api_key, [], config)

    def close(self) -> None:
        """The engine stays for the base's other arms."""

    def max_tokens(self) -> int:
        return MAX_TOKENS

    def max_connections(self) -> int:
        return BATCH

    def connection_key(self) -> str:
        return base_of(self.model_name)

    async def count_text_tokens(self, text: str) -> int:
        return len(text) // 4  # for Inspect's display: the answers' own counts are exact

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
        if CHOICES in (config.extra_body or {}):
            return await self._choose(asked, (config.extra_body or {})[CHOICES])
        seed = seed_of(config.seed or 0, asked, epoch.get(1) - 1)
        return await self._draw(asked, config, seed)

    async def rate(self, asked: Candidates) -> tuple[list[float], list[int]]:
        """Summed log-probs in nats, and numbers of tokens, of what could be said."""
        (scored,) = await wrap_future(self.respondent.scoring([asked]))
        return [float(s.sum()) for s in scored], [len(s) for s in scored]

    async def _draw(
        self, prompt: Sequence[Message], config: GenerateConfig, seed: int
    ) -> ModelOutput:
        sampling = Sampling(
            max_new_tokens=config.max_tokens or MAX_TOKENS,
            temperature=config.temperature or 0.0,
            top_p=1.0 if config.top_p is None else config.top_p,
            top_k=config.top_k or 0,
            stop=tuple(config.stop_seqs or ()),
        )
        (asked,) = self.respondent.drawing([prompt], sampling, [seed])
        reply = await wrap_future(asked)
        full = reply.tokens < sampling.max_new_tokens  # of the window, not of what was asked for
        cut: StopReason = "model_length" if full else "max_tokens"
        reason: StopReason = "stop" if reply.ended == "stop" else cut
        return self._output(reply.text, reason, reply.read, reply.tokens, {"seed": seed})

    async def _choose(self, prompt: Sequence[Message], choices: Sequence[str]) -> ModelOutput:
        if not choices:
            raise InputError("no answers to choose from", "give the sample `choices`")
        sums, counts = await self.rate(Candidates(prompt, choices))
        if any(map(math.isnan, sums)):
            raise ModelError("log-probs of answers are no numbers", "load the base in float32")
        best = max(range(len(sums)), key=sums.__getitem__)
        found = {"log_probs": sums, "tokens": counts, "choice": best}
        return self._output(choices[best], "stop", sum(counts), 0, found)

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


@modelapi(name="personalign")
def personalign() -> type[ModelAPI]:
    """Registers the provider: models named `personalign/<base>`."""
    return PersonalignAPI
