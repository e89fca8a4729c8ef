"""Health: every check sees its own trouble and no other, and what is done about it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from personalign.errors import TrainingError
from personalign.judges.coherence import repetition
from personalign.models.local import LocalModel
from personalign.records import Message, PreferencePair
from personalign.training import trainer as room
from personalign.training.checkpoints import COMPLETE
from personalign.training.config import Health, TrainingConfig
from personalign.training.health import CHECKS, distinct_pairs, ear
from personalign.training.trainer import Example, PreferenceTrainer, train
from personalign.training.watch import Watch

SETTINGS = TrainingConfig(
    epochs=6,
    batch_size=2,
    micro_batch=2,
    learning_rate=5e-3,
    schedule="linear",
    warmup=0,
    checkpoint_steps=1,
)
GOOD = {"loss": 0.4, "logps/chosen_shift": 0.1, "rewards/accuracies": 0.9, "speech/base_loss": 0.2}
BAD = {
    "chosen log-prob collapse": {"logps/chosen_shift": -2.0},
    "reward accuracy stuck": {"rewards/accuracies": 0.5},
    "numbers not finite": {"skipped": 1.0},
    "replies repeat themselves": {"speech/drawn_repetition": 0.4},
    "replies alike": {"speech/distinct": 0.5},
    "replies cut short": {"speech/length": 0.2},
    "replies do not end": {"speech/ended": -0.4},
    "end of turn likelier": {"speech/end_inside": 3.0},
    "end of turn lost": {"speech/end_inside": -3.0},
    "distance from the base": {"speech/base_loss": 0.9},
}


@pytest.fixture
def data(data: list[Example]) -> list[Example]:
    """Two examples: one optimiser step an epoch."""
    return data[:2]


def with_health(**options: Any) -> TrainingConfig:
    return SETTINGS.model_copy(update={"health": Health(**options)})


def found(folder: Path) -> list[dict[str, Any]]:
    return list(json.loads((folder / "health.json").read_text()))


@pytest.mark.parametrize("name", BAD)
def test_each_check_sees_its_own_trouble_only(name: str) -> None:
    logs = [GOOD | BAD[name]] * 20
    seen = [c.name for c in CHECKS if c.look(logs, 20, Health())]
    assert seen == [name]
    assert not [c.name for c in CHECKS if c.look([GOOD] * 20, 20, Health())]


def test_accuracy_is_not_judged_before_a_third_of_the_steps() -> None:
    (stuck,) = [c for c in CHECKS if c.name == "reward accuracy stuck"]
    logs = [{"rewards/accuracies": 0.5}] * 20
    assert stuck.look(logs, 100, Health()) is None
    assert stuck.look(logs, 60, Health()) is not None


def test_one_odd_batch_is_no_problem() -> None:
    logs = [GOOD] * 19 + [GOOD | {"rewards/accuracies": 0.0, "logps/chosen_shift": -3.0}]
    assert not [c.name for c in CHECKS if c.look(logs, 20, Health())]


def test_repetition_of_words() -> None:
    assert repetition("a b c d e f") == 0
    assert repetition("la la la la la la") == pytest.approx(0.75)
    assert repetition("") == 0


@pytest.fixture
def collapsing(data: list[Example]) -> list[Example]:
    """Examples whose chosen replies were certain under the reference: they can only fall."""
    return [Example(e.tree, (0.0, e.reference[1])) for e in data]


def test_warn_says_it_and_goes_on(
    tiny: LocalModel, collapsing: list[Example], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    history = train(tiny, collapsing, with_health(patience=2), tmp_path)
    assert len(history) == 6
    first = found(tmp_path)[0]
    assert first["problem"] == "chosen log-prob collapse"
    assert first["value"] < first["limit"] == -1
    assert first["adjusted"] == {}
    said = capsys.readouterr().err
    assert "chosen log-prob collapse" in said
    assert "add an nll term" in said


def test_stop_keeps_the_checkpoint(
    tiny: LocalModel, collapsing: list[Example], tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match="stopped at step 1: chosen log-prob collapse"):
        train(tiny, collapsing, with_health(on_problem="stop"), tmp_path)
    assert (tmp_path / "checkpoints" / "checkpoint-1" / COMPLETE).exists()
    with pytest.raises(TrainingError, match="stopped at step 1"):  # the same command again
        train(tiny, collapsing, with_health(on_problem="stop"), tmp_path)
    assert not (tmp_path / "adapter_model.safetensors").exists()


class KilledError(Exception):
    """Stands for a kill between two steps."""


def test_adjust_changes_the_loss_and_survives_a_resume(
    tiny: LocalModel, collapsing: list[Example], tmp_path: Path
) -> None:
    settings = with_health(on_problem="adjust", patience=2)
    train(tiny, collapsing, settings, tmp_path / "whole")
    weights = [p["adjusted"].get("nll") for p in found(tmp_path / "whole") if p["adjusted"]]
    assert weights[:2] == [0.1, 0.2]

    def kill(step: int, of: int) -> None:
        if step == 3:
            raise KilledError

    with pytest.raises(KilledError):
        train(tiny, collapsing, settings, tmp_path / "killed", kill)
    train(tiny, collapsing, settings, tmp_path / "killed")
    train(tiny, collapsing, with_health(on_problem="warn", patience=2), tmp_path / "warned")
    whole, killed, warned = (
        load_file(tmp_path / n / "adapter_model.safetensors") for n in ("whole", "killed", "warned")
    )
    assert all(torch.equal(whole[k], killed[k]) for k in whole)
    assert not all(torch.equal(whole[k], warned[k]) for k in whole), "nothing was adjusted"


def test_adjust_slows_down_for_the_rest_of_the_schedule(
    tiny: LocalModel, data: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overflow_at(monkeypatch, steps={2})
    history = train(tiny, data, with_health(on_problem="adjust"), tmp_path)
    plain = [5e-3 * (6 - k) / 6 for k in range(6)]
    rates = [h["learning_rate"] for h in history]
    assert rates[:2] == pytest.approx(plain[:2])
    # The scheduler logs what it set last; what was halved after step 2 shows from its next turn.
    assert rates[3:] == pytest.approx([r / 2 for r in plain[3:]])


def overflow_at(monkeypatch: pytest.MonkeyPatch, steps: set[int]) -> None:
    """Make the loss infinite at some optimiser steps, counted from 1."""
    usual = PreferenceTrainer.compute_loss

    def broken(self: PreferenceTrainer, *args: Any, **kwargs: Any) -> Any:
        loss = usual(self, *args, **kwargs)
        return loss * float("nan") if self.state.global_step + 1 in steps else loss

    monkeypatch.setattr(PreferenceTrainer, "compute_loss", broken)


def test_a_step_that_is_not_finite_never_reaches_the_weights(
    tiny: LocalModel, data: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overflow_at(monkeypatch, steps={2})
    train(tiny, data, SETTINGS, tmp_path)
    assert [p["step"] for p in found(tmp_path)] == [2]
    saved = load_file(tmp_path / "adapter_model.safetensors")
    assert all(w.isfinite().all() for w in saved.values())
    assert any(w.abs().sum() > 0 for n, w in saved.items() if "lora_B" in n), "nothing was learned"


def test_three_such_steps_in_a_row_end_it(
    tiny: LocalModel, data: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overflow_at(monkeypatch, steps={2, 3, 4})
    with pytest.raises(TrainingError, match="not finite for 3 steps, up to step 4"):
        train(tiny, data, SETTINGS, tmp_path)


def test_a_step_that_was_made_all_the_same_ends_it(
    tiny: LocalModel, data: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Watch, "on_pre_optimizer_step", lambda *a, **k: None)  # as DeepSpeed does
    overflow_at(monkeypatch, steps={2})
    with pytest.raises(TrainingError, match="not finite at step 2, and the step was made"):
        train(tiny, data, SETTINGS, tmp_path)


@pytest.fixture
def asked(pairs: list[PreferencePair]) -> list[tuple[Message, ...]]:
    """Prompts of the persona's kind."""
    return [p.prompt for p in pairs]


SHORT = Health(samples=3, sample_steps=4, sample_tokens=8)


def test_text_is_looked_at_without_disturbing_the_training(
    tiny: LocalModel, data: list[Example], asked: list[tuple[Message, ...]], tmp_path: Path
) -> None:
    settings = SETTINGS.model_copy(update={"health": SHORT})
    heard = ear(tiny, asked, SHORT)
    looked = train(tiny, data, settings, tmp_path / "looked", heard=heard)
    plain = train(tiny, data, settings, tmp_path / "plain")
    assert [h["loss"] for h in looked] == [h["loss"] for h in plain]
    at = [h["step"] for h in looked if "speech/base_loss" in h]
    assert at == [4, 6]
    away = [h["speech/base_loss"] for h in looked if "speech/base_loss" in h]
    assert len(set(away)) == 2
    assert all(away)


def test_an_untrained_adapter_speaks_as_its_base(
    tiny: LocalModel, asked: list[tuple[Message, ...]]
) -> None:
    heard = ear(tiny, asked, SHORT)
    assert heard is not None
    model = room.with_lora(tiny.model, SETTINGS.lora, 0)
    now = heard.hear(LocalModel(model, tiny.tokenizer, tiny.identity))
    assert now.beside(heard.base) == pytest.approx(heard.base.beside(heard.base), abs=1e-4)


def test_the_base_is_let_talk_once(
    tiny: LocalModel, asked: list[tuple[Message, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ear(tiny, asked, SHORT)
    monkeypatch.setattr(LocalModel, "generate", lambda *a, **k: pytest.fail("it was drawn again"))
    assert ear(tiny, asked, SHORT) == first


def test_held_out_prompts_and_our_own_are_asked_in_turn(
    tiny: LocalModel, asked: list[tuple[Message, ...]]
) -> None:
    heard = ear(tiny, asked, SHORT)
    assert heard is not None
    assert [p in asked for p in heard.prompts] == [True, False, True]


def test_an_end_of_turn_is_sought_after_each_inner_sentence_and_at_the_end(
    embedded: LocalModel,
) -> None:
    heard = ear(embedded, [], Health(samples=2, sample_tokens=96))
    assert heard is not None
    ends = embedded.stops()
    inner = [branch for said in heard.said for branch in said.tree.branches[1:]]
    assert inner
    assert all(branch[-1] in ends and not set(branch[:-1]) & set(ends) for branch in inner)
    assert heard.base.end_at_end > heard.base.end_inside


def test_alike_openings_have_few_distinct_pairs() -> None:
    same = ["I am not sure what to say."] * 4
    assert distinct_pairs(same) == pytest.approx(0.25)
    assert distinct_pairs(["a b c", "d e f"]) == 1
    assert distinct_pairs([]) == 0


def test_nothing_asked_no_look(tiny: LocalModel, asked: list[tuple[Message, ...]]) -> None:
    assert ear(tiny, asked, Health(samples=0)) is None


HEARD = {
    "INFP, beta 0.1 at 1e-3": ("replies cut short", (0.10, 0.80, 0.42, 2.90, -0.12, 1.44)),
    "ESTJ, beta 0.1 at 1e-3": ("replies do not end", (1.24, 1.00, -0.29, -2.90, -4.20, 0.70)),
    "INFP, beta 0.3, nll 2, kl 1": (None, (0.56, 0.96, 0.52, 1.42, 1.02, 0.37)),
    "ESTJ, beta 0.3, nll 2, kl 1": (None, (0.58, 0.94, 0.46, 1.65, 1.17, 0.31)),
}
"""What was heard after four trainings of the embedded model on 96 situations, 24 prompts each."""


@pytest.mark.parametrize("name", HEARD)
def test_the_limits_part_broken_trainings_from_good_ones(name: str) -> None:
    problem, values = HEARD[name]
    keys = ("length", "distinct", "ended", "end_inside", "end_at_end", "base_loss")
    log = {f"speech/{k}": v for k, v in zip(keys, values, strict=True)}
    found = [c.name for c in CHECKS if c.look([log], 1, Health())]
    assert problem in found if problem else not found
