"""What docs/personas.md shows is what the code reads and makes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from personalign.corpus.pairs import opposite_pairs
from personalign.personas import Persona, read
from personalign.records import Scene

DOC = (Path(__file__).parents[2] / "docs" / "personas.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", DOC, re.DOTALL | re.MULTILINE)


@pytest.fixture
def example(tmp_path: Path) -> Persona:
    path = tmp_path / "ferry_steward.yaml"
    path.write_text(blocks("yaml")[0], encoding="utf-8")
    return read(path)


def test_the_example_loads_and_keeps_to_the_advice(example: Persona) -> None:
    assert example.name == "ferry_steward"
    assert example.framework == "custom"
    assert 70 <= len(example.system_prompt().split()) <= 170


def test_the_prompt_shown_is_the_prompt_made(example: Persona) -> None:
    assert blocks("text") == [example.system_prompt() + "\n"]


def test_every_field_is_explained_and_whether_the_prompt_holds_it(example: Persona) -> None:
    rows = re.findall(r"^\| `(\w+)` \| (yes|no) \|", DOC, re.MULTILINE)
    assert [name for name, _ in rows] == list(Persona.model_fields)
    prompt = example.system_prompt()
    for name, told in rows:
        value = getattr(example, name)
        texts = value if isinstance(value, tuple) else [str(value)]
        assert all(t in prompt for t in texts) == (told == "yes"), name


def test_the_scene_makes_a_pair_of_the_example(example: Persona) -> None:
    scene = Scene.model_validate_json(blocks("json")[0])
    [pair] = opposite_pairs([scene], example.name, str(example.opposite))
    assert pair.chosen[0].content.startswith("Sit down first")


def test_recipe_and_studies_are_read() -> None:
    from personalign.corpus.recipe import Recipe
    from personalign.study import StudyConfig

    corpus, recipe, generated = [yaml.safe_load(b) for b in blocks("yaml")[1:]]
    assert StudyConfig.model_validate(corpus).personas == ("ferry_steward.yaml",)
    assert Recipe.model_validate(recipe).measure == 20
    assert StudyConfig.model_validate(generated).pairs["ferry_steward"].measure
