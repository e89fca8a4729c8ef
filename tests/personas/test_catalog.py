"""One contract for every persona file."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

import pytest

from personalign.errors import InputError
from personalign.personas import TYPES, Persona, catalog, load, read

JARGON = re.compile(
    r"\b(intro|extra)vert\w*|\bintuitive|\bsensing|\bthinker|\bfeeler|\bjudging|\bperceiving"
    r"|\bMBTI|\bpersonality|\b[IE][SN][TF][JP]\b",
    re.IGNORECASE,
)

HARM = re.compile(
    r"harm(?!on)|danger|\b(?:un)?safe|\brisk|\bhurt|\bcruel|\bviolen|\bthreat|\billegal|\brevenge"
    r"|\bhealth|\bdespair|\bhelp\b",
    re.IGNORECASE,
)
"""What a safety instruction speaks of."""


def test_all_sixteen_types_are_there() -> None:
    assert set(TYPES) <= set(catalog())


@pytest.mark.parametrize("persona", catalog().values(), ids=lambda p: p.name)
def test_contract(persona: Persona) -> None:
    prompt = persona.system_prompt()
    assert 70 <= len(prompt.split()) <= 170
    assert not JARGON.search(prompt)
    assert persona.licence == "CC-BY-4.0"
    if persona.opposite:
        other = load(persona.opposite)
        assert other.opposite == persona.name
        assert {s: -v for s, v in persona.traits.items()} == other.traits


def test_no_measured_persona_is_told_about_harm() -> None:
    """Else safety under a prompt would be that of the clause, and not that of the persona."""
    blank = read(Path(str(resources.files("personalign.personas"))) / "blank.yaml")
    measured = [p for p in catalog().values() if p.framework != "custom"]
    told = {p.name: p.never for p in [*measured, blank]}
    assert len(told) == 27
    assert [(n, x) for n, never in told.items() for x in never if HARM.search(x)] == []
    assert {len(never) for never in told.values()} == {3}


def test_no_two_personas_share_a_sentence() -> None:
    texts = [(p.identity, p.decides, p.spends_time) for p in catalog().values()]
    flat = [t for three in texts for t in three]
    assert len(set(flat)) == len(flat)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("framework: mbti", "framework: mbit", "framework"),
        ("EI: -1", "EI: 1", "the traits spell 'ENFP'"),
        ("EI: -1", "EE: -1", "unknown scale 'EE'"),
        ("EI: -1", "EI: -3", r"outside \[-1, 1\]"),
        ("title:", "titel:", "titel|title"),
        ("name: INFP", "name: [", "not YAML"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    import yaml

    text = yaml.safe_dump(load("INFP").model_dump(mode="json"), sort_keys=False)
    assert old in text.replace("-1.0", "-1").replace("1.0", "1")
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace("-1.0", "-1").replace("1.0", "1").replace(old, new))
    with pytest.raises(InputError, match=rf"mine\.yaml.*({said})"):
        read(path)
