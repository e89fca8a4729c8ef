"""One base, many adapters: scoring, mixed generation, seeds, strength."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from personalign.errors import InputError, ModelError
from personalign.models.chat import completion_tokens, prompt_tokens, reply_tree, with_system
from personalign.models.local import LocalModel, Sampling
from personalign.models.sampling import SeededGumbel
from personalign.records import Message
from personalign.training.config import Lora
from personalign.training.trainer import with_lora

HELLO = (Message(role="user", content="Hello there"),)


def save_adapter(base: Path, out: Path, seed: int) -> Path:
    """An adapter whose B matrices are not zero, so that it changes answers."""
    model = with_lora(LocalModel.load(str(base), "float32", "cpu").model, Lora(rank=4, alpha=8), 0)
    torch.manual_seed(seed)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.3)
    model.save_pretrained(out)
    return out


@pytest.fixture(scope="module")
def two(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> LocalModel:
    local = LocalModel.load(str(tiny_base), "float32", "cpu")
    folder = tmp_path_factory.mktemp("adapters")
    for name, seed in (("one", 1), ("two", 2)):
        local.add_adapter(name, save_adapter(tiny_base, folder / name, seed))
    return local


def prompts(n: int) -> list[tuple[Message, ...]]:
    return [(Message(role="user", content=f"Question {k} " * (k + 1)),) for k in range(n)]


def test_adapters_change_scores_and_the_base_stays(two: LocalModel, tiny: LocalModel) -> None:
    tree = reply_tree(two.tokenizer, HELLO, ["One answer.", "Another one."])
    base, one, other, again = (
        torch.cat(two.score([tree], adapter)[0]) for adapter in (None, "one", "two", None)
    )
    assert torch.equal(base, again)
    torch.testing.assert_close(base, torch.cat(tiny.score([tree])[0]))
    assert (base - one).abs().max() > 0.01
    assert (one - other).abs().max() > 0.01


def test_mixed_batch_equals_one_adapter_at_a_time(two: LocalModel) -> None:
    asked, names = prompts(6), [None, "one", "two", "one", None, "two"]
    sampling, seeds = Sampling(12, 0.8, 0.9), list(range(6))
    mixed = two.generate(asked, names, sampling, seeds)
    alone = [
        two.generate([p], [n], sampling, [s])[0]
        for p, n, s in zip(asked, names, seeds, strict=True)
    ]
    assert mixed == alone


def test_seed_decides_and_batch_does_not(two: LocalModel) -> None:
    asked = prompts(4)
    sampling = Sampling(12, 1.0, 1.0)
    first = two.generate(asked, ["one"] * 4, sampling, [1, 2, 3, 4], batch=4)
    same = two.generate(asked, ["one"] * 4, sampling, [1, 2, 3, 4], batch=2)
    other = two.generate(asked, ["one"] * 4, sampling, [5, 6, 7, 8], batch=4)
    assert first == same
    assert [g.text for g in first] != [g.text for g in other]
    assert all(0 < g.tokens <= 12 for g in first)


def test_gumbel_draws_from_the_softmax() -> None:
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0])
    n = 20_000
    drawn = SeededGumbel(range(n))(None, logits.expand(n, 4)).argmax(-1)
    seen = torch.bincount(drawn, minlength=4) / n
    torch.testing.assert_close(seen, logits.softmax(-1), atol=0.012, rtol=0)


def test_strength_scales_the_update(tiny_base: Path, tmp_path: Path, tiny: LocalModel) -> None:
    folder = save_adapter(tiny_base, tmp_path / "a", 3)
    halved = tmp_path / "halved"
    shutil.copytree(folder, halved)
    weights = load_file(folder / "adapter_model.safetensors")
    scaled = {k: v * 0.5 if "lora_B" in k else v for k, v in weights.items()}
    save_file(scaled, halved / "adapter_model.safetensors")
    tiny.add_adapter("none", folder, 0.0)
    tiny.add_adapter("half", folder, 0.5)
    tiny.add_adapter("halved", halved)
    tree = reply_tree(tiny.tokenizer, HELLO, ["One answer."])
    base, none, half, same = (tiny.score([tree], a)[0][0] for a in (None, "none", "half", "halved"))
    torch.testing.assert_close(base, none)
    torch.testing.assert_close(half, same)
    assert (half - base).abs().max() > 0.01


def test_what_is_wrong_with_an_adapter_is_said(
    two: LocalModel, tmp_path: Path, tiny_base: Path, embedded: LocalModel
) -> None:
    with pytest.raises(InputError, match="unknown adapter 'thre'"):
        two.use("thre")
    with pytest.raises(InputError, match="loaded already"):
        two.add_adapter("one", tmp_path)
    with pytest.raises(InputError, match="choose 0 to 2"):
        two.add_adapter("x", tmp_path, 3.0)
    with pytest.raises(ModelError, match="no adapter in"):
        two.add_adapter("x", tmp_path)


def test_bases_that_do_not_exist(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot be had from the Hub.*give 'embedded'"):
        LocalModel.load("nobody/nothing")
    with pytest.raises(ModelError, match="no safetensors weights"):
        LocalModel.load(str(tmp_path))
    with pytest.raises(InputError, match="did you mean 'float32'"):
        LocalModel.load("embedded", dtype="float31")


def test_reply_follows_the_prompt_as_the_template_writes_it(embedded: LocalModel) -> None:
    tokenizer = embedded.tokenizer
    prompt = with_system(HELLO, "Be kind.")
    whole = [m.model_dump() for m in prompt] + [{"role": "assistant", "content": "Hi."}]
    expected = tokenizer.apply_chat_template(whole, tokenize=True, return_dict=False)
    joined = prompt_tokens(tokenizer, prompt) + completion_tokens(tokenizer, prompt, "Hi.")
    assert list(joined) == expected


def test_a_prompt_keeps_its_own_system_message() -> None:
    own = (Message(role="system", content="Mine."), *HELLO)
    assert with_system(own, "Other.") == own
    assert with_system(HELLO, None) == HELLO
