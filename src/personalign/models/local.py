"""One base model, any number of LoRA adapters by name: scoring and generation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import count
from pathlib import Path
from threading import RLock
from typing import Any, Literal

import torch
from torch import Tensor

from personalign.errors import InputError, unknown
from personalign.models import embedded
from personalign.models.chat import Chat
from personalign.models.compatibility import check_servable
from personalign.models.fitting import check_fit, check_strength, layers_of
from personalign.models.folding import fold
from personalign.models.loading import loaded
from personalign.models.mixing import mixed
from personalign.models.provenance import adapter_hash, check_base
from personalign.models.sampling import Sampling, SeededGumbel, processors
from personalign.models.thoughts import Thinking
from personalign.models.trees import Tree, score_trees
from personalign.progress import Progress, silent
from personalign.records import Message

__all__ = [
    "Adapter",
    "Generation",
    "LocalModel",
    "best_device",
    "best_dtype",
]

MAX_STRENGTH = 2.0


def best_device() -> str:
    """`cuda` where there is one, `cpu` otherwise."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def best_dtype(device: str) -> torch.dtype:
    """bfloat16 where the device multiplies in it faster than in float32, float32 otherwise."""
    if device == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    has = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if has else torch.float32


@dataclass(frozen=True, slots=True)
class Generation:
    """A drawn reply: its tokens, its seed, why it ended, and the tokens of what it answers.

    `text` is without thoughts, which `tokens` counts. `ids` are the tokens themselves, with the end
    of turn where it was drawn: what log-probs of the reply are taken of.
    """

    text: str
    tokens: int
    seed: int
    ended: Literal["stop", "length"] = "stop"
    read: int = 0
    ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Adapter:
    """A loaded adapter.

    Attributes:
        handle: PEFT's name for it, which no other ever has.
        digest: A hash of its files.
        strength: From 0 to 2.
        mixes: It is a low-rank update and nothing else, so that its rows can share a batch.
    """

    handle: str
    digest: str
    strength: float
    mixes: bool


@dataclass
class LocalModel:
    """A base model in memory, with adapters that can be chosen per call.

    Which adapter answers is a state of the model: one thread at a time scores, draws or loads.

    Attributes:
        identity: Base name and a hash of its weights; with an adapter's own hash it names a
            model completely, so that no cache can mix two.
        adapters: The loaded adapters by name.
        thinking: Does it think before replies, where it can?
    """

    model: Any
    tokenizer: Any
    identity: str
    adapters: dict[str, Adapter] = field(default_factory=dict)
    thinking: Thinking = "off"

    def __post_init__(self) -> None:
        self._layers = layers_of(self.model)
        self._handles = (f"adapter_{n}" for n in count())  # PEFT refuses "half" or "v1.5"
        self._alone = RLock()

    @classmethod
    def load(
        cls,
        base: str = embedded.EMBEDDED,
        dtype: str = "auto",
        device: str = "auto",
        thinking: Thinking = "off",
    ) -> LocalModel:
        """Load a base: `embedded`, a local folder, or a Hub id.

        Raises:
            ModelError: where no weights are found, or prompt trees would be computed wrongly.
        """
        from transformers import AutoModelForCausalLM, AutoTokenizer

        device = best_device() if device == "auto" else device
        number = best_dtype(device) if dtype == "auto" else getattr(torch, dtype, None)
        if not isinstance(number, torch.dtype):
            raise unknown("dtype", dtype, ["auto", "float32", "bfloat16", "float16"])
        path = embedded.resolve(base)
        try:
            tokenizer = AutoTokenizer.from_pretrained(path)
            model: Any = AutoModelForCausalLM.from_pretrained(path, dtype=number)
        except (OSError, ValueError) as e:
            raise embedded.cannot_load(base, e) from e
        check_servable(model)
        model.to(device).eval().requires_grad_(False)
        return cls(model, tokenizer, embedded.identity(base), thinking=thinking)

    @cached_property
    def chat(self) -> Chat:
        """How it is asked; probed when first used."""
        return Chat(self.tokenizer, self.thinking)

    @property
    def dtype(self) -> str:
        """The base's number type, such as `float32`."""
        return str(self.model.dtype).removeprefix("torch.")

    @property
    def device(self) -> torch.device:
        """Where the base is."""
        device: torch.device = self.model.device
        return device

    def add_adapter(self, name: str, path: Path, strength: float = 1.0) -> None:
        """Load a LoRA adapter (PEFT format) under a name, at a strength from 0 to 2.

        It is loaded exactly or not at all: see `fitting`. Waits for what the model is doing.

        Raises:
            ModelError: where the folder holds no adapter, one for another base, or one that is
                more than an update of linear layers.
            InputError: where the strength is out of range or the name is taken.
        """
        if not 0 <= strength <= MAX_STRENGTH:
            raise InputError(f"strength {strength} of adapter {name!r}", "choose 0 to 2")
        with self._alone:
            if name in self.adapters:
                raise InputError(f"an adapter {name!r} is loaded already", "use another name")
            digest = adapter_hash(path)
            settings = check_fit(path, self._layers)
            check_base(path, self.identity)
            check_strength(path, settings, strength)
            handle = next(self._handles)
            self.model = loaded(self.model, path, handle)
            self.model.eval().requires_grad_(False)
            _scale(self.model, handle, strength)
            fold(self.model)
            mixes = not (settings.get("use_dora") or settings.get("lora_bias"))
            self.adapters[name] = Adapter(handle, digest, strength, mixes)

    def use(self, adapter: str | None) -> AbstractContextManager[Any]:
        """A context in which the model answers through one adapter, or through none."""
        if not self.adapters:
            if adapter is not None:
                raise unknown("adapter", adapter, [])
            return nullcontext()
        if adapter is None:
            base: AbstractContextManager[Any] = self.model.disable_adapter()
            return base
        if adapter not in self.adapters:
            raise unknown("adapter", adapter, self.adapters)
        self.model.set_adapter(self.adapters[adapter].handle)
        self.model.requires_grad_(False)
        return nullcontext()

    def score(
        self,
        trees: Sequence[Tree],
        adapter: str | None = None,
        progress: Progress = silent,
    ) -> list[list[Tensor]]:
        """Per-token log-probs in nats of every branch of every tree; see `score_trees`."""
        with self._alone, self.use(adapter):
            return score_trees(self.model, trees, progress=progress)

    def generate(
        self,
        prompts: Sequence[Sequence[Message]],
        adapters: Sequence[str | None],
        sampling: Sampling,
        seeds: Sequence[int],
        batch: int = 16,
        progress: Progress = silent,
    ) -> list[Generation]:
        """Free-text replies, batched over prompts with any mixture of adapters.

        Each request is drawn with its own seed, whatever batch it falls into.
        """
        tokens = [self.chat.prompt(p) for p in prompts]
        out: list[Generation | None] = [None] * len(prompts)
        order = sorted(range(len(prompts)), key=lambda i: len(tokens[i]))
        for start in range(0, len(order), batch):
            part = order[start : start + batch]
            replies = self.draw(
                [tokens[i] for i in part],
                [adapters[i] for i in part],
                sampling,
                [seeds[i] for i in part],
            )
            for i, reply in zip(part, replies, strict=True):
                out[i] = reply
            progress(len(part))
        return [g for g in out if g is not None]

    def draw(
        self,
        prompts: Sequence[tuple[int, ...]],
        adapters: Sequence[str | None],
        sampling: Sampling,
        seeds: Sequence[int],
    ) -> list[Generation]:
        """Replies to prompts given as tokens, all in one batch; see `generate`."""
        from personalign.models.decoding import decode

        pad = self._pad
        width = max(map(len, prompts))
        ids = torch.tensor([(pad,) * (width - len(p)) + p for p in prompts], device=self.device)
        seen = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
        noise = SeededGumbel(seeds)
        inference = torch.inference_mode()
        with self._alone, inference, self._neutral(), self._answering(adapters) as mixture:

            def keep(rows: Tensor) -> None:
                mixture(rows)
                noise.keep(rows)

            full = self.model.generate(
                custom_generate=partial(decode, keep=keep),
                input_ids=ids,
                attention_mask=seen.to(self.device),
                max_new_tokens=sampling.max_new_tokens,
                use_cache=True,
                cache_implementation="dynamic",
                num_beams=1,
                do_sample=False,
                pad_token_id=pad,
                eos_token_id=self.stops(),
                logits_processor=processors(sampling, noise),
                stopping_criteria=self._stop_texts(sampling),
            )
        rows = (row[width:].tolist() for row in full)
        return [
            self._decode(row, sampling, seed, len(prompt))
            for row, seed, prompt in zip(rows, seeds, prompts, strict=True)
        ]

    @contextmanager
    def _answering(self, adapters: Sequence[str | None]) -> Iterator[Callable[[Tensor], None]]:
        """A context in which row b of a batch is answered through `adapters[b]`; see `mixed`."""
        if len(set(adapters)) == 1:
            with self.use(adapters[0]):
                yield lambda rows: None
            return
        if missing := [a for a in adapters if a and a not in self.adapters]:
            raise unknown("adapter", missing[0], self.adapters)
        handles = [self.adapters[a].handle if a else None for a in adapters]
        with mixed(self.model, handles) as keep:
            yield keep

    @contextmanager
    def _neutral(self) -> Iterator[None]:
        """A context in which the base's own settings of generation have no say.

        A penalty or temperature that a base brings would enter replies that do not name it.
        """
        adapted = hasattr(self.model, "get_base_model")
        base = self.model.get_base_model() if adapted else self.model
        own = base.generation_config
        ids = {key: getattr(own, key) for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
        base.generation_config = type(own)(**ids)
        try:
            yield
        finally:
            base.generation_config = own

    @property
    def _pad(self) -> int:
        return self.tokenizer.pad_token_id or self.tokenizer.eos_token_id or 0

    def stops(self) -> list[int]:
        """Tokens that end a reply."""
        end = self.model.generation_config.eos_token_id
        known = [] if end is None else [end] if isinstance(end, int) else list(end)
        if self.tokenizer.eos_token_id is not None:
            known.append(self.tokenizer.eos_token_id)
        return sorted(set(known))

    def _stop_texts(self, sampling: Sampling) -> list[Any]:
        from transformers import StopStringCriteria

        return [StopStringCriteria(self.tokenizer, list(sampling.stop))] if sampling.stop else []

    def _decode(self, tokens: list[int], sampling: Sampling, seed: int, read: int) -> Generation:
        ends = {*self.stops(), self._pad}  # a row that is done before its batch is padded
        length = next((i for i, t in enumerate(tokens) if t in ends), len(tokens))
        text = self.chat.said(tokens[:length])
        cuts = [at for stop in sampling.stop if (at := text.find(stop)) >= 0]
        whole = length < sampling.max_new_tokens or bool(cuts)
        text = text[: min(cuts, default=len(text))].strip()
        drawn = tuple(tokens[: length if cuts else length + 1])  # with the end of turn
        return Generation(text, length, seed, "stop" if whole else "length", read, drawn)


def _scale(model: Any, name: str, strength: float) -> None:
    from peft.tuners.lora import LoraLayer

    for module in model.modules():
        if isinstance(module, LoraLayer) and name in module.scaling:
            module.scaling[name] *= strength
