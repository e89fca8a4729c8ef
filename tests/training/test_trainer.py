"""Training: the losses of TRL, the same weights after a kill, nothing lost."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from personalign.errors import TrainingError
from personalign.models.local import LocalModel
from personalign.records import Message, PreferencePair
from personalign.training.checkpoints import COMPLETE, last_complete
from personalign.training.config import Health, Lora, TrainingConfig
from personalign.training.trainer import Example, examples, train, with_lora

SETTINGS = TrainingConfig(
    epochs=2,
    batch_size=4,
    micro_batch=2,
    learning_rate=5e-3,
    schedule="linear",
    warmup=0,
    checkpoint_steps=2,
)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "adapter_model.safetensors")


def trl_losses(local: LocalModel, pairs: list[PreferencePair], out: Path) -> list[float]:
    datasets = pytest.importorskip("datasets")
    trl = pytest.importorskip("trl")
    rows = [p.model_dump(include={"prompt", "chosen", "rejected"}) for p in pairs]
    config = trl.DPOConfig(
        output_dir=str(out),
        num_train_epochs=SETTINGS.epochs,
        per_device_train_batch_size=2,
        gradient_accumulation_steps=2,
        learning_rate=SETTINGS.learning_rate,
        beta=SETTINGS.beta,
        lr_scheduler_type="linear",
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        bf16=False,
        seed=SETTINGS.seed,
        data_seed=SETTINGS.seed,
    )
    peer = trl.DPOTrainer(
        model=with_lora(local.model, SETTINGS.lora, SETTINGS.seed),
        args=config,
        train_dataset=datasets.Dataset.from_list(rows),
        processing_class=local.tokenizer,
    )
    peer.train()
    return [h["loss"] for h in peer.state.log_history if "loss" in h]


def test_losses_are_those_of_trl(
    tiny_base: Path, pairs: list[PreferencePair], tmp_path: Path
) -> None:
    mine, theirs = (LocalModel.load(str(tiny_base), "float32", "cpu") for _ in range(2))
    history = train(mine, examples(mine, pairs), SETTINGS, tmp_path / "ours")
    ours = [h["loss"] for h in history]
    expected = trl_losses(theirs, pairs, tmp_path / "trl")
    assert len(ours) == len(expected) == 6
    assert ours[0] == pytest.approx(0.6931, abs=1e-4)
    assert ours[-1] < 0.9 * ours[0], "nothing was learned, so parity would mean nothing"
    assert ours == pytest.approx(expected, rel=0.02)


def test_it_learns_and_leaves_the_base_as_it_was(
    tiny: LocalModel, data: list[Example], tmp_path: Path
) -> None:
    before = {n: p.clone() for n, p in tiny.model.named_parameters()}
    history = train(tiny, data, SETTINGS, tmp_path / "out")
    assert history[-1]["loss"] < history[0]["loss"]
    assert history[-1]["rewards/margins"] > 0
    after = dict(tiny.model.named_parameters())
    assert before.keys() == after.keys()
    assert all(torch.equal(before[n], after[n]) for n in before)


def test_micro_batches_change_no_result(
    tiny: LocalModel, data: list[Example], tmp_path: Path
) -> None:
    histories = [
        train(tiny, data, SETTINGS.model_copy(update={"micro_batch": size}), tmp_path / str(size))
        for size in (1, 2, 4)
    ]
    losses = [[h["loss"] for h in history] for history in histories]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert losses[0] == pytest.approx(losses[2], rel=1e-3)


class KilledError(Exception):
    """Stands for a kill between two steps."""


@pytest.mark.parametrize("at", [3, 4])
def test_resumed_training_ends_with_the_same_weights(
    tiny: LocalModel, data: list[Example], tmp_path: Path, at: int
) -> None:
    train(tiny, data, SETTINGS, tmp_path / "whole")

    def kill(step: int, of: int) -> None:
        if step == at:
            raise KilledError

    with pytest.raises(KilledError):
        train(tiny, data, SETTINGS, tmp_path / "killed", kill)
    steps: list[int] = []
    train(tiny, data, SETTINGS, tmp_path / "killed", lambda step, of: steps.append(step))
    assert steps[0] > 1, "it began from the start"
    whole, resumed = weights(tmp_path / "whole"), weights(tmp_path / "killed")
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_torn_checkpoint_is_not_trusted(
    tiny: LocalModel, data: list[Example], tmp_path: Path
) -> None:
    torn = tmp_path / "out" / "checkpoints" / "checkpoint-4"
    torn.mkdir(parents=True)
    (torn / "trainer_state.json").write_text("{")
    history = train(tiny, data, SETTINGS, tmp_path / "out")
    assert len(history) == 6


def test_reference_is_computed_once(
    tiny: LocalModel, pairs: list[PreferencePair], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = examples(tiny, pairs)

    def forbidden(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("the cache was not used")

    monkeypatch.setattr(LocalModel, "score", forbidden)
    assert examples(tiny, pairs) == first


def test_half_done_reference_costs_only_the_rest(
    tiny: LocalModel, pairs: list[PreferencePair]
) -> None:
    examples(tiny, pairs[:5])
    ticks: list[int] = []
    examples(tiny, pairs, progress=ticks.append)
    assert ticks[0] == 5
    assert sum(ticks) == len(pairs)


def test_system_prompt_is_part_of_the_example(
    tiny: LocalModel, pairs: list[PreferencePair]
) -> None:
    plain, told = (examples(tiny, pairs[:1], system)[0] for system in (None, "You are kind."))
    assert plain.tree.prompt != told.tree.prompt
    assert "You are kind." in tiny.tokenizer.decode(told.tree.prompt)


def test_a_target_that_matches_nothing_is_an_error(
    tiny: LocalModel, data: list[Example], tmp_path: Path
) -> None:
    bad = SETTINGS.model_copy(update={"lora": Lora(targets=("no_such_layer",))})
    with pytest.raises(TrainingError, match="no_such_layer"):
        train(tiny, data, bad, tmp_path / "out")


def test_a_reply_longer_than_the_context_is_an_error(tiny: LocalModel) -> None:
    def said(text: str) -> tuple[Message, ...]:
        return (Message(role="assistant", content=text),)

    pair = PreferencePair(
        prompt=(Message(role="user", content="Hello"),),
        chosen=said("word " * 3000),
        rejected=said("no"),
        origin={"scene": "long-1"},
    )
    with pytest.raises(TrainingError, match=r"long-1.*context of 2048"):
        examples(tiny, [pair])


def test_nothing_to_train_on(tiny: LocalModel, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no pairs"):
        train(tiny, [], SETTINGS, tmp_path)


def test_checkpoints_are_marked_when_whole(
    tiny: LocalModel, data: list[Example], tmp_path: Path
) -> None:
    def kill(step: int, of: int) -> None:
        if step == 5:
            raise KilledError

    with pytest.raises(KilledError):
        train(tiny, data, SETTINGS, tmp_path, kill)
    kept = sorted((tmp_path / "checkpoints").glob("checkpoint-*"))
    assert [p.name for p in kept] == ["checkpoint-2", "checkpoint-4"]
    assert all((p / COMPLETE).exists() for p in kept)


def test_checkpoints_torn_while_they_are_discarded_do_not_look_whole(
    tiny: LocalModel, data: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove = shutil.rmtree

    def killed(folder: Path, **options: Any) -> None:
        if folder != tmp_path / "checkpoints":
            return remove(folder, **options)
        assert list(folder.glob("checkpoint-*/*.safetensors"))
        raise KilledError

    monkeypatch.setattr(shutil, "rmtree", killed)
    with pytest.raises(KilledError):
        train(tiny, data, SETTINGS, tmp_path)
    monkeypatch.undo()
    assert last_complete(tmp_path / "checkpoints") is None


@pytest.mark.parametrize("count", [5, 7])
def test_an_uneven_last_pass_weighs_what_its_pairs_weigh(
    tiny: LocalModel, data: list[Example], tmp_path: Path, count: int
) -> None:
    histories = []
    for size in (1, 2, 4):
        s = SETTINGS.model_copy(update={"micro_batch": size, "batch_size": 8})
        histories.append(train(tiny, data[:count], s, tmp_path / str(size)))
    for name in ("loss", "grad_norm", "rewards/margins", "logps/chosen"):
        first, *others = ([h[name] for h in history] for history in histories)
        for other in others:
            assert other == pytest.approx(first, rel=2e-3, abs=1e-5), name


def test_float16_is_refused(tiny_base: Path, data: list[Example], tmp_path: Path) -> None:
    half = LocalModel.load(str(tiny_base), "float16", "cpu")
    with pytest.raises(TrainingError, match=r"float16 .*bfloat16"):
        train(half, data, SETTINGS, tmp_path)


def test_max_grad_norm_is_a_setting(tiny: LocalModel, data: list[Example], tmp_path: Path) -> None:
    still = SETTINGS.model_copy(update={"max_grad_norm": 1e-12, "epochs": 1})
    free = SETTINGS.model_copy(update={"max_grad_norm": 0.0, "epochs": 1})
    held, moved = (train(tiny, data, s, tmp_path / str(s.max_grad_norm)) for s in (still, free))
    assert abs(held[-1]["rewards/margins"]) < 0.1 * abs(moved[-1]["rewards/margins"])


@pytest.mark.parametrize("objective", ["simpo", "orpo"])
def test_objectives_without_a_base_compute_no_reference(
    tiny: LocalModel,
    pairs: list[PreferencePair],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    objective: str,
) -> None:
    def forbidden(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("a reference was computed")

    monkeypatch.setattr(LocalModel, "score", forbidden)
    made = examples(tiny, pairs[:4], objective=objective)
    s = TrainingConfig.model_validate(
        {**SETTINGS.model_dump(exclude={"beta"}), "objective": objective}
    )
    history = train(tiny, made, s, tmp_path)
    assert all(h["loss"] == h["loss"] for h in history)
    assert "logps/chosen_shift" not in history[0]


def test_training_ends_once_the_margin_has_what_it_needs(
    tiny: LocalModel, data: list[Example], tmp_path: Path
) -> None:
    settings = SETTINGS.model_copy(update={"epochs": 6, "health": Health(patience=2)})
    whole = train(tiny, data, settings, tmp_path / "whole")
    margins = [h["margins/token"] for h in whole]
    target = sum(margins[5:7]) / 2
    enough = settings.model_copy(update={"target_margin": target})
    ended = train(tiny, data, enough, tmp_path / "ended")
    first = next(k for k in range(1, 18) if sum(margins[k - 1 : k + 1]) / 2 >= target)
    assert [h["loss"] for h in ended] == [h["loss"] for h in whole[: first + 1]]
    assert len(ended) < len(whole) == 18
