"""What a study trains: the prompt, the neutral replies, whole models; and what the card says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from personalign import personas
from personalign.errors import TrainingError
from personalign.models.local import LocalModel
from personalign.records import Arm
from personalign.runs import content_hash, do_all
from personalign.study import Study, StudyConfig
from personalign.training import persona as room
from personalign.training.card import read_card
from personalign.training.config import TrainingConfig
from personalign.training.persona import persona_prompt, training_prompt

CONFIGS = Path(__file__).parents[2] / "src" / "personalign" / "recipes" / "accelerate"
TRAINING: dict[str, Any] = {
    "epochs": 1,
    "batch_size": 2,
    "micro_batch": 1,
    "learning_rate": 5e-3,
    "health": {"samples": 0},
}


def study(base: Path, folder: Path, **training: Any) -> Study:
    config = {
        "name": "small",
        "base": str(base),
        "dtype": "float32",
        "personas": ["INFP"],
        "build_scenes": 2,
        "measures": {"tasks": ["behaviour"], "scenes": 2},
        "training": TRAINING | training,
    }
    if "kl" in training:
        file = folder.parent / "neutral.jsonl"
        asked = ["Name a colour.", "What is two plus two?"]
        file.write_text("".join(f'{{"kind": "fact", "turns": ["{a}"]}}\n' for a in asked))
        config["neutral"] = str(file)
    made = Study(StudyConfig.model_validate(config), folder)
    made.begin()
    return made


@pytest.mark.parametrize(
    ("training", "said"),
    [
        ({"report_to": ["clearml"]}, "tracker 'clearml' is not installed"),
        ({"lora": {"targets": ["q_prog"]}}, "LoRA target 'q_prog' matches no linear layer"),
    ],
)
def test_settings_are_refused_before_anything_is_computed(
    tiny_base: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    training: dict[str, Any],
    said: str,
) -> None:
    monkeypatch.setattr(LocalModel, "score", lambda *a, **k: pytest.fail("it was computed"))
    with pytest.raises(TrainingError, match=said):
        study(tiny_base, tmp_path / "run", **training).train("INFP")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_base: Path) -> None:
    """No reference log-probs from or for anybody else."""
    monkeypatch.setenv("PERSONALIGN_CACHE", str(tmp_path / "cache"))


def test_the_prompt_of_training_is_the_one_of_measuring() -> None:
    persona = personas.load("INFP")
    own = persona.system_prompt()
    expected = {"none": (None, own), "persona": (own, own), "lapd": ("You are an INFP",) * 2}
    for system, prompts in expected.items():
        settings = TrainingConfig.model_validate({"system": system})
        assert (training_prompt(persona, settings), persona_prompt(persona, settings)) == prompts


def test_a_full_fine_tuning_with_neutral_prompts_is_measured_as_itself(
    tiny_base: Path, tmp_path: Path
) -> None:
    whole = study(tiny_base, tmp_path / "run", method="full", kl=0.5, system="lapd")
    whole.train("INFP")
    card = read_card(tmp_path / "run" / "adapters" / "INFP")
    assert (card.settings.method, card.system) == ("full", "You are an INFP")
    assert card.pairs == 2
    arm = Arm(persona="INFP", condition="prompted+adapter")
    assert whole.who.system(arm) == "You are an INFP"
    made, base = whole.who.of(arm), whole.who.of(Arm())
    assert not made.name.startswith(whole.who.identity)
    assert base.name.startswith(whole.who.identity)
    do_all([whole.work.measure(a, m) for a in (arm, Arm()) for m in whole.content.measures],
           whole.store)  # fmt: skip


def test_a_tenth_is_heard_and_does_not_train(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[Any]()
    monkeypatch.setattr(room, "ear", lambda local, prompts, *rest: asked.extend(prompts))
    whole = study(tiny_base, tmp_path / "run")
    config = StudyConfig.model_validate(whole.config.model_dump() | {"build_scenes": 20})
    larger = Study(config, tmp_path / "larger")
    larger.begin()
    larger.train("INFP")
    made = larger.content.pairs("INFP")
    card = read_card(tmp_path / "larger" / "adapters" / "INFP")
    assert [p.prompt for p in (made[9], made[19])] == asked
    assert card.pairs == 18
    assert card.pairs_hash == content_hash([*made[:9], *made[10:19]])


def test_what_several_personas_share_is_scored_once(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored, usual = list[int](), LocalModel.score

    def counting(self: LocalModel, trees: Any, *args: Any, **kwargs: Any) -> Any:
        scored.append(sum(len(t.branches) for t in trees))
        return usual(self, trees, *args, **kwargs)

    monkeypatch.setattr(LocalModel, "score", counting)
    whole = study(tiny_base, tmp_path / "run")
    pair = StudyConfig.model_validate(
        whole.config.model_dump() | {"personas": ["INFP", "ESTJ", "INFJ"]}
    )
    both = Study(pair, tmp_path / "run")
    both.begin()
    do_all(list(both.work.training()), both.store)
    # two scenes, replies of INFP, ESTJ, INFJ and ESTP: each once, not once a pair
    assert sum(scored) == 2 * 4


@pytest.mark.slow
def test_the_train_command_works_on_two_processes(tiny_base: Path, tmp_path: Path) -> None:
    file = tmp_path / "small.yaml"
    config = study(tiny_base, tmp_path / "one").config.model_dump(mode="json")
    file.write_text(yaml.safe_dump(config))
    launch = ["-m", "accelerate.commands.launch", "--config_file", str(CONFIGS / "ddp.yaml")]
    command = ["-m", "personalign", "train", str(file), "INFP", "--out", str(tmp_path / "two")]
    for _ in range(2):  # the second time there is nothing to do
        done = subprocess.run(
            [sys.executable, *launch, *command],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=900,
        )
        assert done.returncode == 0, done.stderr[-3000:]
    card = read_card(tmp_path / "two" / "adapters" / "INFP")
    assert (card.pairs, card.processes) == (2, 2)


@pytest.mark.slow
def test_personas_are_trained_at_the_same_time(tiny_base: Path, tmp_path: Path) -> None:
    file, out = tmp_path / "small.yaml", tmp_path / "run"
    config = study(tiny_base, tmp_path / "one").config
    config = config.model_copy(update={"personas": ("INFP", "ESTJ", "ENTP")})
    file.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    command = [sys.executable, "-m", "personalign", "train", str(file), "--out", str(out)]
    started = [
        subprocess.Popen([*command, name], stderr=subprocess.PIPE, text=True)
        for name in ("INFP", "ESTJ", "ENTP")
    ]
    for process in started:
        _, said = process.communicate(timeout=900)
        assert process.returncode == 0, said[-3000:]
    seen: list[str] = []

    def announce(name: str, total: int) -> Any:
        seen.append(name)
        return lambda done: None

    whole = Study(config, out, announce)
    assert do_all(list(whole.work.training()), whole.store) == ["reference"]
    assert not seen, "it was trained again"


def own_pair(ask: str, chosen: str, rejected: str = "No.") -> str:
    def said(role: str, text: str) -> list[dict[str, str]]:
        return [{"role": role, "content": text}]

    sides = {"chosen": said("assistant", chosen), "rejected": said("assistant", rejected)}
    return json.dumps({"prompt": said("user", ask)} | sides)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["", own_pair("Long?", "word " * 3000)], r"own\.jsonl:3: pair 'Long\?' has \d+ tokens"),
        ([own_pair("Hello?", "No.", "Yes.")],
         r"own\.jsonl:[12]: pair 'Hello\?' contradicts pair 'Hello\?'"),
    ],
)  # fmt: skip
def test_a_pair_of_ones_own_is_refused_by_its_line(
    tiny_base: Path, tmp_path: Path, lines: list[str], said: str
) -> None:
    file = tmp_path / "own.jsonl"
    file.write_text("\n".join([own_pair("Hello?", "Yes."), *lines]) + "\n")
    config = study(tiny_base, tmp_path / "run").config
    pairs = {"INFP": {"build": str(file)}}
    own = StudyConfig.model_validate(config.model_dump(mode="json") | {"pairs": pairs})
    made = Study(own, tmp_path / "run")
    made.begin()
    with pytest.raises(TrainingError, match=said + ".*or take the line out"):
        made.train("INFP")
