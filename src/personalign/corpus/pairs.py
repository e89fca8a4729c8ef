"""Preference pairs: from a factorial corpus, or from a reply within a dialogue.

In a factorial corpus (one situation, one reply per persona) the rejected reply of a persona is
its opposite's reply to the same situation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from personalign.errors import CorpusError
from personalign.records import Message, PreferencePair, Scene

__all__ = ["as_scenes", "check_apart", "opposite_pairs", "reply_pair"]


def opposite_pairs(scenes: Sequence[Scene], persona: str, opposite: str) -> list[PreferencePair]:
    """One pair a scene: the persona's reply is chosen, its opposite's is rejected.

    Raises:
        CorpusError: where no scene has replies of both, or where a scene is not for building.
    """
    if misplaced := [s.id for s in scenes if s.split != "build"]:
        raise CorpusError(
            f"scene {misplaced[0]!r} measures personas and must not build one",
            "take scenes of split 'build' only",
        )
    pairs = [
        _pair(s, persona, opposite)
        for s in scenes
        if persona in s.replies and opposite in s.replies
    ]
    if not pairs:
        raise CorpusError(
            f"no scene has replies of both {persona!r} and {opposite!r}",
            "choose a corpus that was written for this persona, or generate pairs for it",
        )
    return pairs


def _pair(scene: Scene, persona: str, opposite: str) -> PreferencePair:
    def said(name: str) -> tuple[Message, ...]:
        return (Message(role="assistant", content=scene.replies[name]),)

    origin: dict[str, str | int | float] = {
        "scene": scene.id,
        "area": scene.area,
        "persona": persona,
        "opposite": opposite,
    }
    return PreferencePair(
        prompt=scene.prompt, chosen=said(persona), rejected=said(opposite), origin=origin
    )


def reply_pair(
    history: Sequence[Message], chosen: str, rejected: str, origin: dict[str, str | int | float]
) -> PreferencePair:
    """One reply of a dialogue as a pair: all that was said before it is the prompt."""
    return PreferencePair(
        prompt=tuple(history),
        chosen=(Message(role="assistant", content=chosen),),
        rejected=(Message(role="assistant", content=rejected),),
        origin=origin,
    )


def as_scenes(pairs: Sequence[PreferencePair], persona: str, rejected: str) -> list[Scene]:
    """Pairs as scenes that measure: the chosen reply is the persona's, the other `rejected`'s."""
    return [
        Scene(
            id=f"{persona}-{number}",
            area=str(pair.origin.get("area", "generated")),
            split="measure",
            prompt=pair.prompt,
            replies={persona: pair.chosen[0].content, rejected: pair.rejected[0].content},
        )
        for number, pair in enumerate(pairs, start=1)
    ]


def check_apart(pairs: Iterable[PreferencePair], *measuring: Iterable[Scene]) -> None:
    """Refuse pairs that would train on what measures.

    Raises:
        CorpusError: where the last turn of a prompt is asked in a scene that measures.
    """
    held = {s.prompt[-1].content for scenes in measuring for s in scenes if s.split == "measure"}
    for number, pair in enumerate(pairs, start=1):
        if pair.prompt[-1].content in held:
            raise CorpusError(
                f"pair {number} asks what measures personas: {pair.prompt[-1].content[:60]!r}",
                "take it out of the pairs that build",
            )
