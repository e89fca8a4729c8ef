"""One persona, trained from its pairs into a folder, with its card."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from personalign import __version__
from personalign.models.chat import with_system
from personalign.models.local import LocalModel
from personalign.models.model import Model
from personalign.models.sampling import Sampling
from personalign.personas import Persona
from personalign.progress import Announce, Progress, unannounced
from personalign.records import Message, PreferencePair
from personalign.runs import content_hash
from personalign.training import card, devices, neutral, trainer
from personalign.training.config import TrainingConfig
from personalign.training.health import ear
from personalign.training.replies import read_prompts

__all__ = ["hold_out", "persona_prompt", "train", "train_persona", "training_prompt"]

LAPD_PROMPT = "You are an {type}"


def persona_prompt(persona: Persona, settings: TrainingConfig) -> str:
    """The persona as a system prompt: its own, or LAPD's where it is trained under LAPD's."""
    if settings.system == "lapd":
        return LAPD_PROMPT.format(type=persona.name)
    return persona.system_prompt()


def training_prompt(persona: Persona, settings: TrainingConfig) -> str | None:
    """The system prompt that the persona is trained under, if any."""
    return None if settings.system == "none" else persona_prompt(persona, settings)


def hold_out(
    pairs: Sequence[PreferencePair],
) -> tuple[list[PreferencePair], list[PreferencePair]]:
    """Pairs that train, and every tenth, on which the model is heard and judged."""
    held = list(pairs[9::10])
    return [pair for number, pair in enumerate(pairs, start=1) if number % 10], held


def train(
    base: Model,
    persona: Persona,
    pairs: Sequence[PreferencePair],
    settings: TrainingConfig | None = None,
    out: str | Path | None = None,
) -> Model:
    """Train a persona and answer as it.

    Args:
        base: As `Model.load` gives it, without adapter and system prompt.
        persona: Whose replies are chosen in the pairs; `load("INFP")`.
        pairs: At least one; every tenth does not train, it judges what does.
        settings: Of the training.
        out: Folder of the adapter, by default `adapters/NAME`; what is there goes on.

    Returns:
        The base through the adapter.

    Raises:
        TrainingError: where the pairs cannot teach a persona, or health says to stop.
    """
    folder, how = Path(out or Path("adapters") / persona.name), settings or TrainingConfig()
    train_persona(base.local, persona, pairs, how, folder)
    return base.with_adapter(folder)


def train_persona(
    local: LocalModel,
    persona: Persona,
    pairs: Sequence[PreferencePair],
    settings: TrainingConfig,
    out: Path,
    identity: str | None = None,
    neutral_prompts: Path = neutral.PROMPTS,
    announce: Announce = unannounced,
) -> None:
    """Train one persona into `out`, with its card; goes on where a killed training stopped.

    Args:
        local: The base, with no adapters loaded; left as it was.
        identity: Name and content of the base, where it was loaded in another form to train.
        neutral_prompts: File of prompts on which `settings.kl` holds to the base.
        announce: Told what is being done, and how much of it.

    Raises:
        PairError: for a pair that cannot be trained on.
        TrainingError: where there is nothing to train on, or health says to stop.
    """
    known, system = identity or local.identity, training_prompt(persona, settings)
    taught, held_out = hold_out(pairs)
    tick = announce(f"reference {persona.name}", len(taught))
    with devices.main_first():
        data = trainer.examples(local, taught, system, tick, settings.objective)
        judging = _judging(local, held_out, system, settings)
    if settings.kl:
        held = _neutral(local, neutral_prompts, len(data), settings.neutral_tokens, announce)
        data = trainer.with_neutral(data, held)
    prompts = [with_system(p.prompt, system) for p in held_out]
    tick = announce("replies of the base to be heard beside", 2 * settings.health.samples)
    heard = ear(local, prompts, settings.health, settings.seed, tick)
    progress = _steps(announce, f"train {persona.name}")
    trainer.train(local, data, settings, out, progress, heard, judging)
    if devices.is_main():
        card.describe(
            out,
            persona=persona.name,
            persona_hash=content_hash(persona),
            base=known.rpartition("@")[0],
            base_identity=known,
            system=system,
            settings=settings,
            pairs=taught,
            processes=devices.processes(),
            code=__version__,
        )


def _judging(
    local: LocalModel,
    held_out: Sequence[PreferencePair],
    system: str | None,
    settings: TrainingConfig,
) -> list[trainer.Example]:
    """What checkpoints are judged on; every objective's against the base."""
    judges = held_out and trainer.selects(settings)
    return trainer.examples(local, held_out, system) if judges else []


def _neutral(
    local: LocalModel, file: Path, count: int, longest: int, announce: Announce
) -> list[neutral.Neutral]:
    """The base's replies to as many neutral prompts as there are pairs to go with."""
    prompts: list[tuple[Message, ...]] = read_prompts(file)[:count]
    tick = announce("replies of the base to neutral prompts", len(prompts))
    greedy = Sampling(max_new_tokens=longest)
    return neutral.neutral_replies(local, prompts, greedy, tick)


def _steps(announce: Announce, name: str) -> Callable[[int, int], None]:
    """A progress bar that is told the step, not what was done since; it may begin in the middle."""
    tick: list[Progress] = []
    last = [0]

    def progress(step: int, of: int) -> None:
        if not tick:
            tick.append(announce(name, of))
        tick[0](step - last[0])
        last[0] = step

    return progress
