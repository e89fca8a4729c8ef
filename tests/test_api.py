"""The Python API, as its documentation shows it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import personalign as pa
from personalign.corpus.pairs import opposite_pairs
from personalign.corpus.scenes import load, select
from personalign.errors import InputError
from personalign.measures import Measures
from personalign.records import Message
from personalign.training.card import read_card


@pytest.fixture(scope="module")
def base(tiny_base: Path) -> pa.Model:
    return pa.Model.load(str(tiny_base), "float32", "cpu")


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys, personalign; print([m for m in ('torch', 'pandas') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there() -> None:
    assert all(getattr(pa, name) for name in pa.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Modell'"):
        _ = pa.Modell


def test_a_model_answers_through_its_adapter(base: pa.Model, adapters: dict[str, Path]) -> None:
    said = "My landlord raised the rent."
    how = pa.Sampling(max_new_tokens=8)
    loud = base.with_adapter(adapters["one"])
    assert loud.reply(said, how) != base.reply(said, how) == loud.base.reply(said, how)
    assert base.with_adapter(adapters["one"], 0).reply(said, how) == base.reply(said, how)
    turns = [Message(role="user", content=said)]
    assert loud.reply(turns, how) == loud.reply(said, how)
    names = {m.respondent.name for m in (base, loud, loud.with_system("Be kind."))}
    assert len(names) == 3


def test_one_seed_draws_one_reply(base: pa.Model) -> None:
    hot = pa.Sampling(max_new_tokens=12, temperature=1.5)
    assert base.reply("Hello", hot, seed=1) == base.reply("Hello", hot, seed=1)
    assert base.reply("Hello", hot, seed=1) != base.reply("Hello", hot, seed=2)


def test_a_model_is_verified_without_a_study(base: pa.Model, adapters: dict[str, Path]) -> None:
    few = Measures(tasks=("behaviour",), scenes=4)
    asked = base.with_adapter(adapters["one"]).with_system(pa.load("INFP").system_prompt())
    found = pa.verify(asked, persona="INFP", measures=few)
    assert (found.persona, found.condition) == ("INFP", "prompted+adapter")
    assert {s.scale for s in found.scales} == {"EI", "SN", "TF", "JP"}
    assert found.margin is not None
    assert found.margin.scenes == 4
    assert pa.verify(asked, "INFP", few) == found


def test_a_persona_is_trained_without_a_study(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = pa.Model.load(str(tiny_base), "float32", "cpu")
    monkeypatch.setenv("PERSONALIGN_CACHE", str(tmp_path / "cache"))
    infp, scenes = pa.load("INFP"), select(load("starter/mbti"), "build", 4)
    pairs = opposite_pairs(scenes, "INFP", "ESTJ")
    short = pa.TrainingConfig.model_validate(
        {"epochs": 6, "batch_size": 2, "micro_batch": 2, "learning_rate": 5e-2,
         "health": {"samples": 0}}
    )  # fmt: skip
    own = pa.train(base, infp, pairs, short, tmp_path / "INFP")
    said, how = "My landlord raised the rent.", pa.Sampling(max_new_tokens=12, temperature=1.5)
    assert own.reply(said, how) != base.reply(said, how) == own.base.reply(said, how)
    assert read_card(tmp_path / "INFP").persona == "INFP"


def test_an_unknown_persona_is_named(base: pa.Model) -> None:
    with pytest.raises(InputError, match="unknown persona 'INPF'"):
        pa.verify(base, persona="INPF")


def test_a_study_is_read_run_and_looked_at(tiny_base: Path, tmp_path: Path) -> None:
    file = tmp_path / "small.yaml"
    asked = {
        "name": "small", "base": str(tiny_base), "personas": ["INFP"],
        "conditions": ["base", "prompted"],
        "measures": {"tasks": ["behaviour", "social"], "scenes": 2, "social_items": 3},
    }  # fmt: skip
    file.write_text(yaml.safe_dump(asked))
    study = pa.Study.read(file, tmp_path / "run")
    study.run()
    found = study.findings.contrasts
    assert {(c.task, c.n) for c in found} == {("starter-social", 3)}
    assert [v.condition for v in study.findings.verifications] == ["prompted"]
