"""A form that was asked for is kept or not, whatever is said in it."""

from __future__ import annotations

import pytest

from personalign.judges.form import FORMS

KEPT = {
    "list": [
        "- One\n- Two\n- Three",
        "Here are three points:\n\n1. One\n2. Two\n3. Three",
        "* One\n* Two",
    ],
    "json": [
        '{"advice": "Rest.", "reason": "You are tired."}',
        '```json\n{"advice": "Rest."}\n```',
        ' {"a": {"b": [1]}}\n',
    ],
    "email": [
        "Dear Sam,\n\nsit down first.\n\nBest regards,\nAlex",
        "Subject: The boiler\n\nHi there,\ncall them.\n\nTake care,\nK.",
        "Hello!\nOf course.\nThanks",
    ],
}
LOST = {
    "list": ["One, two and three.", "- One", "", "- One\nand then\n- Two", "Well,\n- One"],
    "json": ["advice: rest", '{"advice": "Rest."', '["a"]', '"a"', "", 'Sure: {"a": 1}'],
    "email": ["Sit down first.", "Dear Sam, sit down.", "", "Sit down.\n\nBest,\nAlex"],
}


@pytest.mark.parametrize("form", FORMS)
def test_forms(form: str) -> None:
    keeps = FORMS[form]
    assert [text for text in KEPT[form] if not keeps(text)] == []
    assert [text for text in LOST[form] if keeps(text)] == []
