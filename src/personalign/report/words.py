"""The report's own words, in the reader's language, from `text.<language>.yaml`."""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from personalign.files import read_document

__all__ = ["LANGUAGES", "Language", "Words", "number", "percent", "signed"]

Language = Literal["en", "ko"]
LANGUAGES: tuple[Language, ...] = ("en", "ko")


@cache
def _texts(language: Language) -> dict[str, str]:
    file = resources.files("personalign.report").joinpath(f"text.{language}.yaml")
    texts: dict[str, str] = read_document(Path(str(file))).data
    return texts


class Words:
    """The report's sentences in one language. Values are inserted as text, never as markup."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self.texts = _texts(language)

    def __call__(self, key: str, **values: Any) -> str:
        return self.texts[key].format(**values) if values else self.texts[key]

    def name(self, kind: str, value: str) -> str:
        """The name of something that comes from the data: itself where we have no word for it."""
        return self.texts.get(f"{kind}.{value}", value)

    def under(self, prefix: str) -> dict[str, str]:
        """All texts whose key starts with `prefix.`, without it."""
        start = f"{prefix}."
        return {k.removeprefix(start): v for k, v in self.texts.items() if k.startswith(start)}


def number(value: float | None, digits: int = 2) -> str:
    """A number for people: a true minus sign, a dash where there is none."""
    if value is None:
        return "–"
    text = f"{value:.{digits}f}"
    return (text if float(text) else text.lstrip("-")).replace("-", "−")


def signed(value: float | None, digits: int = 2) -> str:
    """A difference: the sign is always there."""
    text = number(value, digits)
    positive = value is not None and value > 0 and float(f"{value:.{digits}f}")
    return f"+{text}" if positive else text


def percent(value: float | None, digits: int = 0) -> str:
    """A proportion between 0 and 1 in per cent, without the sign."""
    return number(None if value is None else 100 * value, digits)
