"""The local engine as an Inspect provider: identity, batches, settings, usage, choices."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from inspect_ai.model import GenerateConfig, Model, ModelOutput, get_model

from personalign.errors import InputError, ModelError
from personalign.models.engine import adopt
from personalign.models.local import LocalModel
from personalign.models.provider import CHOICES, ModelArgs, arm_model
from personalign.models.sampling import Sampling
from personalign.records import Message

SHORT = GenerateConfig(max_tokens=6)


@pytest.fixture(scope="module")
def local(tiny_base: Path, adapters: dict[str, Path]) -> LocalModel:
    local = LocalModel.load(str(tiny_base), "float32", "cpu")
    for name, folder in adapters.items():
        local.add_adapter(name, folder)
    return local


def arms() -> list[ModelArgs]:
    return [
        ModelArgs(),
        ModelArgs("A", "prompted", system="Be kind."),
        ModelArgs("A", "adapter", adapter="one"),
        ModelArgs("A", "prompted+adapter", system="Be kind.", adapter="one"),
        ModelArgs("B", "adapter", adapter="two"),
        ModelArgs("B", "prompted+adapter", system="Be kind.", adapter="two"),
    ]


def ask(models: Sequence[Model], text: str = "Hello", config: Any = SHORT) -> list[ModelOutput]:
    async def all_at_once() -> list[ModelOutput]:
        return await asyncio.gather(*(m.generate(text, config=config) for m in models))

    return asyncio.run(all_at_once())


def test_arms_asked_at_once_answer_as_the_model_does_alone(local: LocalModel) -> None:
    models = [arm_model(local, arm) for arm in arms()]
    outputs = ask(models)
    assert adopt(local).queue.batches[-1] == len(models)
    for arm, output in zip(arms(), outputs, strict=True):
        said = [Message(role="user", content="Hello")]
        if arm.system:
            said.insert(0, Message(role="system", content=arm.system))
        alone = local.generate([said], [arm.adapter], Sampling(6), [0])[0]
        assert output.completion == alone.text
        assert output.usage is not None
        assert output.usage.input_tokens == len(local.chat.prompt(said))
        assert output.usage.output_tokens == alone.tokens
        assert output.stop_reason == "max_tokens"


def test_names_say_all_that_answers_depend_on(
    local: LocalModel, adapters: dict[str, Path], tmp_path: Path
) -> None:
    louder = tmp_path / "louder"
    shutil.copytree(adapters["one"], louder)
    settings = louder / "adapter_config.json"
    settings.write_text(settings.read_text().replace('"lora_alpha": 8', '"lora_alpha": 16'))
    folder = str(adapters["one"])
    others = [
        *arms(),
        ModelArgs("A", "prompted", system="Be kind. "),
        ModelArgs("A", "adapter", adapter=folder, strength=0.5),
        ModelArgs("A", "adapter", adapter=folder, strength=0.1 + 0.2),
        ModelArgs("A", "adapter", adapter=folder, strength=0.3),
        ModelArgs("A", "adapter", adapter=str(louder)),
    ]
    names = [str(arm_model(local, arm)) for arm in others]
    assert len(set(names)) == len(others)
    assert all(name.startswith(f"personalign/{local.identity}+float32-") for name in names)
    same = arm_model(local, ModelArgs("Another label", "adapter", adapter=folder, strength=1.0))
    assert str(same) == str(arm_model(local, ModelArgs("A", "adapter", adapter="one")))


def test_no_cache_can_mix_two_adapters(
    local: LocalModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INSPECT_CACHE_DIR", str(tmp_path))
    cached = GenerateConfig(max_tokens=6, cache=True)
    first = [o.completion for o in ask([arm_model(local, arm) for arm in arms()], config=cached)]
    assert len(set(first)) > 2  # or there would be nothing to mix
    count = len(adopt(local).queue.batches)
    again = [o.completion for o in ask([arm_model(local, arm) for arm in arms()], config=cached)]
    assert again == first
    assert len(adopt(local).queue.batches) == count  # all from the cache
    assert len([f for f in tmp_path.rglob("*") if f.is_file()]) == len(arms())
    for arm, reply in zip(reversed(arms()), reversed(first), strict=True):
        assert ask([arm_model(local, arm)], config=cached)[0].completion == reply


def test_settings_are_honoured_and_seeded(local: LocalModel) -> None:
    base = arm_model(local, ModelArgs())
    hot = GenerateConfig(max_tokens=12, temperature=1.2, seed=1)
    one, two = (ask([base], config=hot)[0].completion for _ in range(2))
    other = ask([base], config=hot.model_copy(update={"seed": 2}))[0].completion
    assert one == two != other
    assert ask([base], "Hello!", hot)[0].completion != one
    narrow = ask([base], config=hot.model_copy(update={"top_p": 1e-6}))[0].completion
    greedy = ask([base], config=GenerateConfig(max_tokens=12))[0].completion
    assert narrow == greedy
    stop = GenerateConfig(max_tokens=12, stop_seqs=[greedy[4:7]])
    cut = ask([base], config=stop)[0]
    assert cut.completion == greedy[: greedy.index(greedy[4:7])].strip()
    assert cut.stop_reason == "stop"


@pytest.mark.parametrize(
    "config",
    [
        {"logprobs": True},
        {"num_choices": 2},
        {"frequency_penalty": 0.5},
        {"logit_bias": {1: 5.0}},
    ],
)
def test_what_cannot_be_honoured_is_refused(local: LocalModel, config: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(config))):
        ask([arm_model(local, ModelArgs())], config=GenerateConfig(**config))


def test_choices_are_scored_as_a_tree(local: LocalModel) -> None:
    answers = ["Yes, of course.", "No.", "I would rather not."]
    config = GenerateConfig(extra_body={CHOICES: answers})
    outputs = ask([arm_model(local, arm) for arm in arms()], config=config)
    for arm, output in zip(arms(), outputs, strict=True):
        said = [Message(role="user", content="Hello")]
        if arm.system:
            said.insert(0, Message(role="system", content=arm.system))
        scored = local.score([local.chat.reply_tree(said, answers)], arm.adapter)[0]
        sums = [float(s.sum()) for s in scored]
        assert output.metadata is not None
        assert output.metadata["log_probs"] == pytest.approx(sums, abs=1e-3)
        assert output.completion == answers[sums.index(max(sums))]


def test_a_prompt_that_fills_the_window_is_said(local: LocalModel) -> None:
    output = ask([arm_model(local, ModelArgs())], "word " * 3000)[0]
    assert output.stop_reason == "model_length"
    assert output.completion == ""


def test_models_from_arguments_as_the_command_line_gives_them(
    tiny_base: Path, adapters: dict[str, Path], local: LocalModel
) -> None:
    engine = adopt(local)
    given = {"adapter": str(adapters["one"]), "strength": 0.5, "dtype": "float32", "device": "cpu"}
    from_cli = get_model(f"personalign/{tiny_base}", persona="INFP", **given)
    assert from_cli.api.respondent.engine is engine  # type: ignore[attr-defined]
    assert "+adapter@" in from_cli.name
    both = get_model(
        f"personalign/{tiny_base}", persona="INFP", condition="prompted+adapter", **given
    )
    assert "system@" in both.name
    again = get_model(f"personalign/{both.name}", persona="INFP", condition="prompted+adapter",
                      memoize=False, **given)  # fmt: skip
    assert again.name == both.name
    with pytest.raises(ModelError, match="has become"):
        get_model(f"personalign/{both.name}", persona="INFP", **given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"condition": "promted"}, "did you mean 'prompted'"),
        ({"condition": "prompted"}, "base has no persona"),
        ({"persona": "INFP", "condition": "adapter"}, "without an adapter"),
        ({"persona": "INFP", "condition": "prompted", "adapter": "x"}, "with an adapter"),
        ({"persona": "INFP", "condition": "base"}, "base has no persona"),
        ({"persona": "INFX"}, "unknown persona 'INFX'"),
        ({"persona": "INFP", "adapter": "nowhere"}, "unknown adapter 'nowhere'"),
    ],
)
def test_arms_that_contradict_themselves(
    tiny_base: Path, local: LocalModel, given: dict[str, Any], message: str
) -> None:
    adopt(local)
    with pytest.raises(InputError, match=message):
        get_model(f"personalign/{tiny_base}", dtype="float32", device="cpu", **given)
