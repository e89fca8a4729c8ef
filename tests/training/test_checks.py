"""Bad input is refused before anything is computed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from personalign.errors import ModelError, TrainingError
from personalign.models.local import LocalModel
from personalign.records import Message, PreferencePair
from personalign.training.config import Lora, TrainingConfig
from personalign.training.loading import load_base
from personalign.training.memory import GIB, check_memory, estimate
from personalign.training.trainer import examples


def pair(ask: str, chosen: str, rejected: str) -> PreferencePair:
    def said(text: str) -> tuple[Message, ...]:
        return (Message(role="assistant", content=text),)

    return PreferencePair(
        prompt=(Message(role="user", content=ask),),
        chosen=said(chosen),
        rejected=said(rejected),
        origin={"scene": f"scene-{ask}"},
    )


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        ([], "no pairs to train on"),
        ([pair("a", "yes", "yes \n")], "scene 'scene-a' has a chosen reply that equals"),
        (
            [pair(a, "always this", f"not {a}") for a in "abcd"],
            r"one-sided: the chosen reply of all 4 pairs is 'always this'",
        ),
        ([pair(a, f"yes {a}", "never") for a in "abcd"], "the rejected reply of all 4"),
        ([pair("a", "x", "y"), pair("a", "y", "x")], "contradicts pair of scene"),
    ],
)
def test_pairs_that_teach_nothing(tiny: LocalModel, pairs: list[PreferencePair], said: str) -> None:
    with pytest.raises(TrainingError, match=said):
        examples(tiny, pairs)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("I would ring her.<|im_end|>", "'scene-a' has a chosen reply that ends in '<|im_end|>'"),
        ("I would ring her.<|im_end|>\n", "'scene-a' has a chosen reply that ends in '<|im_end|>'"),
        ("I would ring her.<|endoftext|>", "ends in '<|endoftext|>', a control token of the base"),
        (
            "<think>\nHm.\n</think>\n\nI would ring her.",
            "'scene-a' has a thought in its chosen reply",
        ),
    ],
)
def test_what_the_template_writes_is_not_trained_twice(
    tiny: LocalModel, text: str, said: str
) -> None:
    with pytest.raises(TrainingError, match=re.escape(said)):
        examples(tiny, [pair("a", text, "no")])
    with pytest.raises(TrainingError, match=re.escape(said.replace("chosen", "rejected"))):
        examples(tiny, [pair("b", "yes", "no"), pair("a", "no", text)])


def test_a_control_token_within_a_reply_is_trained_as_text(tiny: LocalModel) -> None:
    (example,) = examples(tiny, [pair("a <|im_end|> b", "Write <|im_end|> there.", "no")])
    end = tiny.tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert [b.count(end) for b in example.tree.branches] == [1, 1]
    assert example.tree.prompt.count(end) == 2  # of the template's own system message, and ours


def test_a_base_whose_template_cannot_be_used_is_not_trained(tiny: LocalModel) -> None:
    tiny.tokenizer.chat_template = (
        "{% for m in messages %}{{ m.content }}{{ loop.last }}{% endfor %}"
    )
    with pytest.raises(ModelError, match="renders a prompt differently once a reply follows"):
        examples(tiny, [pair("a", "yes", "no")])


def test_memory_is_estimated_from_the_files(tiny_base: Path, tiny: LocalModel) -> None:
    need = estimate(tiny_base, "float32", TrainingConfig(method="full"), tokens=100)
    count = sum(p.numel() for p in tiny.model.parameters())
    assert need.weights == 4 * count
    assert need.trained == 16 * count
    halved = TrainingConfig(method="full", weight_dtype="bfloat16")
    assert estimate(tiny_base, "float32", halved, tokens=100).trained == 8 * count
    assert (
        estimate(tiny_base, "float32", TrainingConfig(method="full"), 100, 8).trained
        == (4 + 12 / 8) * count
    ), "of eight devices each holds the weights, and an eighth of all else"
    lora = estimate(tiny_base, "float32", TrainingConfig(lora=Lora(rank=1)), tokens=100)
    more = estimate(tiny_base, "float32", TrainingConfig(lora=Lora(rank=3)), tokens=100)
    from personalign.training.trainer import with_lora

    trained = with_lora(tiny.model, Lora(rank=1), 0).get_nb_trainable_parameters()[0]
    assert more.trained - lora.trained == 2 * 16 * trained
    half = estimate(tiny_base, "float32", TrainingConfig(), tokens=50)
    whole = estimate(tiny_base, "float32", TrainingConfig(), tokens=100)
    assert whole.activations > 1.5 * half.activations - 3 * 256 * 4 * 49152


def test_too_little_memory_is_an_error_with_numbers(tiny_base: Path) -> None:
    need = estimate(tiny_base, "float32", TrainingConfig(), tokens=10**7)
    with pytest.raises(
        TrainingError, match=r"needs about .* GiB .*activations .*1\.0 GiB are free"
    ):
        check_memory(need, "cpu", GIB)
    with pytest.raises(TrainingError, match="lower micro_batch"):
        check_memory(need, "cpu", GIB)


def test_nothing_is_loaded_where_memory_is_short(
    tiny_base: Path, pairs: list[PreferencePair], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("personalign.training.loading.free_memory", lambda device: 2**20)
    monkeypatch.setattr(LocalModel, "load", lambda *a, **k: pytest.fail("it was loaded"))
    with pytest.raises(TrainingError, match="GiB are free"):
        load_base(str(tiny_base), "float32", TrainingConfig(), pairs)
