"""How fast a corpus is generated: `python benchmarks/generate_corpus.py`.

1. Throughput over HTTP: a provider that takes 200 ms (a server in a process of its own), 64
   requests at once. Target: at least 90 % of the ideal. A bare client asks the same server in the
   same minute, since the server's own work is part of what is lost.
2. Overhead: dialogues with scripted replies, generated, parsed, paired, gated and written. Target:
   under 5 ms a dialogue (its reply, parsing, file, ledger), and memory that does not grow.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any

import aiohttp
from inspect_ai.model import GenerateConfig, Model, ModelOutput, ModelUsage, get_model

from personalign.corpus import scenes
from personalign.corpus.ask import Limits, asking
from personalign.corpus.copies import NearCopies, trigrams
from personalign.corpus.dialogues import Dialogue, Style, generate, plan
from personalign.corpus.gates import NEAR, Contrast, Gates, HeldBack, PairGate
from personalign.corpus.ledger import Ledger
from personalign.corpus.profiles import from_persona
from personalign.corpus.reject import Rejecting, pair_up
from personalign.files import stream
from personalign.personas import Persona

PROVIDER = Path(__file__).parents[1] / "tests" / "corpus" / "provider.py"
SECONDS, AT_ONCE = 0.2, 64


def dialogue(seed: int) -> str:
    """Five replies, none of which is nearly another's."""
    turns = []
    for n in range(5):
        k = seed * 10 + n
        turns.append(f"User: Question {k} is about the rent and the flat, and about {n} more.")
        turns.append(
            f"Persona: I would look at lease {k} once more, quietly, and sleep on {k} before I "
            f"write to anybody about {k} at all."
        )
    return "\n".join(turns)


def rejected(messages: Any) -> str:
    k = zlib.crc32("".join(m.text for m in messages).encode()) % 10**6
    return (
        f"Call them now about {k}, all of them, and get {k} in writing by nine; then tell the "
        f"whole street about {k}."
    )


def persona(name: str) -> Persona:
    said = {"values": ("peace",), "voice": ("soft",), "never": ("shout",)}
    plain = {"identity": "You are quiet.", "decides": "You wait.", "spends_time": "You read."}
    head = {"name": name, "framework": "custom", "title": name, "licence": "x", "source": "x"}
    return Persona.model_validate(head | plain | said | {"traits": {}})


def scripted() -> Model:
    """A model in this process that answers at once."""

    def answer(messages: Any, tools: Any, choice: Any, config: GenerateConfig) -> ModelOutput:
        whole = messages[0].text.startswith("You write short conversations")
        text = dialogue(config.seed or 0) if whole else rejected(messages)
        output = ModelOutput.from_content("mockllm/scripted", text)
        output.usage = ModelUsage(input_tokens=400, output_tokens=200, total_tokens=600)
        return output

    config = GenerateConfig(max_connections=AT_ONCE, max_retries=0)
    return get_model("mockllm/scripted", config=config, custom_outputs=answer)


def held_back() -> HeldBack:
    measure = scenes.select(scenes.load("starter/mbti"), "measure")
    return HeldBack(s.prompt[-1].content for s in measure)


async def throughput(requests: int) -> dict[str, float]:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    server = subprocess.Popen([sys.executable, str(PROVIDER), str(port), str(SECONDS)])
    try:
        while True:
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", port)) == 0:
                    break
            await asyncio.sleep(0.1)
        return await _measured(requests, f"http://127.0.0.1:{port}/v1")
    finally:
        server.terminate()
        server.wait()


async def _measured(requests: int, url: str) -> dict[str, float]:
    os.environ.setdefault("BENCH_API_KEY", "none")
    quiet = persona("Quiet")
    places = scenes.select(scenes.load("starter/mbti"), "build")
    with tempfile.TemporaryDirectory() as d:
        ledger, limits = Ledger(Path(d) / "ledger.sqlite"), Limits(concurrency=AT_ONCE)
        async with asking("openai-api/bench/scripted", ledger, limits, url) as asker:
            profile = from_persona(quiet)
            for count, seed in ((AT_ONCE, 10**6), (requests, 0)):
                began, cpu = time.perf_counter(), time.process_time()
                jobs = plan(quiet, profile, places, count, seed)
                await generate(asker, jobs, Style(seed=seed), Path(d))
            seconds, spent = time.perf_counter() - began, time.process_time() - cpu
        ledger.close()
    ideal = -(-requests // AT_ONCE) * SECONDS
    return {
        "requests": requests,
        "seconds": round(seconds, 2),
        "cpu_ms_a_request": round(1000 * spent / requests, 2),
        "of_ideal": round(ideal / seconds, 3),
        "bare_client_of_ideal": round(ideal / await _bare(requests, url), 3),
    }


async def _bare(requests: int, url: str) -> float:
    """Seconds that the same number of requests takes without anything around them."""
    said = [{"role": "system", "content": "You write short conversations"}, {"role": "user"}]
    body = {"model": "scripted", "seed": 1, "messages": said}

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def ask() -> None:
            for _ in range(requests // AT_ONCE):
                async with session.post(f"{url}/chat/completions", json=body) as response:
                    await response.read()

        began = time.perf_counter()
        await asyncio.gather(*(ask() for _ in range(AT_ONCE)))
        return time.perf_counter() - began


async def overhead(dialogues: int) -> dict[str, Any]:
    quiet, loud = persona("Quiet"), persona("Loud")
    places = scenes.select(scenes.load("starter/mbti"), "build")
    memory: list[int] = []

    def watch(done: int) -> None:
        watch.seen += done  # type: ignore[attr-defined]
        if watch.seen % max(dialogues // 4, 1) == 0:  # type: ignore[attr-defined]
            memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)

    watch.seen = 0  # type: ignore[attr-defined]
    with tempfile.TemporaryDirectory() as d:
        folder = Path(d)
        ledger, limits = Ledger(folder / "ledger.sqlite"), Limits(concurrency=AT_ONCE)
        async with asking(scripted(), ledger, limits) as asker:
            began = time.perf_counter()
            jobs = plan(quiet, from_persona(quiet), places, dialogues)
            made = await generate(asker, jobs, Style(), folder, watch)
            writing = time.perf_counter() - began
            one = list(stream(folder / "dialogues.jsonl", Dialogue))[: dialogues // 10]
            began = time.perf_counter()
            gate = PairGate(Gates(), held_back(), Contrast([], "Quiet", "Loud"))
            paired = await pair_up(asker, one, Rejecting(), quiet, loud, folder, gate=gate)
            pairing = time.perf_counter() - began
            began = time.perf_counter()
            jobs = plan(quiet, from_persona(quiet), places, dialogues)
            await generate(asker, jobs, Style(), folder)
            again = time.perf_counter() - began
        ledger.close()
    return {
        "dialogues": made.dialogues,
        "ms_a_dialogue": round(1000 * writing / dialogues, 2),
        "memory_mib_at_quarters": memory,
        "pairs": paired.pairs,
        "dropped": paired.dropped,
        "ms_a_pair": round(1000 * pairing / max(paired.replies, 1), 2),
        "ms_a_dialogue_from_the_ledger": round(1000 * again / dialogues, 2),
    }


def copies() -> dict[str, float]:
    """Looking for near copies among people's own sentences: the shipped replies, one by one.

    Scripted replies have all their phrases in common, which is the worst case of the search.
    """
    sources = [s for name in scenes.STARTER for s in scenes.load(name)]
    said = [reply for scene in sources for reply in scene.replies.values()]
    known, began = NearCopies(NEAR), time.perf_counter()
    for reply in said:
        shingles = trigrams(reply)
        known.find(shingles)
        known.add(shingles)
    spent = time.perf_counter() - began
    return {"replies": len(said), "ms_a_reply": round(1000 * spent / len(said), 2)}


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--requests", type=int, default=3200)
    options.add_argument("--dialogues", type=int, default=10_000)
    chosen = options.parse_args()
    print(json.dumps({"throughput": asyncio.run(throughput(chosen.requests))}))
    print(json.dumps({"overhead": asyncio.run(overhead(chosen.dialogues))}))
    print(json.dumps({"copies": copies()}))


if __name__ == "__main__":
    main()
