"""A new persona's file is valid as written, explains every field, and keeps what it copies."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from personalign.errors import InputError
from personalign.personas import Persona, catalog, load, read, scaffold


def written(text: str, folder: Path) -> Persona:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return read(path)


def test_a_blank_persona_is_valid_and_shows_what_is_to_be_filled_in(tmp_path: Path) -> None:
    persona = written(scaffold("baker"), tmp_path)
    assert (persona.name, persona.framework, persona.letters()) == ("baker", "custom", "xxxx")
    texts = [persona.title, persona.licence, persona.source, *persona.system_prompt().split("\n")]
    assert all("…" in text for text in texts[:-1])


def test_every_field_stands_below_what_it_means() -> None:
    lines = scaffold("baker").split("\n")
    for name in Persona.model_fields:
        at = next(k for k, line in enumerate(lines) if line.startswith(f"{name}:"))
        assert lines[at - 1].startswith("# "), name
        assert len(lines[at - 1]) > 20, name


@pytest.mark.parametrize("like", catalog().values(), ids=lambda p: p.name)
def test_what_is_copied_stays_as_it_is(like: Persona, tmp_path: Path) -> None:
    persona = written(scaffold("mine", like), tmp_path)
    new = {"name", "framework", "version", "source"}
    assert persona.model_dump(exclude=new) == like.model_dump(exclude=new)
    assert persona.framework == "custom"
    assert like.name in persona.source


@pytest.mark.parametrize(
    "odd",
    ["a: b # c", "'quoted' \"twice\"", "- dash", "[x, y]", "? * & ! %", "two\n\nlines", "예: 네"],
)
def test_any_text_survives_the_file(odd: str, tmp_path: Path) -> None:
    every = {"title": odd, "identity": odd, "decides": odd, "values": [odd], "never": [odd, odd]}
    like = Persona.model_validate(load("INFP").model_dump() | every | {"framework": "custom"})
    new = {"name", "version", "source"}
    persona = written(scaffold("mine", like), tmp_path)
    assert persona.model_dump(exclude=new) == like.model_dump(exclude=new)


@pytest.mark.parametrize("name", ["", "a b", "a/b", "-a", "../a", "a.yaml", "é", "a\n"])
def test_a_bad_name_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="cannot name a persona"):
        scaffold(name)


def test_a_name_of_the_catalogue_is_refused() -> None:
    with pytest.raises(InputError, match="'INFP' is in the catalogue"):
        scaffold("INFP")


@pytest.mark.parametrize("name", ["null", "yes", "123", "1e3", "0x1F"])
def test_a_name_that_yaml_would_take_for_something_else(name: str, tmp_path: Path) -> None:
    assert written(scaffold(name), tmp_path).name == name


@pytest.mark.parametrize("field", ["title", "identity", "decides", "values", "never"])
@pytest.mark.parametrize("text", ["", "  "])
def test_an_emptied_field_is_named(field: str, text: str, tmp_path: Path) -> None:
    data = yaml.safe_load(scaffold("mine", load("INFP")))
    data[field] = [text] if isinstance(data[field], list) else text
    with pytest.raises(InputError, match=rf"mine\.yaml:\d+: {field}"):
        written(yaml.safe_dump(data), tmp_path)


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"mine\.yaml is UTF-16, not UTF-8"):
        read(tmp_path / "mine.yaml")
