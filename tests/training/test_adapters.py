"""Adapters afterwards: cards, merging, composing, pushing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from personalign.errors import InputError, ModelError
from personalign.models import embedded
from personalign.models.local import LocalModel
from personalign.records import PreferencePair
from personalign.training.adapters import compose, merge, push
from personalign.training.card import describe, find, read_card, verified
from personalign.training.config import Lora, TrainingConfig
from personalign.training.trainer import examples, train

SETTINGS = TrainingConfig(epochs=3, batch_size=4, micro_batch=4, learning_rate=2e-2, warmup=0)
PROMPT = torch.tensor([[1, 5, 99, 321, 7, 42]])


def trained(base: Path, pairs: list[PreferencePair], out: Path, **more: Any) -> Path:
    """An adapter with its card, on a base that is loaded for it."""
    settings = SETTINGS.model_copy(update=more)
    local = LocalModel.load(str(base), "float32", "cpu")
    train(local, examples(local, pairs), settings, out)
    describe(
        out,
        persona=out.name,
        persona_hash="f" * 64,
        base=str(base),
        base_identity=embedded.identity(str(base)),
        system="You are an INFP",
        settings=settings,
        pairs=pairs,
        processes=1,
        code="0",
    )
    return out


@pytest.fixture(scope="module")
def two(
    tiny_base: Path, pairs: list[PreferencePair], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """Two adapters of different rank and scaling, trained once for all tests here."""
    folder = tmp_path_factory.mktemp("adapters")
    lora = Lora(rank=4, alpha=8, rslora=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PERSONALIGN_CACHE", str(folder / "cache"))
        first = trained(tiny_base, pairs[:4], folder / "INFP")
        second = trained(tiny_base, pairs[:4], folder / "other", seed=7, lora=lora)
    return first, second


@pytest.fixture
def adapter(two: tuple[Path, Path], tmp_path: Path) -> Path:
    """A copy of the first that a test may change."""
    return Path(shutil.copytree(two[0], tmp_path / "run" / "adapters" / "INFP"))


def logits(local: LocalModel, name: str | None = None) -> torch.Tensor:
    with torch.inference_mode(), local.use(name):
        result: torch.Tensor = local.model(PROMPT).logits
    return result


def with_adapter(base: Path, folder: Path, strength: float = 1.0) -> torch.Tensor:
    local = LocalModel.load(str(base), "float32", "cpu")
    local.add_adapter("it", folder, strength)
    return logits(local, "it")


def test_card_says_what_it_is(adapter: Path) -> None:
    card = read_card(adapter)
    assert card.pairs == 4
    assert card.system == "You are an INFP"
    assert card.settings == SETTINGS
    assert card.curves["loss"][0] == pytest.approx(0.6931, abs=1e-4)
    assert card.verdict() == "not verified"
    readme = (adapter / "README.md").read_text()
    assert readme.startswith("---\nlibrary_name:")
    assert "**Not verified yet.**" in readme
    assert "> You are an INFP" in readme
    assert (adapter / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_verification_is_added_when_it_exists(adapter: Path) -> None:
    scales = [{"target": "I", "verdict": "confirmed"}]
    verified(adapter, [{"condition": "adapter", "word": "confirmed", "scales": scales}])
    assert read_card(adapter).verdict() == "confirmed"
    assert "| adapter | confirmed | I: confirmed |" in (adapter / "README.md").read_text()


def test_markup_in_a_prompt_stays_text(adapter: Path) -> None:
    card = read_card(adapter).model_copy(update={"system": "<script>x</script>\n`y`"})
    card.write(adapter)
    readme = (adapter / "README.md").read_text()
    assert "<script>" not in readme
    assert read_card(adapter).system == "<script>x</script>\n`y`"


def test_adapters_are_found_below_a_run(adapter: Path) -> None:
    assert list(find(adapter.parents[1])) == [adapter]
    with pytest.raises(InputError, match="no adapters in"):
        find(adapter / "nothing")


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_merged_weights_answer_as_the_adapter_does(
    adapter: Path, tiny_base: Path, tmp_path: Path, strength: float
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    out = merge(adapter, tmp_path / "merged", strength=strength, dtype="float32")
    model: Any = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32)
    with torch.inference_mode():
        merged = model(PROMPT).logits
    expected = with_adapter(tiny_base, adapter, strength)
    base = logits(LocalModel.load(str(tiny_base), "float32", "cpu"))
    assert (expected - base).abs().max() > 1e-2, "the adapter does nothing, so nothing is shown"
    torch.testing.assert_close(merged, expected, rtol=0, atol=1e-4)
    assert AutoTokenizer.from_pretrained(out).chat_template
    assert read_card(out).settings.method == "full"


def test_composed_adapter_is_the_weighted_sum(
    tiny_base: Path, two: tuple[Path, Path], tmp_path: Path
) -> None:
    adapter, other = two
    out = compose({adapter: 0.75, other: -0.5}, tmp_path / "sum", "mix")
    base = LocalModel.load(str(tiny_base), "float32", "cpu")
    weights = {n: p.clone() for n, p in base.model.named_parameters()}
    change: dict[str, torch.Tensor] = {}
    for folder, weight in ((adapter, 0.75), (other, -0.5)):
        merge(folder, tmp_path / f"m{weight}", dtype="float32")
        one = LocalModel.load(str(tmp_path / f"m{weight}"), "float32", "cpu")
        for n, p in one.model.named_parameters():
            change[n] = change.get(n, torch.zeros_like(p)) + weight * (p - weights[n])
    with torch.no_grad():
        for n, p in base.model.named_parameters():
            p += change[n]
    torch.testing.assert_close(with_adapter(tiny_base, out), logits(base), rtol=0, atol=1e-4)
    assert set(read_card(out).parts.values()) == {0.75, -0.5}
    small = compose({adapter: 1.0, other: 1.0}, tmp_path / "small", "mix", rank=2)
    assert json.loads((small / "adapter_config.json").read_text())["r"] == 2


def test_what_cannot_be_composed(adapter: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="two adapters or more"):
        compose({adapter: 1.0}, tmp_path / "x", "x")
    dora = tmp_path / "dora"
    dora.mkdir()
    card = read_card(adapter)
    lora = card.settings.model_copy(update={"lora": Lora(dora=True)})
    card.model_copy(update={"settings": lora}).write(dora)
    with pytest.raises(InputError, match="only plain LoRA"):
        compose({adapter: 1.0, dora: 1.0}, tmp_path / "x", "x")
    card.model_copy(update={"base_identity": "other@1"}).write(dora)
    with pytest.raises(InputError, match="adapters of one base"):
        compose({adapter: 1.0, dora: 1.0}, tmp_path / "x", "x")


def test_an_adapter_for_another_base_is_refused(
    adapter: Path, tmp_path: Path, tiny: LocalModel
) -> None:
    """Of the same shape, so that PEFT alone would load it without a word."""
    other = tmp_path / "other-base"
    with torch.no_grad():
        tiny.model.model.embed_tokens.weight += 1
    tiny.model.save_pretrained(other)
    tiny.tokenizer.save_pretrained(other)
    local = LocalModel.load(str(other), "float32", "cpu")
    with pytest.raises(ModelError, match=r"was trained on .*tiny.* the base here is .*other-base"):
        local.add_adapter("it", adapter)


def test_nothing_is_overwritten(adapter: Path) -> None:
    with pytest.raises(InputError, match="is not empty"):
        merge(adapter, adapter, dtype="float32")


class Hub:
    """Stands for the hub's client."""

    calls: list[tuple[str, Any]] = []  # noqa: RUF012

    def create_repo(self, name: str, private: bool, exist_ok: bool) -> None:
        self.calls.append((name, private))

    def upload_folder(self, repo_id: str, folder_path: str, ignore_patterns: list[str]) -> str:
        assert "checkpoints/*" in ignore_patterns
        return f"hub/{repo_id}"


def test_push_is_private_unless_asked(adapter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.HfApi", Hub)
    assert push(adapter, "me/infp") == "hub/me/infp"
    assert Hub.calls == [("me/infp", True)]


def test_a_readme_names_a_base_that_a_hub_can_find_or_none(adapter: Path, tmp_path: Path) -> None:
    from huggingface_hub import ModelCard

    card = read_card(adapter)
    known = {card.base: None, "embedded": "HuggingFaceTB/SmolLM2-135M-Instruct", "a/b": "a/b"}
    for base, named in known.items():
        card.model_copy(update={"base": base}).write(tmp_path)
        readme = (tmp_path / "README.md").read_text()
        assert ModelCard(readme).data.base_model == named


def test_push_without_a_hub_says_what_to_do(adapter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Any, *args: Any, **kwargs: Any) -> None:
        raise OSError("no route")

    monkeypatch.setattr("huggingface_hub.HfApi.create_repo", fail)
    with pytest.raises(ModelError, match=r"no route — log in"):
        push(adapter, "me/infp")


def test_a_damaged_card_is_an_error(adapter: Path) -> None:
    (adapter / "card.json").write_text("{}")
    with pytest.raises(InputError, match=r"card\.json"):
        read_card(adapter)


def test_commands_show_the_cards(adapter: Path) -> None:
    from typer.testing import CliRunner

    from personalign.cli import app

    def said(*args: str) -> str:
        return CliRunner(env={"COLUMNS": "400"}).invoke(app, ["adapters", *args]).stdout

    run = str(adapter.parents[1])
    assert json.loads(said("list", run, "--json"))[str(adapter)]["persona"] == "INFP"
    assert "not verified" in said("list", run)
    assert "You are an INFP" in said("show", str(adapter))
