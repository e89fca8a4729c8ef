"""How a study trains its personas: on its base, or on one loaded for training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from personalign.errors import TrainingError
from personalign.files import rows
from personalign.models.local import LocalModel
from personalign.models.trees import Tree
from personalign.progress import Announce
from personalign.records import PreferencePair
from personalign.study.config import PairFiles
from personalign.study.respondents import Respondents
from personalign.training import loading, neutral, trainer
from personalign.training.checks import PairError, check_targets
from personalign.training.losses import OBJECTIVES
from personalign.training.persona import train_persona, training_prompt
from personalign.training.reference import reference_log_probs

__all__ = ["compute_references", "shares_reference", "train"]


def trainee(who: Respondents, pairs: Sequence[PreferencePair]) -> LocalModel:
    """The base for training; the one that is measured, unless it is loaded in another way."""
    config, settings = who.config, who.config.training
    if loading.needs_own_base(settings):
        local = loading.load_base(config.base, config.dtype, settings, pairs, config.thinking)
    else:
        if not who.is_loaded:
            loading.check_machine(config.base, config.dtype, settings, pairs)
        local = who.base
    if settings.method != "full":
        check_targets(local.model, settings.lora)
    return local


def train(
    who: Respondents, name: str, pairs: Sequence[PreferencePair], out: Path, announce: Announce
) -> None:
    """Train one persona of a study into `out`, with its card."""
    with _placed(who.config.pairs.get(name)):
        train_persona(
            trainee(who, pairs),
            who.personas[name],
            pairs,
            who.config.training,
            out,
            who.identity,
            who.config.neutral or neutral.PROMPTS,
            announce,
        )


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


def shares_reference(who: Respondents, names: Sequence[str]) -> bool:
    """Is there a reference that trainings of several personas have in common?"""
    settings = who.config.training
    refers = OBJECTIVES[settings.objective].refers
    return len(names) > 1 and refers and not loading.needs_own_base(settings)


def compute_references(
    who: Respondents, pairs: Mapping[str, Sequence[PreferencePair]], announce: Announce
) -> None:
    """Reference log-probs for all personas, each prompt computed once.

    In a factorial corpus a situation is one tree of all its replies, whatever the number of
    personas; what is computed here is found by each training in the cache.
    """
    replies: dict[tuple[int, ...], dict[tuple[int, ...], None]] = {}
    for name, own in pairs.items():
        local = trainee(who, own)
        system = training_prompt(who.personas[name], who.config.training)
        for tree in trainer.pair_trees(local, own, system):
            replies.setdefault(tree.prompt, {}).update(dict.fromkeys(tree.branches))
    trees = [Tree(prompt, tuple(said)) for prompt, said in replies.items()]
    reference_log_probs(who.base, trees, announce("reference", len(trees)))
