"""How a study trains one persona: base, prompt, pairs, and what is written down about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from personalign import __version__
from personalign.corpus import pairs, scenes
from personalign.corpus.formats import read_pairs
from personalign.errors import CorpusError, InputError, TrainingError
from personalign.files import rows
from personalign.models.chat import with_system
from personalign.models.local import LocalModel
from personalign.models.trees import Tree
from personalign.personas import Persona
from personalign.records import Message, PreferencePair
from personalign.runs import content_hash
from personalign.study.config import PairFiles
from personalign.training import card, devices, loading, neutral, trainer
from personalign.training.checks import PairError, check_targets
from personalign.training.config import TrainingConfig
from personalign.training.health import ear
from personalign.training.losses import OBJECTIVES
from personalign.training.reference import reference_log_probs
from personalign.training.replies import read_prompts

if TYPE_CHECKING:
    from personalign.study.steps import Study

__all__ = [
    "neutral_prompts",
    "persona_pairs",
    "persona_prompt",
    "references",
    "train_persona",
    "training_prompt",
]

LAPD_PROMPT = "You are an {type}"


def persona_prompt(persona: Persona, settings: TrainingConfig) -> str:
    """The persona as a system prompt: its own, or LAPD's where it is trained under LAPD's."""
    if settings.system == "lapd":
        return LAPD_PROMPT.format(type=persona.name)
    return persona.system_prompt()


def training_prompt(persona: Persona, settings: TrainingConfig) -> str | None:
    """The system prompt that the persona is trained under, if any."""
    return None if settings.system == "none" else persona_prompt(persona, settings)


def persona_pairs(study: Study, persona: Persona) -> list[PreferencePair]:
    """What a persona is trained on: its generated pairs, or the corpus's replies of both sides.

    Raises:
        CorpusError: where there are none, or where they ask what measures.
        InputError: where the persona's adapter is there already.
    """
    config = study.config
    if persona.name in config.adapters:
        raise InputError(
            f"the adapter of {persona.name} is {config.adapters[persona.name]}",
            "take it out of the study's `adapters` to have one trained",
        )
    if files := config.pairs.get(persona.name):
        made = list(read_pairs(files.build, study.skipping(files)))[: config.build_scenes]
        pairs.check_apart(made, study.scenes, study.pair_scenes.get(persona.name, []))
        return made
    if persona.opposite is None:
        raise CorpusError(
            f"persona {persona.name!r} has no opposite in the corpus",
            "generate pairs for it and name them under `pairs`, or name its opposite",
        )
    build = scenes.select(study.scenes, "build", config.build_scenes)
    return pairs.opposite_pairs(build, persona.name, persona.opposite)


def trainee(study: Study, made: Sequence[PreferencePair]) -> LocalModel:
    """The base for training; the one that is measured, unless it is loaded in another way."""
    config, settings = study.config, study.config.training
    if loading.needs_own_base(settings):
        local = loading.load_base(config.base, config.dtype, settings, made, config.thinking)
    else:
        if "base_model" not in study.__dict__:
            loading.check_machine(config.base, config.dtype, settings, made)
        local = study.base_model
    if settings.method != "full":
        check_targets(local.model, settings.lora)
    return local


def hold_out(
    made: Sequence[PreferencePair],
) -> tuple[list[PreferencePair], list[PreferencePair]]:
    """Pairs that train, and every tenth, on which the model is heard and judged."""
    held = list(made[9::10])
    return [pair for number, pair in enumerate(made, start=1) if number % 10], held


def train_persona(
    study: Study, persona: Persona, made: Sequence[PreferencePair], out: Path
) -> None:
    """Train one persona into `out`, with its card."""
    settings = study.config.training
    system = training_prompt(persona, settings)
    local = trainee(study, made)
    taught, held_out = hold_out(made)
    tick = study.announce(f"reference {persona.name}", len(taught))
    with devices.main_first(), _placed(study.config.pairs.get(persona.name)):
        data = trainer.examples(local, taught, system, tick, settings.objective)
        judging = _judging(local, held_out, system, settings)
    if settings.kl:
        data = trainer.with_neutral(data, _neutral(study, local, len(data)))
    prompts = [with_system(p.prompt, system) for p in held_out]
    tick = study.announce("replies of the base to be heard beside", 2 * settings.health.samples)
    heard = ear(local, prompts, settings.health, settings.seed, tick)
    progress = _steps(study, f"train {persona.name}")
    trainer.train(local, data, settings, out, progress, heard, judging)
    if not devices.is_main():
        return
    card.describe(
        out,
        persona=persona.name,
        persona_hash=content_hash(persona),
        base=study.config.base,
        base_identity=study.base_identity,
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


@contextmanager
def _placed(files: PairFiles | None) -> Iterator[None]:
    """Says of a pair that is refused where it stands in the file that it came from."""
    try:
        yield
    except PairError as e:
        if files is None:
            raise
        found = (r for r in rows(files.build) if r.as_record(PreferencePair) == e.pair)
        row = next(found, None)
        place = f"{files.build}:{row.line}" if row else str(files.build)
        raise TrainingError(f"{place}: {e.what}", f"{e.remedy}; or take the line out") from e


def references(study: Study, waiting: Mapping[str, Sequence[PreferencePair]]) -> None:
    """Reference log-probs for all personas that wait for training, each prompt computed once.

    In a factorial corpus a situation is one tree of all its replies, whatever the number of
    personas; what is computed here is found by each training in the cache.
    """
    settings = study.config.training
    refers = OBJECTIVES[settings.objective].refers
    if len(waiting) < 2 or not refers or loading.needs_own_base(settings):
        return
    replies: dict[tuple[int, ...], dict[tuple[int, ...], None]] = {}
    for name, made in waiting.items():
        local = trainee(study, made)
        system = training_prompt(study.personas[name], settings)
        for tree in trainer.pair_trees(local, made, system):
            replies.setdefault(tree.prompt, {}).update(dict.fromkeys(tree.branches))
    trees = [Tree(prompt, tuple(said)) for prompt, said in replies.items()]
    reference_log_probs(study.base_model, trees, study.announce("reference", len(trees)))


def neutral_prompts(study: Study) -> list[tuple[Message, ...]]:
    """Prompts that have nothing to do with any persona."""
    return read_prompts(study.config.neutral or neutral.PROMPTS)


def _neutral(study: Study, local: LocalModel, count: int) -> list[neutral.Neutral]:
    """The base's replies to as many neutral prompts as there are pairs to go with."""
    prompts = neutral_prompts(study)[:count]
    tick = study.announce("replies of the base to neutral prompts", len(prompts))
    return neutral.neutral_replies(local, prompts, progress=tick)


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
