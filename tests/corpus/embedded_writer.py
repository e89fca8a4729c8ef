"""The embedded model behind the tests' OpenAI-compatible server: requests of a moment in one batch.

In a test: `serve(writer=Writer(local))`. Alone: `python embedded_writer.py PORT`.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import uvicorn
from provider import Server

from personalign.models.local import LocalModel
from personalign.models.sampling import Sampling
from personalign.records import Message

MOST, PATIENCE = 16, 0.1


class Writer:
    """Answers request bodies; those that arrive within a tenth of a second share a batch."""

    def __init__(self, local: LocalModel, most_tokens: int = 256) -> None:
        self.local = local
        self.most_tokens = most_tokens
        self.waiting: list[tuple[dict[str, Any], asyncio.Future[str]]] = []
        self.busy = False

    async def __call__(self, body: dict[str, Any]) -> str:
        future = asyncio.get_running_loop().create_future()
        self.waiting.append((body, future))
        if not self.busy:
            self.busy = True
            await asyncio.sleep(PATIENCE)
            while self.waiting:
                batch, self.waiting = self.waiting[:MOST], self.waiting[MOST:]
                texts = await asyncio.to_thread(self.write, [asked for asked, _ in batch])
                for (_, waits), text in zip(batch, texts, strict=True):
                    waits.set_result(text)
            self.busy = False
        return str(await future)

    def write(self, bodies: list[dict[str, Any]]) -> list[str]:
        prompts = [[Message.model_validate(m) for m in b["messages"]] for b in bodies]
        most = min(self.most_tokens, max(b["max_tokens"] for b in bodies))
        how = Sampling(max_new_tokens=most, temperature=0.3, top_p=0.9)
        seeds = [b["seed"] for b in bodies]
        replies = self.local.generate(prompts, [None] * len(bodies), how, seeds, batch=MOST)
        return [r.text for r in replies]


if __name__ == "__main__":
    served = Server("", writer=Writer(LocalModel.load(dtype="float32")), keep=False)
    uvicorn.run(served, host="127.0.0.1", port=int(sys.argv[1]), log_level="error", lifespan="off")
