"""How a study trains one persona: base, prompt, pairs, and what is written down about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from personalign import __version__
from personalign.corpus import scenes
from personalign.models.chat import reply_tree, with_system
from personalign.models.local import LocalModel
from personalign.personas import Persona
from personalign.records import Message, PreferencePair
from personalign.runs import content_hash
from personalign.training import adapters, devices, loading, neutral, trainer
from personalign.training.config import TrainingConfig
from personalign.training.reference import reference_log_probs

if TYPE_CHECKING:
    from personalign.study.steps import Study

__all__ = ["neutral_prompts", "persona_prompt", "references", "train_persona", "training_prompt"]

LAPD_PROMPT = "You are an {type}"
NEUTRAL = scenes.starter_folder() / "neutral.txt"


def persona_prompt(persona: Persona, settings: TrainingConfig) -> str:
    """The persona as a system prompt: its own, or LAPD's where it is trained under LAPD's."""
    if settings.system == "lapd":
        return LAPD_PROMPT.format(type=persona.name)
    return persona.system_prompt()


def training_prompt(persona: Persona, settings: TrainingConfig) -> str | None:
    """The system prompt that the persona is trained under, if any."""
    return None if settings.system == "none" else persona_prompt(persona, settings)


def trainee(study: Study, pairs: Sequence[PreferencePair]) -> LocalModel:
    """The base for training; the one that is measured, unless it is loaded in another way."""
    config = study.config
    if loading.needs_own_base(config.training):
        return loading.load_base(config.base, config.dtype, config.training, pairs)
    if "base_model" not in study.__dict__:
        loading.check_machine(config.base, config.dtype, config.training, pairs)
    return study.base_model


def train_persona(
    study: Study, persona: Persona, pairs: Sequence[PreferencePair], out: Path
) -> None:
    """Train one persona into `out`, with its card."""
    settings = study.config.training
    system = training_prompt(persona, settings)
    local = trainee(study, pairs)
    tick = study.announce(f"reference {persona.name}", len(pairs))
    with devices.main_first():
        data = trainer.examples(local, pairs, system, tick)
    if settings.kl:
        data = trainer.with_neutral(data, _neutral(study, local))
    prompts = [with_system(p.prompt, system) for p in pairs[: settings.health.samples]]
    progress = _steps(study, f"train {persona.name}")
    trainer.train(local, data, settings, out, progress, prompts)
    if not devices.is_main():
        return
    adapters.describe(
        out,
        persona=persona.name,
        persona_hash=content_hash(persona),
        base=study.config.base,
        base_identity=study.base_identity,
        system=system,
        settings=settings,
        pairs=pairs,
        code=__version__,
    )


def references(study: Study, waiting: Sequence[Sequence[PreferencePair]]) -> None:
    """Reference log-probs of all personas that wait for training, each prompt computed once.

    In a factorial corpus a situation is one tree of all its replies, whatever the number of
    personas; what is computed here is found by each training in the cache.
    """
    settings = study.config.training
    if len(waiting) < 2 or settings.system != "none" or loading.needs_own_base(settings):
        return
    replies: dict[tuple[Message, ...], dict[str, None]] = {}
    for pair in chain.from_iterable(waiting):
        texts = (pair.chosen[0].content, pair.rejected[0].content)
        replies.setdefault(pair.prompt, {}).update(dict.fromkeys(texts))
    local = trainee(study, waiting[0])
    trees = [reply_tree(local.tokenizer, prompt, list(said)) for prompt, said in replies.items()]
    reference_log_probs(local, trees, study.announce("reference", len(trees)))


def neutral_prompts(study: Study) -> list[str]:
    """Prompts that have nothing to do with any persona."""
    return scenes.situations(study.config.neutral or NEUTRAL)


def _neutral(study: Study, local: LocalModel) -> list[neutral.Neutral]:
    prompts = [(Message(role="user", content=text),) for text in neutral_prompts(study)]
    tick = study.announce("replies of the base to neutral prompts", len(prompts))
    return neutral.neutral_replies(local, prompts, study.config.training.seed, progress=tick)


def _steps(study: Study, name: str) -> Callable[[int, int], None]:
    """A progress bar that is told the step, not what was done since; it may begin in the middle."""
    tick: list[Callable[[int], None]] = []
    last = [0]

    def progress(step: int, of: int) -> None:
        if not tick:
            tick.append(study.announce(name, of))
        tick[0](step - last[0])
        last[0] = step

    return progress
