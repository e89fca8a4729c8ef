"""Personas of these tests' own."""

from __future__ import annotations

from personalign.personas import Persona


def persona(name: str, opposite: str, how: str, pole: float) -> Persona:
    return Persona.model_validate(
        {
            "name": name,
            "framework": "custom",
            "title": f"a {how} friend",
            "licence": "CC0-1.0",
            "source": "written for these tests",
            "traits": {"EI": pole},
            "opposite": opposite,
            "identity": f"You are a {how} friend.",
            "values": ["peace", "honesty"],
            "voice": [how],
            "decides": "You sleep on it before you decide.",
            "spends_time": "You read and tend a small garden.",
            "never": ["push anybody"],
        }
    )
