"""A real OpenAI-compatible server on loopback with scripted replies and failures on demand.

In a test: `with serve(faults=…) as server`. Alone: `python provider.py PORT [SECONDS]`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn

Fault = str | None
MODEL = "openai-api/local/scripted"
"""The server's name for Inspect, with its URL as base URL and any key in LOCAL_API_KEY."""

REFUSAL = "I can't help with that."
FEATURES = {
    "features": [
        {"name": "recharges alone", "text": "They recharge alone after company.",
         "quote": "recharge alone"},
        {"name": "notices distress", "text": "They notice small signs of distress in others.",
         "quote": "words that stand nowhere"},
    ],
    "characters": [{"name": "Mira", "sketch": "Mira tends a small garden and speaks little."}],
}  # fmt: skip


def dialogue(seed: int, turns: int = 3) -> str:
    lines = []
    for n in range(turns):
        k = seed * 10 + n
        lines.append(f"User: Thing {k} has been on my mind since Tuesday morning, and so has {n}.")
        lines.append(
            f"Persona: Then let us sit with number {k} quietly for a while. I would write {k} down "
            f"first and see what {k} means to you."
        )
    return "\n".join(lines)


WHO = ("sister", "landlord", "boss", "neighbour", "teacher", "flatmate", "coach", "cousin")
WHAT = (
    "borrowed the car", "wants to move abroad", "forgot my birthday", "sold the piano",
    "plays drums at night", "asked me to speak at a wedding", "stopped eating meat",
)  # fmt: skip
WHEN = ("since Monday", "before the exam", "in the middle of harvest", "on the night train")


def situation(rng: random.Random) -> str:
    who, what, when = rng.choice(WHO), rng.choice(WHAT), rng.choice(WHEN)
    return f"My {who} {what} {when}, and I keep thinking about number {rng.randrange(10**6)}."


def script(body: dict[str, Any]) -> str:
    """A fitting reply, told from the system prompt."""
    system, seed = body["messages"][0]["content"], body.get("seed") or 0
    if system.startswith(("You write short conversations", "You write dialogues")):
        return dialogue(seed)
    if system.startswith("You read web pages"):
        return "Here is what I found:\n```json\n" + json.dumps(FEATURES) + "\n```"
    if system.startswith("You think of everyday moments"):
        return json.dumps([situation(random.Random(f"{seed}{i}")) for i in range(10)])
    k = zlib.crc32(json.dumps([body["messages"], seed]).encode()) % 10**6
    return (
        f"Call everyone you know about {k} tonight and decide by nine. Make a list of what {k} "
        f"costs, pick the cheapest of the {k} options and get it done."
    )


@dataclass
class Server:
    """What a test sees of the server; `answered` counts good answers by what was asked."""

    url: str
    seconds: float = 0.0
    reply: Callable[[dict[str, Any]], str] = script
    writer: Callable[[dict[str, Any]], Awaitable[str]] | None = None
    faults: Callable[[int], Fault] = lambda n: None
    requests: int = 0
    open_now: int = 0
    most_open: int = 0
    answered: Counter[str] = field(default_factory=Counter)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keep: bool = True

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        raw, more = b"", True
        while more:
            message = await receive()
            raw, more = raw + message.get("body", b""), message.get("more_body", False)
        self.open_now += 1
        self.most_open = max(self.most_open, self.open_now)
        try:
            await self.handle(json.loads(raw), send)
        finally:
            self.open_now -= 1

    async def handle(self, body: dict[str, Any], send: Any) -> None:
        number = self.requests
        self.requests += 1
        if self.keep:
            self.bodies.append(body)
        if self.seconds:
            await asyncio.sleep(self.seconds)
        fault = self.faults(number)
        if fault == "429":
            await respond(send, 429, {"error": {"message": "slow down"}}, {"retry-after": "0.1"})
        elif fault in ("400", "401", "404", "500", "503"):
            await respond(send, int(fault), {"error": {"message": f"failure {fault}"}})
        elif fault == "timeout":
            await asyncio.sleep(1.2)
            await respond(send, 200, {})
        elif fault == "malformed":
            await respond(send, 200, b'{"id": "x", "choices": [{"mess')
        elif fault == "cut":
            await respond(send, 200, b'{"id": "x", "cho', {"content-length": "5000"})
        else:
            said = {"refusal": REFUSAL, "empty": ""}.get(fault or "")
            asked = json.dumps([body["messages"], body.get("seed")])
            self.answered[hashlib.sha256(asked.encode()).hexdigest()] += 1
            if said is None:
                said = self.reply(body) if self.writer is None else await self.writer(body)
            await respond(send, 200, completion(body, said))


def completion(body: dict[str, Any], text: str) -> dict[str, Any]:
    used = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150}
    choice = {"index": 0, "message": {"role": "assistant", "content": text}}
    return {
        "id": "x", "object": "chat.completion", "created": int(time.time()),
        "model": body.get("model", "m"), "usage": used,
        "choices": [choice | {"finish_reason": "stop"}],
    }  # fmt: skip


async def respond(send: Any, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = {"content-type": "application/json", "content-length": str(len(data))} | (headers or {})
    pairs = [(k.encode(), v.encode()) for k, v in head.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": data})


@contextmanager
def serve(**settings: Any) -> Iterator[Server]:
    app = Server("", **settings)
    config = uvicorn.Config(app, "127.0.0.1", 0, log_level="critical", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    app.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/v1"
    try:
        yield app
    finally:
        server.should_exit = True
        server.force_exit = True


if __name__ == "__main__":
    alone = Server("", seconds=float(sys.argv[2]) if len(sys.argv) > 2 else 0.0, keep=False)
    uvicorn.run(alone, host="127.0.0.1", port=int(sys.argv[1]), log_level="error", lifespan="off")
