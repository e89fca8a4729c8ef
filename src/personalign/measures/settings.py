"""How much of what is measured: the section `measures` of a study file."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from personalign.records import Record

__all__ = ["Measures"]


class Measures(Record):
    """What is measured, on how much."""

    tasks: tuple[str, ...] | None = None
    """Which measures, by name (docs/asking.md); those that are asked by default where empty."""
    ratings: str = "mbti_statements"
    """Single statements to agree with: a shipped inventory or a YAML path."""
    interview: str = "mbti_interview"
    """Open questions: a shipped inventory or a YAML path."""
    scenes: int | None = Field(None, ge=2)
    """Measure scenes for behaviour; all where empty."""
    inventory: str = "mbti_pairs"
    """Statement pairs: a shipped inventory or a YAML path."""
    asks: int = Field(3, ge=1, le=3)
    """Ways of asking for statements."""
    social: str = "starter"
    """Social items: `starter`, `hub`, a file or SocialIQA's folder."""
    social_items: int | None = Field(None, ge=2)
    """How many social items, drawn by kind of question; all where empty."""
    evaluations: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Inspect tasks by name (docs/evaluations.md), each with its arguments, `{}` for none."""
    evaluation_limit: int | None = Field(None, ge=1)
    """How many samples of each Inspect task; all where empty."""
    grader: str | None = None
    """Inspect model that judges for tasks whose `judge` is `grader`."""
    primary: tuple[str, ...] = ()
    """Metrics that the study is about: their comparisons, of all tasks, are corrected together. The
    others explore, and are corrected metric by metric."""
    equivalence: dict[str, float] = Field(default_factory=dict)
    """Metric → the largest difference that counts as none (proportions: 0 to 1), for tests of
    equivalence with base."""
    openings: int | None = Field(None, ge=2)
    """How many openings by other people are answered in free text and rated; all where empty."""
    openings_from: str = "shipped"
    """Whose openings: `shipped`, `dailydialog:PATH-or-Hub-id`, or a file of situations by people
    who wrote neither corpus nor personas."""
    draws: int = Field(2, ge=1)
    """How often each opening is answered: once greedily, else drawn."""
    holds: int = Field(16, ge=2)
    """How many openings are put in each of ten ways: six requests to drop a persona, four forms."""
    replies: int = Field(6, ge=0)
    """Measure scenes that are also answered in free text."""
    max_new_tokens: int = Field(80, ge=1)
    """Length limit of a free-text reply, in tokens."""
    temperature: float = Field(0.2, ge=0)
    """Sampling temperature of free text (LAPD: 0.2)."""
    top_p: float = Field(0.9, gt=0, le=1)
    """Nucleus of free text (LAPD: 0.9)."""
