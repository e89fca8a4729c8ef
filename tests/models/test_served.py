"""Arms of a served base, asked of a real OpenAI-compatible server that loads adapters as vLLM does.

The server answers with a real model; what vLLM itself does with a request is not tested here.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from inspect_ai import eval as run_inspect
from inspect_ai.model import GenerateConfig, get_model

from personalign.errors import InputError, ModelError
from personalign.evals.logs import rows
from personalign.evals.social_tasks import social_generate
from personalign.models.local import LocalModel, adapter_hash
from personalign.models.provider import CHOICES
from personalign.models.sampling import Sampling
from personalign.records import Message


class Served(ThreadingHTTPServer):
    """The endpoints of vLLM that are used, over one model in memory."""

    daemon_threads = True

    def __init__(self, local: LocalModel) -> None:
        super().__init__(("127.0.0.1", 0), Endpoint)
        self.local, self.alone = local, threading.Lock()
        self.loads: list[str] = []
        self.bodies: list[dict[str, Any]] = []

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if path == "/v1/models":
            names = ["org/tiny", *self.local.adapters]
            return 200, {"data": [{"id": n, "root": n, "created": len(names)} for n in names]}
        if path == "/v1/load_lora_adapter":
            self.loads.append(body["lora_name"])
            self.local.add_adapter(body["lora_name"], Path(body["lora_path"]))
            return 200, "Success"
        self.bodies.append(body)
        prompt = self.local.chat.prompt(
            [Message(role=m["role"], content=m["content"]) for m in body["messages"]],
        )
        adapter = None if body["model"] == "org/tiny" else body["model"]
        with self.alone:
            (reply,) = self.local.draw([prompt], [adapter], Sampling(8), [0])
        choice = {"message": {"role": "assistant", "content": reply.text}, "index": 0}
        used = {"prompt_tokens": len(prompt), "completion_tokens": reply.tokens}
        return 200, {
            "id": "x",
            "object": "chat.completion",
            "created": 0,
            "model": body["model"],
            "choices": [choice | {"finish_reason": reply.ended}],
            "usage": used | {"total_tokens": sum(used.values())},
        }


class Endpoint(BaseHTTPRequestHandler):
    """One request."""

    server: Served

    def log_message(self, *args: Any) -> None: ...

    def do_GET(self) -> None:
        self.reply({})

    def do_POST(self) -> None:
        self.reply(json.loads(self.rfile.read(int(self.headers["content-length"]))))

    def reply(self, body: dict[str, Any]) -> None:
        status, said = self.server.answer(self.path, body)
        data = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def serving(base: Path) -> Iterator[tuple[str, Served]]:
    server = Served(LocalModel.load(str(base), "float32", "cpu"))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", server
    finally:
        server.shutdown()
        server.server_close()


def test_arms_load_their_adapters_by_hash_and_are_told_apart(
    tiny_base: Path, adapters: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arms: list[dict[str, Any]] = [
        {},
        {"persona": "INFP", "condition": "prompted", "system": "Be kind."},
        {"persona": "INFP", "adapter": str(adapters["one"])},
        {"persona": "ESTJ", "adapter": str(adapters["two"])},
        {"persona": "INFP", "adapter": str(adapters["one"])},
    ]
    with serving(tiny_base) as (url, server):
        models = [
            get_model("personalign-vllm/org/tiny", base_url=url, memoize=False, **arm)
            for arm in arms
        ]
        digests = [adapter_hash(adapters[n]) for n in ("one", "two")]
        assert server.loads == digests
        assert len({str(m) for m in models}) == 4
        logs = run_inspect(
            social_generate(), models[:4], limit=3, log_dir=str(tmp_path), display="none",
            temperature=0.5, seed=1,
        )  # fmt: skip
        again = get_model(str(models[2]), base_url=url, memoize=False, **arms[2])
        assert str(again) == str(models[2])
    assert [log.status for log in logs] == ["success"] * 4
    table = [row for log in logs for row in rows(log, "run")]
    assert {(r.persona, r.condition) for r in table} == {
        ("", "base"), ("INFP", "prompted"), ("INFP", "adapter"), ("ESTJ", "adapter"),
    }  # fmt: skip
    (base,) = {r.base_model for r in table}
    assert base.startswith("org/tiny@")
    asked = {b["model"]: b for b in server.bodies}
    assert set(asked) == {"org/tiny", *digests}
    told = [b for b in server.bodies if b["messages"][0]["role"] == "system"]
    assert [b["messages"][0]["content"].split("\n")[0] for b in told] == ["Be kind."] * 3
    assert {(b["temperature"], b["top_p"], b["top_k"]) for b in server.bodies} == {(0.5, 1.0, -1)}
    sent = {s.output.metadata["seed"] for s in logs[2].samples or [] if s.output.metadata}
    assert sent == {b["seed"] for b in server.bodies if b["model"] == digests[0]}
    seeds = [[b["seed"] for b in server.bodies if b["model"] == d] for d in digests]
    assert len(set(seeds[0])) == 3  # one for each prompt, the same for every arm
    assert sorted(seeds[0]) == sorted(seeds[1])


def test_what_is_wrong_is_said(tiny_base: Path, adapters: dict[str, Path]) -> None:
    def served(url: str | None, **arm: Any) -> Any:
        return get_model("personalign-vllm/org/tiny", base_url=url, memoize=False, **arm)

    with pytest.raises(InputError, match="--model-base-url"):
        served(None)
    with pytest.raises(ModelError, match="no server at"):
        served("http://127.0.0.1:9/v1")
    with serving(tiny_base) as (url, server):
        with pytest.raises(InputError, match="unknown model 'org/tini'"):
            get_model("personalign-vllm/org/tini", base_url=url, memoize=False)
        with pytest.raises(InputError, match="compose"):
            served(url, persona="INFP", adapter=str(adapters["one"]), strength=0.5)
        with pytest.raises(ModelError, match="no adapter in"):
            served(url, persona="INFP", adapter="nowhere")
        choosing = GenerateConfig(extra_body={CHOICES: ["a", "b"]})
        with pytest.raises(InputError, match="social_generate"):
            asyncio.run(served(url).generate("Hello", config=choosing))
        server.answer = lambda path, body: (  # type: ignore[method-assign]
            (200, {"data": [{"id": "org/tiny"}]}) if path == "/v1/models" else (400, "rank 64")
        )
        with pytest.raises(ModelError, match="max-lora-rank"):
            served(url, persona="INFP", adapter=str(adapters["one"]))
