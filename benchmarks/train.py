"""Training: the same pairs, model, order, LoRA and dtype through this trainer and through TRL.

Everything is counted from the loaded model to the trained adapter, the reference included, over
2 epochs. Each way runs in a process of its own, in turn; the medians of `--repeat` are compared.

    python benchmarks/train.py --limit 32 --repeat 3

Tokens are those of prompt, chosen and rejected reply, each once an epoch whatever a way computes;
TFLOP/s count four operations a weight and token (forward, and backward of the activations).

    python benchmarks/random_llama.py /tmp/8b     # on a GPU, without a model hub
    python benchmarks/train.py --base /tmp/8b --lengths 128,64 --pairs 64 --repeat 3
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

WAYS = ("ours", "trl_default", "trl_best")
EPOCHS, BATCH, RATE, BETA, RANK = 2, 8, 2e-4, 0.1, 16


def pairs(args: argparse.Namespace) -> list[Any]:
    from personalign.corpus.pairs import opposite_pairs
    from personalign.corpus.scenes import load, select

    if args.lengths:
        return random_pairs(args.pairs or args.limit, *args.lengths)
    made = opposite_pairs(select(load(args.data), "build", args.limit), "INFP", "ESTJ")
    return [made[i % len(made)] for i in range(args.pairs or len(made))]


def random_pairs(count: int, prompt: int, reply: int) -> list[Any]:
    """Pairs of random words, about so many tokens long."""
    import random

    from personalign.records import Message, PreferencePair

    rng = random.Random(0)

    def said(role: Any, tokens: int) -> Message:
        words = rng.choices(["day", "house", "water", "time", "people", "work"], k=tokens)
        return Message(role=role, content=" ".join(words))

    return [
        PreferencePair(
            prompt=(said("user", prompt),),
            chosen=(said("assistant", reply),),
            rejected=(said("assistant", reply),),
            origin={"scene": f"random-{k}"},
        )
        for k in range(count)
    ]


def ours(args: argparse.Namespace, local: Any, data: list[Any], out: Path) -> dict[str, Any]:
    import os

    from personalign.training.config import Lora, TrainingConfig
    from personalign.training.trainer import examples, train

    os.environ["PERSONALIGN_CACHE"] = str(out / "cache")  # no reference from an earlier run
    settings = TrainingConfig(
        epochs=EPOCHS,
        batch_size=BATCH,
        micro_batch=args.micro_batch,
        learning_rate=RATE,
        beta=BETA,
        schedule="linear",
        warmup=0,
        checkpoint_steps=10_000,
        lora=Lora(rank=RANK, alpha=RANK),
    )
    began = time.perf_counter()
    made = examples(local, data)
    reference = time.perf_counter() - began
    history = train(local, made, settings, out)
    return {"losses": [h["loss"] for h in history], "reference": reference, "began": began}


def trl(
    args: argparse.Namespace, local: Any, data: list[Any], out: Path, best: bool
) -> dict[str, Any]:
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    from personalign.training.config import Lora
    from personalign.training.trainer import with_lora

    rows = Dataset.from_list([p.model_dump(include={"prompt", "chosen", "rejected"}) for p in data])
    tuned: dict[str, Any] = (
        {
            "gradient_checkpointing": False,
            "precompute_ref_log_probs": True,
            "per_device_train_batch_size": args.trl_batch,
            "gradient_accumulation_steps": BATCH // args.trl_batch,
        }
        if best
        else {"per_device_train_batch_size": BATCH}
    )
    config = DPOConfig(
        output_dir=str(out),
        num_train_epochs=EPOCHS,
        learning_rate=RATE,
        beta=BETA,
        logging_steps=1,
        report_to=[],
        save_strategy="no",
        use_cpu=local.device.type == "cpu",
        bf16=local.dtype == "bfloat16",
        seed=0,
        data_seed=0,
        disable_tqdm=True,
        **tuned,
    )
    began = time.perf_counter()
    model = with_lora(local.model, Lora(rank=RANK, alpha=RANK), seed=0)
    trainer = DPOTrainer(
        model=model, args=config, train_dataset=rows, processing_class=local.tokenizer
    )
    trainer.train()
    losses = [h["loss"] for h in trainer.state.log_history if "loss" in h]
    return {"losses": losses, "began": began}


def one(args: argparse.Namespace) -> None:
    """Run one way in this process and print its result as JSON."""
    import torch

    from personalign.models.local import LocalModel

    torch.set_num_threads(args.threads)
    local = LocalModel.load(args.base, args.dtype)
    data = pairs(args)
    with tempfile.TemporaryDirectory() as folder:
        if args.way == "ours":
            result = ours(args, local, data, Path(folder))
        else:
            result = trl(args, local, data, Path(folder), best=args.way == "trl_best")
        result["seconds"] = time.perf_counter() - result.pop("began")
    result["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    if local.device.type == "cuda":
        result["peak_mib"] = torch.cuda.max_memory_allocated() // 2**20
    trees = [p.prompt + p.chosen + p.rejected for p in data]
    read = sum(len(local.tokenizer(m.content)["input_ids"]) for t in trees for m in t)
    result["tokens_per_s"] = EPOCHS * read / result["seconds"]
    weights = local.model.num_parameters() - local.model.get_input_embeddings().weight.numel()
    result["tflops"] = 4 * weights * result["tokens_per_s"] / 1e12
    print(json.dumps(result))


def run(way: str) -> dict[str, Any]:
    """One way in a process of its own, with this process's options."""
    done = subprocess.run(
        [sys.executable, __file__, *sys.argv[1:], "--way", way], capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"{way} failed:\n{done.stderr[-3000:]}")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="starter/mbti", help="corpus: starter/mbti or a path")
    parser.add_argument("--limit", type=int, default=32, help="scenes, one pair each")
    parser.add_argument(
        "--lengths", type=lambda text: tuple(map(int, text.split(","))),
        help="PROMPT,REPLY: pairs of random words, about so many tokens long",
    )  # fmt: skip
    parser.add_argument("--pairs", type=int, help="pairs, repeating the scenes where needed")
    parser.add_argument("--base", default="embedded", help="embedded, a path or a Hub id")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--micro-batch", type=int, default=4, help="pairs a pass, ours")
    parser.add_argument("--trl-batch", type=int, default=4, help="pairs a pass, TRL at its best")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.way:
        one(args)
        return
    ways = args.ways.split(",")
    if "ours" not in ways or len(ways) < 2:
        parser.error("--ways: name ours, and one or more to compare it with")
    runs: dict[str, list[dict[str, Any]]] = {w: [] for w in ways}
    for _ in range(args.repeat):
        for way in ways:
            runs[way].append(run(way))
    seconds = {w: statistics.median(r["seconds"] for r in runs[w]) for w in ways}
    losses = {w: runs[w][0]["losses"] for w in ways}
    result = {
        "seconds": {w: round(s, 1) for w, s in seconds.items()},
        "ratio": {w: round(seconds[w] / seconds["ours"], 2) for w in ways if w != "ours"},
        "peak_mib": {w: max(r["peak_mib"] for r in runs[w]) for w in ways},
        "tokens_per_s": {w: round(max(r["tokens_per_s"] for r in runs[w]), 1) for w in ways},
        "tflops": {w: round(max(r["tflops"] for r in runs[w]), 2) for w in ways},
        "max_loss_rel_diff": max(
            abs(a - b) / b
            for w in ways
            if w != "ours"
            for a, b in zip(losses["ours"], losses[w], strict=True)
        ),
    }
    if args.json:
        print(json.dumps(result))
        return
    print(f"{'way':14}{'seconds':>10}{'ours is faster':>16}{'peak MiB':>10}")
    for w in ways:
        ratio = f"{result['ratio'][w]:.2f} x" if w != "ours" else ""
        print(f"{w:14}{seconds[w]:10.1f}{ratio:>16}{result['peak_mib'][w]:10}")
    print(f"largest relative difference of a logged loss: {result['max_loss_rel_diff']:.2e}")


if __name__ == "__main__":
    main()
