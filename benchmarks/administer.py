"""Psychometrics: all local measures of one adapter under one condition, and one call per item.

Log-probs of 64 pairs of statements in three ways of asking, expected ratings of 64 statements and
letters for 64 pairs in twelve forms each, and sixteen replies to 24 situations; as prompt trees,
and on a few items with a call of its own for each question or reply. The floor is what the matrix
products alone would take at the speed measured here. Of the forms, the first two are both orders
of the options, the first four both wordings too, and all twelve three layouts.

    python benchmarks/administer.py --adapter runs/quickstart/adapters/INFP --persona INFP
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from personalign.corpus.scenes import load as load_scenes
from personalign.corpus.scenes import select
from personalign.models.local import LocalModel
from personalign.models.respondent import Respondent, respondent
from personalign.models.trees import Tree
from personalign.personas import load
from personalign.psychometrics import letters, likert
from personalign.psychometrics.administer import behaviour, statements
from personalign.psychometrics.inventory import pair_inventory, statement_inventory
from personalign.psychometrics.wording import CHOICES, RATINGS

ADAPTER = "adapter"


class OneByOne(LocalModel):
    """Asks with a call for each completion, or for each question where one token answers it."""

    @torch.inference_mode()
    def score(
        self, trees: Sequence[Tree], adapter: str | None = None, progress: Any = None
    ) -> list[list[Tensor]]:
        with self.use(adapter):
            return [self._tree(tree) for tree in trees]

    def _tree(self, tree: Tree) -> list[Tensor]:
        if all(len(branch) == 1 for branch in tree.branches):
            after = self._log_probs(tree.prompt, 1)[-1]
            return [after[list(branch)] for branch in tree.branches]
        return [self._branch(tree.prompt, branch) for branch in tree.branches]

    def _branch(self, prompt: tuple[int, ...], branch: tuple[int, ...]) -> Tensor:
        rows = self._log_probs(prompt + branch[:-1], len(branch))
        return rows.gather(1, torch.tensor(branch, device=rows.device)[:, None])[:, 0]

    def _log_probs(self, tokens: tuple[int, ...], last: int) -> Tensor:
        ids = torch.tensor([tokens], device=self.device)
        return self.model(ids, logits_to_keep=last).logits[0].float().log_softmax(-1)


class Counter:
    """Tokens that went through the decoder, and how many of them went through the head."""

    def __init__(self, local: LocalModel) -> None:
        self.tokens = self.predicting = 0
        decoder = local.model.get_decoder()
        decoder.register_forward_pre_hook(self._see, with_kwargs=True)
        score = local.score

        def counted(trees: Sequence[Tree], *rest: Any) -> list[list[Tensor]]:
            self.predicting += sum(1 + t.size - len(t.prompt) for t in trees)
            return score(trees, *rest)

        local.score = counted  # type: ignore[method-assign]

    def _see(self, module: Any, args: Any, given: dict[str, Any]) -> None:
        self.tokens += given["input_ids"].numel()


def flops(local: LocalModel) -> float:
    """Floating-point operations a second of the model's own widest product, measured."""
    config = local.model.config
    x = torch.randn(2048, config.hidden_size, dtype=local.model.dtype, device=local.device)
    w = torch.randn(config.intermediate_size, config.hidden_size, dtype=x.dtype, device=x.device)
    seconds = []
    for _ in range(12):
        began = time.perf_counter()
        (x @ w.T).sum().item()
        seconds.append(time.perf_counter() - began)
    return 2 * x.shape[0] * w.numel() / min(seconds)


def sizes(local: LocalModel) -> tuple[int, int]:
    """Weights that each token of the decoder meets, and that each predicting token meets."""
    decoder = local.model.get_decoder()
    linear = sum(
        p.numel() for n, p in decoder.named_parameters() if p.dim() == 2 and "embed" not in n
    )
    return linear, local.model.get_output_embeddings().weight.numel()


def measures(scenes: int, items: int, forms: int) -> dict[str, Callable[[Respondent], list[Any]]]:
    """Name → what asks it."""
    situations = select(load_scenes("starter/mbti"), "measure", scenes)
    pairs, sentences = pair_inventory(), statement_inventory()
    pairs = pairs.model_copy(update={"items": pairs.items[:: len(pairs.items) // items]})
    sentences = sentences.model_copy(
        update={"items": sentences.items[:: len(sentences.items) // items]}
    )
    return {
        "behaviour": lambda who: list(behaviour(who, situations)),
        "statements": lambda who: list(statements(who, pairs)),
        "ratings": lambda who: list(likert.expected(who, sentences, RATINGS[:forms])),
        "letters": lambda who: list(letters.letters(who, pairs, CHOICES[:forms])),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", default="embedded", help="embedded, a path or a Hub id")
    parser.add_argument("--adapter", type=Path, help="folder of a LoRA adapter")
    parser.add_argument("--persona", help="ask under this persona's system prompt")
    parser.add_argument("--scenes", type=int, default=24, help="situations, of 24")
    parser.add_argument("--items", type=int, default=64, help="pairs and statements, of 64 each")
    parser.add_argument("--forms", type=int, default=12, help="forms of ratings and of letters")
    parser.add_argument("--alone", type=int, default=1, help="situations one by one, and 4 x items")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    local = LocalModel.load(args.base, args.dtype)
    speed, (linear, head) = flops(local), sizes(local)
    if args.adapter:
        local.add_adapter(ADAPTER, args.adapter)
    system = load(args.persona).system_prompt() if args.persona else None
    adapter = ADAPTER if args.adapter else None
    one = OneByOne(local.model, local.tokenizer, local.identity, local.adapters)
    few = measures(args.alone, 4 * args.alone, args.forms) if args.alone else {}
    counter, result = Counter(local), {}
    for name, ask in measures(args.scenes, args.items, args.forms).items():
        ask_few = few.get(name)
        counter.tokens = counter.predicting = 0
        began = time.perf_counter()
        rows = ask(respondent(local, system, adapter))
        seconds = time.perf_counter() - began
        work = 2 * (counter.tokens * linear + counter.predicting * head)
        result[name] = {
            "rows": len(rows),
            "seconds": seconds,
            "tokens": counter.tokens,
            "floor_s": work / speed,
        }
        if ask_few:
            began = time.perf_counter()
            few_rows = ask_few(respondent(one, system, adapter))
            spent = time.perf_counter() - began
            known = {row[:2]: row[2] for row in rows}
            result[name] |= {
                "one_by_one_rows": len(few_rows),
                "one_by_one_s": spent,
                "one_by_one_extrapolated_s": spent * len(rows) / len(few_rows),
                "largest_difference": max(abs(known[r[:2]] - r[2]) for r in few_rows),
            }
    report(result, speed, args)


def report(result: dict[str, dict[str, Any]], speed: float, args: argparse.Namespace) -> None:
    total = {
        key: sum(m.get(key, 0.0) for m in result.values())
        for key in ("rows", "tokens", "seconds", "floor_s", "one_by_one_extrapolated_s")
    }
    if args.json:
        print(json.dumps({"gflops": speed / 1e9, "measures": result, "total": total}))
        return
    print(f"{speed / 1e9:.0f} GFLOP/s in one product, {args.threads} thread(s)")
    print(f"{'measure':12}{'rows':>7}{'tokens':>9}{'floor s':>9}{'trees s':>9}{'one by one s':>26}")
    for name, m in (result | {"total": total}).items():
        extrapolated, asked = m["one_by_one_extrapolated_s"], m.get("one_by_one_rows")
        beside = f"{extrapolated:.0f} (extrapolated" + (f" from {asked} rows)" if asked else ")")
        print(
            f"{name:12}{m['rows']:7}{m['tokens']:9}{m['floor_s']:9.1f}{m['seconds']:9.1f}"
            f"{beside if extrapolated else '':>34}"
        )


if __name__ == "__main__":
    main()
