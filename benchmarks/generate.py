"""Generation: many prompts over several adapters, in one mixed batch and in other ways.

Every way writes the same number of tokens for the same prompts, greedily, and never ends early.

    engine       through the Inspect provider: concurrent calls, mixed batches
    per_adapter  one batch for each adapter, one after the other
    peft         one batch with PEFT's own `adapter_names`
    inspect_hf   Inspect's hf provider, one merged model for each adapter
    plain        transformers' generate, all prompts through one merged model

    python benchmarks/generate.py --prompts 8 --tokens 8
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from inspect_ai.model import GenerateConfig, Model, get_model

from personalign.models.local import LocalModel
from personalign.models.provider import ModelArgs, arm_model
from personalign.models.sampling import Sampling
from personalign.records import Message
from personalign.training.config import Lora
from personalign.training.trainer import with_lora

WAYS = ("engine", "per_adapter", "peft", "inspect_hf", "plain")


def save_adapters(base: str, dtype: str, folder: Path, count: int) -> dict[str, Path]:
    """Adapters of rank 16 on all linear layers, with weights that change answers."""
    found = {}
    for k in range(count):
        tuned = with_lora(LocalModel.load(base, dtype).model, Lora(), 0)
        torch.manual_seed(k)
        for name, weight in tuned.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=0.01)
        tuned.save_pretrained(folder / f"a{k}")
        found[f"a{k}"] = folder / f"a{k}"
    return found


def merged(local: LocalModel, adapter: Path, out: Path) -> Path:
    """A plain model with one adapter in its weights, saved."""
    from peft import PeftModel

    plain: Any = LocalModel.load(local.identity.rpartition("@")[0], local.dtype).model
    PeftModel.from_pretrained(plain, str(adapter)).merge_and_unload().save_pretrained(out)
    local.tokenizer.save_pretrained(out)
    return out


def never_end(model: Any, tokenizer: Any) -> None:
    ends = model.generation_config.eos_token_id
    ids = {tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])} - {None}
    model.generation_config.suppress_tokens = sorted(ids)


class Bench:
    """The same work, done in each way; each method returns how many tokens were written."""

    def __init__(self, args: argparse.Namespace, folder: Path) -> None:
        self.tokens, self.folder = args.tokens, folder
        self.local = LocalModel.load(args.base, args.dtype)
        self.paths = save_adapters(args.base, args.dtype, folder, args.adapters)
        for name, path in self.paths.items():
            self.local.add_adapter(name, path)
        never_end(self.local.model, self.local.tokenizer)
        self.texts = [f"Tell me about day {k} of your journey." for k in range(args.prompts)]
        self.names = [list(self.paths)[k % args.adapters] for k in range(args.prompts)]

    def engine(self) -> Callable[[], int]:
        arms = [ModelArgs("X", "adapter", adapter=name) for name in self.paths]
        models = {arm.adapter: arm_model(self.local, arm) for arm in arms}
        return lambda: self._ask([models[name] for name in self.names])

    def _ask(self, models: Sequence[Model]) -> int:
        config = GenerateConfig(max_tokens=self.tokens, max_connections=len(models))

        async def all_at_once() -> list[Any]:
            asked = zip(models, self.texts, strict=True)
            return await asyncio.gather(*(m.generate(t, config=config) for m, t in asked))

        return sum(o.usage.output_tokens for o in asyncio.run(all_at_once()))

    @property
    def prompts(self) -> list[tuple[int, ...]]:
        said = ([Message(role="user", content=text)] for text in self.texts)
        return [self.local.chat.prompt(s) for s in said]

    def per_adapter(self) -> Callable[[], int]:
        def work() -> int:
            written = 0
            for name in self.paths:
                own = [p for p, n in zip(self.prompts, self.names, strict=True) if n == name]
                sampling, seeds = Sampling(self.tokens), [0] * len(own)
                drawn = self.local.draw(own, [name] * len(own), sampling, seeds)
                written += sum(g.tokens for g in drawn)
            return written

        return work

    def peft(self) -> Callable[[], int]:
        handles = [self.local.adapters[name].handle for name in self.names]
        return lambda: self._plain(self.local.model, adapter_names=handles)

    def plain(self) -> Callable[[], int]:
        from transformers import AutoModelForCausalLM

        path = merged(self.local, self.paths["a0"], self.folder / "plain")
        whole: Any = AutoModelForCausalLM.from_pretrained(path, dtype=self.local.model.dtype)
        never_end(whole, self.local.tokenizer)
        return lambda: self._plain(whole)

    @torch.inference_mode()
    def _plain(self, model: Any, **more: Any) -> int:
        tokenizer = self.local.tokenizer
        rows = {"input_ids": [list(p) for p in self.prompts]}
        batch = tokenizer.pad(rows, padding_side="left", return_tensors="pt").to(model.device)
        out = model.generate(**batch, max_new_tokens=self.tokens, do_sample=False, **more)
        return int((out.shape[1] - batch["input_ids"].shape[1]) * len(out))

    def inspect_hf(self) -> Callable[[], int]:
        place = {"device": self.local.device.type, "dtype": self.local.model.dtype}
        models: dict[str, Any] = {}
        for name, path in self.paths.items():
            whole = merged(self.local, path, self.folder / f"merged-{name}")
            models[name] = get_model(
                f"hf/{name}", model_path=str(whole), tokenizer_path=str(whole), do_sample=False,
                memoize=False, **place,
            )  # fmt: skip
            never_end(models[name].api.model, self.local.tokenizer)
        return lambda: self._ask([models[name] for name in self.names])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=64, help="new tokens a prompt")
    parser.add_argument("--adapters", type=int, default=4)
    parser.add_argument("--base", default="embedded", help="embedded, a path or a Hub id")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--repeat", type=int, default=1, help="the fastest run counts")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    speed, expected = {}, args.prompts * args.tokens
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(args, Path(folder))
        for way in args.ways.split(","):
            work = getattr(bench, way)()
            times = []
            for _ in range(args.repeat + 1):  # the first warms up
                began = time.perf_counter()
                written = work()
                times.append(time.perf_counter() - began)
                assert written == expected, f"{way} wrote {written} tokens, not {expected}"
            speed[way] = expected / min(times[1:])
            del work
            gc.collect()
    first = next(iter(speed))
    result = {
        "device": bench.local.device.type,
        "dtype": bench.local.dtype,
        "tokens_per_s": {w: round(v, 1) for w, v in speed.items()},
        "ratio": {w: round(speed[first] / v, 2) for w, v in speed.items() if w != first},
    }
    if args.json:
        print(json.dumps(result))
        return
    print(f"{'way':14}{'tokens/s':>10}{first + ' is faster':>22}")
    for way, value in speed.items():
        ratio = f"{result['ratio'][way]:.2f} x" if way != first else ""
        print(f"{way:14}{value:10.1f}{ratio:>22}")


if __name__ == "__main__":
    main()
