"""Preference pairs: from a factorial corpus, or from a reply within a dialogue.

In a factorial corpus (one situation, one reply per persona) the rejected reply of a persona is
its opposite's reply to the same situation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from personalign.errors import CorpusError, unknown
from personalign.personas import DICHOTOMIES, TYPES
from personalign.records import Message, PreferencePair, Scene

__all__ = ["as_scenes", "check_apart", "opposite_pairs", "reply_pair", "trait_pairs"]


def opposite_pairs(scenes: Sequence[Scene], persona: str, opposite: str) -> list[PreferencePair]:
    """One pair a scene: the persona's reply is chosen, its opposite's is rejected.

    Raises:
        CorpusError: where no scene has replies of both, or where a scene is not for building.
    """
    _check_build(scenes)
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


def trait_pairs(scenes: Sequence[Scene], dichotomy: str, pole: str) -> list[PreferencePair]:
    """Pairs that differ in one letter only, for an adapter of a single trait.

    Of every scene, each type with the letter `pole` is chosen against the type that shares its
    other three letters: eight pairs where all sixteen types have a reply.

    Args:
        dichotomy: EI, SN, TF or JP.
        pole: One of its two letters.

    Raises:
        CorpusError: where no scene has two such replies, or where a scene is not for building.
        InputError: where there is no such dichotomy or pole.
    """
    _check_build(scenes)
    if dichotomy not in DICHOTOMIES:
        raise unknown("dichotomy", dichotomy, DICHOTOMIES)
    if pole not in tuple(dichotomy):
        raise unknown("pole", pole, dichotomy, dichotomy)
    other = dichotomy.replace(pole, "")
    couples = [(t, t.replace(pole, other)) for t in TYPES if pole in t]
    pairs = [
        _pair(scene, chosen, rejected)
        for scene in scenes
        for chosen, rejected in couples
        if chosen in scene.replies and rejected in scene.replies
    ]
    if not pairs:
        raise CorpusError(
            f"no scene has replies of two types that differ in {dichotomy} only",
            "take a factorial corpus such as starter/mbti",
        )
    return pairs


def _check_build(scenes: Sequence[Scene]) -> None:
    if misplaced := [s.id for s in scenes if s.split != "build"]:
        raise CorpusError(
            f"scene {misplaced[0]!r} measures personas and must not build one",
            "take scenes of split 'build' only",
        )


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
