"""Adapters as other tools leave them: loaded exactly, or refused without a trace."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import IA3Config, LoraConfig, PromptTuningConfig, get_peft_model
from safetensors.torch import load_file, save_file

from personalign.errors import ModelError
from personalign.models import loading
from personalign.models.engine import Draw, adopt
from personalign.models.fitting import CONFIG, WEIGHTS
from personalign.models.local import LocalModel
from personalign.models.sampling import Sampling
from personalign.records import Message

HELLO = (Message(role="user", content="Hello there"),)
Weights = dict[str, torch.Tensor]


def scores(local: LocalModel, adapter: str | None = None) -> torch.Tensor:
    tree = local.chat.reply_tree(HELLO, ["One answer.", "Another one."])
    return torch.cat(local.score([tree], adapter)[0])


def with_weights(folder: Path, change: Callable[[Weights], Weights]) -> None:
    weights = change(load_file(folder / WEIGHTS))
    save_file({k: v.contiguous() for k, v in weights.items()}, folder / WEIGHTS)


def with_settings(folder: Path, **changed: Any) -> None:
    path = folder / CONFIG
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


def renamed(old: str, new: str) -> Callable[[Weights], Weights]:
    return lambda weights: {name.replace(old, new): w for name, w in weights.items()}


def bringing(name: str, *shape: int) -> Callable[[Weights], Weights]:
    return lambda weights: weights | {f"base_model.model.{name}": torch.randn(shape)}


def without(part: str) -> Callable[[Weights], Weights]:
    return lambda weights: {name: w for name, w in weights.items() if part not in name}


def of_rank(rank: int) -> Callable[[Weights], Weights]:
    def cut(weights: Weights) -> Weights:
        return {k: w[:rank] if "lora_A" in k else w[:, :rank] for k, w in weights.items()}

    return cut


def no_number(weights: Weights) -> Weights:
    return weights | {k: w * float("nan") for k, w in weights.items() if "q_proj.lora_B" in k}


LAYER = "model.layers.1.self_attn.q_proj"
OTHER_WEIGHTS: dict[str, tuple[Callable[[Weights], Weights], str]] = {
    "none": (renamed("layers", "language_model.layers"), "14 of the 14 layers .* not in the base"),
    "half": (renamed("layers.1", "blocks.1"), r"7 of the 14 .* \(model.blocks.1.*and 6 more"),
    "embeddings": (
        bringing("model.embed_tokens.weight", 50, 64),
        r"brings weights .*model.embed_tokens.weight — merge it",
    ),
    "lora embeddings": (bringing("model.embed_tokens.lora_embedding_A", 4, 50), "brings weights"),
    "embeddings as layer": (
        lambda w: bringing("model.embed_tokens.lora_A.weight", 4, 64)(w),
        r"updates the embeddings of the model \(model.embed_tokens\)",
    ),
    "norm": (bringing("model.norm.lora_A.weight", 4, 64), "updates the LlamaRMSNorm of the model"),
    "not prefixed": (renamed("base_model.model.", ""), "brings weights"),
    "not whole": (without("layers.1."), "7 of the 14 layers that its target_modules name have no"),
    "half a layer": (without("layers.1.mlp.up_proj.lora_B"), "does not fit: model.layers.1.mlp.up"),
    "rank": (of_rank(2), r"the base takes .*\(4, 128\)"),
    "whole numbers": (lambda w: {k: t.to(torch.int8) for k, t in w.items()}, "numbers of type I8"),
    "no number": (no_number, "holds what is no number"),
    "nothing": (lambda w: {}, "holds no weights"),
}
OTHER_SETTINGS: dict[str, tuple[dict[str, Any], str]] = {
    "kind": ({"peft_type": "PROMPT_TUNING"}, "is of kind PROMPT_TUNING, not LORA — merge it"),
    "no kind": ({"peft_type": None}, "is of kind None"),
    "task": ({"task_type": "SEQ_CLS"}, "is for another task"),
    "modules": ({"modules_to_save": ["lm_head"]}, "more than an update of layers .modules_to_save"),
    "tokens": ({"trainable_token_indices": [1]}, "trainable_token_indices"),
    "parameters": ({"target_parameters": ["x"]}, "target_parameters"),
    "bias": ({"bias": "all"}, "bias: all"),
    "lora bias": ({"lora_bias": True}, "the base takes .*lora_B.bias"),
    "dora": ({"use_dora": True}, "the base takes .*lora_magnitude_vector"),
    "replication": ({"layer_replication": [[0, 1]]}, "layer_replication"),
    "of another time": ({"use_nextra": True}, "use_nextra: True"),
    "pissa": ({"init_lora_weights": "pissa_niter_4"}, "its start had changed"),
    "head": ({"target_modules": ["q_proj", "lm_head"]}, "target_modules"),
    "ranks": ({"rank_pattern": {"q_proj": 2}}, r"the base takes .*\(2, 64\)"),
    "no rank": ({"r": 0}, "has r 0"),
    "alpha": ({"lora_alpha": float("nan")}, "has lora_alpha nan"),
    "no targets": ({"target_modules": None}, "names no target_modules"),
    "base": ({"base_model_name_or_path": "org/Other-7B"}, "was trained on org/Other-7B, the base"),
}


def refused(local: LocalModel, folder: Path, match: str, strength: float = 1.0) -> None:
    with pytest.raises(ModelError, match=match) as said:
        local.add_adapter("bad", folder, strength)
    assert "\n" not in str(said.value)
    assert said.value.remedy


@pytest.fixture(scope="module")
def kept(tiny_base: Path, adapters: dict[str, Path]) -> LocalModel:
    """A base to which every bad adapter of these tests is offered, and a good one before."""
    local = LocalModel.load(str(tiny_base), "float32", "cpu")
    local.add_adapter("one", adapters["one"])
    return local


def unharmed(local: LocalModel, fresh: LocalModel, adapters: dict[str, Path]) -> None:
    """The base is the base to the bit, and good adapters answer as on a fresh one."""
    assert torch.equal(scores(local), scores(fresh))
    for name in ("one", "two"):
        fresh.add_adapter(name, adapters[name])
        if name not in local.adapters:
            local.add_adapter(name, adapters[name])
        assert torch.equal(scores(local, name), scores(fresh, name))
    assert torch.equal(scores(local), scores(fresh))


@pytest.fixture
def bad(adapters: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of a good adapter, to be spoilt."""
    return Path(shutil.copytree(adapters["one"], tmp_path / "bad"))


@pytest.mark.parametrize("case", OTHER_WEIGHTS)
def test_weights_that_do_not_fit(case: str, bad: Path, tiny: LocalModel, kept: LocalModel) -> None:
    change, match = OTHER_WEIGHTS[case]
    before = scores(tiny)
    with_weights(bad, change)
    for local in (tiny, kept):
        refused(local, bad, match)
        assert torch.equal(scores(local), before)


@pytest.mark.parametrize("case", OTHER_SETTINGS)
def test_settings_that_are_not_done(
    case: str, bad: Path, tiny: LocalModel, kept: LocalModel
) -> None:
    changed, match = OTHER_SETTINGS[case]
    before = scores(tiny)
    with_settings(bad, **changed)
    for local in (tiny, kept):
        refused(local, bad, match)
        assert torch.equal(scores(local), before)


def test_after_all_that_was_refused_good_ones_load(
    kept: LocalModel, bad: Path, tiny: LocalModel, adapters: dict[str, Path]
) -> None:
    with_weights(bad, of_rank(2))
    with_settings(bad, lora_alpha=64)
    refused(kept, bad, "does not fit")
    unharmed(kept, tiny, adapters)
    assert len({a.handle for a in kept.adapters.values()}) == len(kept.adapters)


@pytest.mark.parametrize("first", [True, False])
def test_loading_that_breaks_off_leaves_no_trace(
    first: bool,
    bad: Path,
    tiny_base: Path,
    tiny: LocalModel,
    adapters: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    local = LocalModel.load(str(tiny_base), "float32", "cpu")
    if not first:
        local.add_adapter("one", adapters["one"])
    with_settings(bad, lora_alpha=64)

    def full(*given: Any) -> Any:
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(loading, "_filled", full)
        with pytest.raises(RuntimeError, match="out of memory"):
            local.add_adapter("bad", bad)
    unharmed(local, tiny, adapters)


def test_other_kinds_as_peft_saves_them(tiny_base: Path, tiny: LocalModel, tmp_path: Path) -> None:
    kinds = {
        "IA3": IA3Config(target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"]),
        "PROMPT_TUNING": PromptTuningConfig(num_virtual_tokens=4, task_type="CAUSAL_LM"),
    }
    for kind, config in kinds.items():
        bare = LocalModel.load(str(tiny_base), "float32", "cpu").model
        get_peft_model(bare, config).save_pretrained(tmp_path / kind)
        refused(tiny, tmp_path / kind, f"is of kind {kind}")


def test_an_update_of_the_embeddings(tiny_base: Path, tiny: LocalModel, tmp_path: Path) -> None:
    bare = LocalModel.load(str(tiny_base), "float32", "cpu").model
    made = get_peft_model(bare, LoraConfig(r=2, target_modules=["q_proj", "embed_tokens"]))
    made.save_pretrained(tmp_path, save_embedding_layers=False)
    refused(tiny, tmp_path, "embed_tokens")


def test_a_pickle_is_named(bad: Path, tiny: LocalModel) -> None:
    (bad / WEIGHTS).rename(bad / "adapter_model.bin")
    refused(tiny, bad, r"adapter_model.bin is a pickle.* — convert it: safetensors")
    (bad / "adapter_model.bin").unlink()
    refused(tiny, bad, "no adapter in")
    (bad / WEIGHTS).write_bytes(b"broken")
    refused(tiny, bad, "cannot be read")


def test_another_base_by_name_or_by_weights(
    bad: Path, tiny: LocalModel, tiny_base: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(tiny_base, tmp_path / "copy"))
    cached = f"/x/models--org--{tiny_base.name}/snapshots/{'a' * 40}"
    same = [str(copy), f"Org/{tiny_base.name.upper()}-bnb-4bit", cached, "", None]
    for n, name in enumerate(same):
        with_settings(bad, base_model_name_or_path=name)
        tiny.add_adapter(f"same {n}", bad)
    with torch.no_grad():
        tiny.model.get_input_embeddings().weight += 1
    other = tmp_path / "other" / tiny_base.name
    fresh = LocalModel.load(str(tiny_base), "float32", "cpu")
    fresh.model.get_input_embeddings().weight.data += 1
    fresh.model.save_pretrained(other)
    with_settings(bad, base_model_name_or_path=str(other))
    refused(tiny, bad, "was trained on .*other.*, the base here is")


@pytest.mark.parametrize("options", [{"use_rslora": True}, {"rank_pattern": {"q_proj": 2}}, {}])
def test_what_fits_answers_as_peft_has_it(
    options: dict[str, Any], tiny_base: Path, tiny: LocalModel, tmp_path: Path
) -> None:
    bare = LocalModel.load(str(tiny_base), "float32", "cpu").model
    config = LoraConfig(
        target_modules=r".*\.(q_proj|up_proj)", r=4, alpha_pattern={"up_proj": 3}, **options
    )
    made: Any = get_peft_model(bare, config).eval()
    for name, weight in made.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.3)
    made.save_pretrained(tmp_path)
    tiny.add_adapter("it", tmp_path)
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad(), tiny.use("it"):
        torch.testing.assert_close(tiny.model(ids).logits, made(ids).logits, atol=1e-5, rtol=1e-5)


def test_dora_has_one_strength(tiny_base: Path, tiny: LocalModel, tmp_path: Path) -> None:
    bare = LocalModel.load(str(tiny_base), "float32", "cpu").model
    made = get_peft_model(bare, LoraConfig(target_modules=["q_proj"], use_dora=True))
    made.save_pretrained(tmp_path)
    for strength in (0.0, 0.5):
        refused(tiny, tmp_path, f"is DoRA, which has no strength {strength}", strength)
    tiny.add_adapter("whole", tmp_path)


def test_an_adapter_loaded_while_replies_are_drawn_changes_none(
    tiny_base: Path, adapters: dict[str, Path]
) -> None:
    hot, names = Sampling(200, temperature=0.7), [None, "one", None, "one"]

    def base() -> LocalModel:
        local = LocalModel.load(str(tiny_base), "float32", "cpu")
        local.add_adapter("one", adapters["one"])
        return local

    for load in (lambda local: local.add_adapter, lambda local: adopt(local).load):
        local, alone = base(), base()
        tokens = local.chat.prompt(HELLO)
        queue, begun = adopt(local).queue, threading.Event()
        local.model.get_base_model().register_forward_hook(lambda *given, begun=begun: begun.set())
        asked = [queue.submit(Draw(tokens, n, hot, s)) for s, n in enumerate(names)]
        assert begun.wait(60)
        time.sleep(0.02)  # in the middle of the replies
        assert not any(reply.done() for reply in asked)
        load(local)("two", adapters["two"])
        expected = [alone.draw([tokens], [n], hot, [s])[0] for s, n in enumerate(names)]
        assert [reply.result(60) for reply in asked] == expected
        last = queue.submit(Draw(tokens, "two", hot, 0)).result(60)
        assert last.text != expected[0].text
