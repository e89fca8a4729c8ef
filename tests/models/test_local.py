"""One base, many adapters: scoring, mixed generation, seeds, strength."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers.generation import TopPLogitsWarper

from personalign.errors import InputError, ModelError
from personalign.models.chat import with_system
from personalign.models.local import LocalModel
from personalign.models.sampling import Nucleus, Sampling, SeededGumbel
from personalign.records import Message

HELLO = (Message(role="user", content="Hello there"),)


@pytest.fixture(scope="module")
def two(tiny_base: Path, adapters: dict[str, Path]) -> LocalModel:
    local = LocalModel.load(str(tiny_base), "float32", "cpu")
    for name, folder in adapters.items():
        local.add_adapter(name, folder)
    return local


def prompts(n: int) -> list[tuple[Message, ...]]:
    return [(Message(role="user", content=f"Question {k} " * (k + 1)),) for k in range(n)]


def test_adapters_change_scores_and_the_base_stays(two: LocalModel, tiny: LocalModel) -> None:
    tree = two.chat.reply_tree(HELLO, ["One answer.", "Another one."])
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


def test_a_mixed_batch_scores_as_its_adapters_do(two: LocalModel) -> None:
    ids = torch.tensor([[5, 6, 7, 8]] * 4)
    names = ["one", None, "two", "one"]
    with torch.no_grad():
        with two._answering(names):
            mixed = two.model(ids).logits
        for row, name in enumerate(names):
            with two.use(name):
                alone = two.model(ids[:1]).logits[0]
            torch.testing.assert_close(mixed[row], alone, atol=1e-5, rtol=1e-5)
    assert (mixed[0] - mixed[2]).abs().max() > 0.01
    with two.use("two"), torch.no_grad():  # nothing of the mixture stays
        torch.testing.assert_close(two.model(ids).logits[3], mixed[2], atol=1e-5, rtol=1e-5)


def test_a_reply_ends_before_a_stop_text_and_says_why(two: LocalModel) -> None:
    long = two.generate(prompts(3), [None] * 3, Sampling(16, 1.0), [0, 1, 2])
    assert [g.ended for g in long] == ["length"] * 3
    stop = long[0].text[3:6]
    cut = two.generate(prompts(3), [None] * 3, Sampling(16, 1.0, stop=(stop,)), [0, 1, 2])
    assert cut[0].text == long[0].text[: long[0].text.index(stop)].strip()
    assert cut[0].ended == "stop"
    assert cut[0].tokens < long[0].tokens
    assert [g.text for g in cut[1:]] == [g.text.split(stop)[0].strip() for g in long[1:]]


def test_top_k_of_one_is_greedy(two: LocalModel) -> None:
    greedy = two.generate(prompts(3), ["one"] * 3, Sampling(8), [1, 2, 3])
    drawn = two.generate(prompts(3), ["one"] * 3, Sampling(8, 1.5, top_k=1), [1, 2, 3])
    assert [g.text for g in greedy] == [g.text for g in drawn]


def test_an_adapters_hash_covers_what_scales_it(
    adapters: dict[str, Path], tmp_path: Path, tiny: LocalModel
) -> None:
    louder = tmp_path / "louder"
    shutil.copytree(adapters["one"], louder)
    settings = louder / "adapter_config.json"
    settings.write_text(settings.read_text().replace('"lora_alpha": 8', '"lora_alpha": 16'))
    tiny.add_adapter("one", adapters["one"])
    tiny.add_adapter("louder", louder)
    assert tiny.adapters["one"].digest != tiny.adapters["louder"].digest


def test_gumbel_draws_from_the_softmax() -> None:
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0])
    n = 20_000
    drawn = SeededGumbel(range(n))(None, logits.expand(n, 4)).argmax(-1)
    seen = torch.bincount(drawn, minlength=4) / n
    torch.testing.assert_close(seen, logits.softmax(-1), atol=0.012, rtol=0)


def test_strength_scales_the_update(
    adapters: dict[str, Path], tmp_path: Path, tiny: LocalModel
) -> None:
    folder = adapters["one"]
    halved = tmp_path / "halved"
    shutil.copytree(folder, halved)
    weights = load_file(folder / "adapter_model.safetensors")
    scaled = {k: v * 0.5 if "lora_B" in k else v for k, v in weights.items()}
    save_file(scaled, halved / "adapter_model.safetensors")
    tiny.add_adapter("none", folder, 0.0)
    tiny.add_adapter("half", folder, 0.5)
    tiny.add_adapter("halved", halved)
    tree = tiny.chat.reply_tree(HELLO, ["One answer."])
    base, none, half, same = (tiny.score([tree], a)[0][0] for a in (None, "none", "half", "halved"))
    torch.testing.assert_close(base, none)
    torch.testing.assert_close(half, same)
    assert (half - base).abs().max() > 0.01


def test_what_is_wrong_with_an_adapter_is_said(
    two: LocalModel, tmp_path: Path, adapters: dict[str, Path]
) -> None:
    with pytest.raises(InputError, match="unknown adapter 'thre'"):
        two.use("thre")
    with pytest.raises(InputError, match="loaded already"):
        two.add_adapter("one", tmp_path)
    with pytest.raises(InputError, match="choose 0 to 2"):
        two.add_adapter("x", tmp_path, 3.0)
    with pytest.raises(ModelError, match="no adapter in"):
        two.add_adapter("x", tmp_path)
    whole = tmp_path / "whole"
    shutil.copytree(adapters["one"], whole)
    settings = whole / "adapter_config.json"
    brought = json.loads(settings.read_text()) | {"modules_to_save": ["lm_head"]}
    settings.write_text(json.dumps(brought))
    with pytest.raises(ModelError, match=r"more than an update of layers \(modules_to_save.*merge"):
        two.add_adapter("x", whole)


def test_an_update_of_the_head_is_refused(
    tiny: LocalModel, tiny_base: Path, tmp_path: Path
) -> None:
    bare = LocalModel.load(str(tiny_base), "float32", "cpu").model
    made = get_peft_model(bare, LoraConfig(r=2, target_modules=["q_proj", "lm_head"]))
    made.save_pretrained(tmp_path / "alone", save_embedding_layers=False)
    with pytest.raises(ModelError, match="updates the head"):
        tiny.add_adapter("x", tmp_path / "alone")
    made.save_pretrained(tmp_path / "embedded", save_embedding_layers=True)
    with pytest.raises(ModelError, match="brings weights that are no update"):
        tiny.add_adapter("x", tmp_path / "embedded")


@pytest.mark.parametrize("spread", [0.3, 1.0, 3.0, 15.0])  # from a flat to a peaked distribution
def test_the_nucleus_is_transformers_own(spread: float) -> None:
    scores = spread * torch.randn(8, 5000, generator=torch.Generator().manual_seed(0))
    for p in (0.1, 0.9, 0.999):
        expected = TopPLogitsWarper(p)(None, scores)
        torch.testing.assert_close(Nucleus(p)(None, scores), expected, rtol=0, atol=0)


def test_bases_that_do_not_exist(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot be had from the Hub.*give 'embedded'"):
        LocalModel.load("nobody/nothing")
    with pytest.raises(ModelError, match="no safetensors weights"):
        LocalModel.load(str(tmp_path))
    with pytest.raises(InputError, match="did you mean 'float16' or 'float32'"):
        LocalModel.load("embedded", dtype="float31")


def test_the_personas_text_stands_before_a_prompts_own_system_message() -> None:
    own = (Message(role="system", content="Mine."), *HELLO)
    both = with_system(own, "Be kind.")
    assert [m.content for m in both] == ["Be kind.\n\nMine.", HELLO[0].content]
    assert with_system(own, None) == own
    assert with_system(HELLO, None) == HELLO
