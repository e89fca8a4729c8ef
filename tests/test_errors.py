"""What is suggested for a name that does not exist."""

from __future__ import annotations

import pytest

from personalign.errors import unknown

TYPES = ["ENFP", "INFJ", "INFP", "INTJ", "INTP", "ISTP"]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("INPF", "did you mean 'INFP'?"),
        ("infp", "did you mean 'INFP'?"),
        ("INFX", "did you mean 'INFJ' or 'INFP'?"),
        ("zzzz", "known: ENFP, INFJ, INFP, INTJ, INTP, ISTP"),
    ],
)
def test_all_that_are_nearest_are_named(value: str, said: str) -> None:
    assert unknown("persona", value, TYPES).remedy == said
