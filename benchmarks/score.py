"""Scoring: the same three-option items by prompt trees, one by one, and by lm-eval's hf model.

The rule is lm-eval's for SocialIQA: `Q: context question⏎A:` and ` answer`, highest summed
log-prob. With `--persona` its system prompt stands before every question.

    python benchmarks/score.py --data ../shared/data/socialiqa --limit 200 --persona INFP
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import torch

from personalign.evals import social
from personalign.models.engine import adopt
from personalign.models.local import LocalModel
from personalign.models.respondent import LocalRespondent
from personalign.models.trees import Tree
from personalign.personas import load

WAYS = ("trees", "one_by_one", "lm_eval")


def best(sums: list[float]) -> int:
    return max(range(len(sums)), key=sums.__getitem__)


def by_trees(local: LocalModel, trees: list[Tree], items: Any, head: str) -> list[int]:
    return [best([float(b.sum()) for b in branches]) for branches in local.score(trees)]


def one_by_one(local: LocalModel, trees: list[Tree], items: Any, head: str) -> list[int]:
    return [best([summed(local, t.prompt, b) for b in t.branches]) for t in trees]


@torch.inference_mode()
def summed(local: LocalModel, prompt: tuple[int, ...], branch: tuple[int, ...]) -> float:
    """One completion through the model's own logits."""
    ids = torch.tensor([prompt + branch], device=local.device)
    logits = local.model(ids).logits[0, len(prompt) - 1 : -1].float().log_softmax(-1)
    return float(logits.gather(1, torch.tensor(branch, device=local.device)[:, None]).sum())


def lm_eval(local: LocalModel, trees: list[Tree], items: Any, head: str) -> list[int]:
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    peer = HFLM(pretrained=local.model, tokenizer=local.tokenizer, batch_size=16)
    asked = [
        Instance("loglikelihood", {}, (f"{head}Q: {i.context} {i.question}\nA:", f" {a}"), k)
        for i in items
        for k, a in enumerate(i.answers)
    ]
    values = iter(peer.loglikelihood(asked, disable_tqdm=True))
    return [best([next(values)[0] for _ in i.answers]) for i in items]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="starter", help="starter, a file, or SocialIQA's folder")
    parser.add_argument("--limit", type=int, default=60, help="items")
    parser.add_argument("--base", default="embedded", help="embedded, a path or a Hub id")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--persona", help="put this persona's system prompt before each item")
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    local = LocalModel.load(args.base, args.dtype)
    items = social.read(args.data)[: args.limit]
    head = f"{load(args.persona).system_prompt()}\n\n" if args.persona else ""
    who = LocalRespondent(adopt(local))
    trees = [who.tree(social.plain(item, head)) for item in items]
    run: dict[str, Callable[..., list[int]]] = {
        "trees": by_trees,
        "one_by_one": one_by_one,
        "lm_eval": lm_eval,
    }
    speed, chosen = {}, {}
    for way in args.ways.split(","):
        run[way](local, trees[:2], items[:2], head)
        began = time.perf_counter()
        chosen[way] = run[way](local, trees, items, head)
        speed[way] = len(items) / (time.perf_counter() - began)
    result = {
        "items_per_s": {w: round(v, 2) for w, v in speed.items()},
        "ratio": {w: round(speed["trees"] / v, 2) for w, v in speed.items() if w != "trees"},
        "mismatches": {
            w: sum(a != b for a, b in zip(chosen["trees"], c, strict=True))
            for w, c in chosen.items()
            if w != "trees"
        },
    }
    if args.json:
        print(json.dumps(result))
        return
    print(f"{'way':14}{'items/s':>10}{'trees are faster':>18}{'other answers':>15}")
    for way in speed:
        ratio = f"{result['ratio'][way]:.2f} x" if way != "trees" else ""
        print(f"{way:14}{speed[way]:10.2f}{ratio:>18}{result['mismatches'].get(way, ''):>15}")


if __name__ == "__main__":
    main()
