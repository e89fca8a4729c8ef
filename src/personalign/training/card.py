"""The card of what training made: written beside the weights, read without loading them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from personalign.errors import InputError, ModelError
from personalign.files import write_atomic
from personalign.models.embedded import EMBEDDED
from personalign.models.provenance import CARD, FILES
from personalign.records import PreferencePair, Record
from personalign.runs import content_hash, tree_hash
from personalign.training.config import TrainingConfig
from personalign.training.curves import draw
from personalign.training.problem import Problem
from personalign.training.selection import FRONTIER, Frontier

__all__ = [
    "CARD",
    "CURVES_FILE",
    "AdapterCard",
    "describe",
    "find",
    "read_card",
    "trained_under",
    "verified",
    "weights_hash",
]

ADAPTER, MODEL = FILES[0], "model*.safetensors"
EMBEDDED_ON_HUB = "HuggingFaceTB/SmolLM2-135M-Instruct"
CURVES = ("loss", "rewards/accuracies", "rewards/margins", "logps/chosen_shift")
SPEECH = tuple(f"speech/{n}" for n in ("length", "repetition", "end_inside", "base_loss"))
HUB_NAME = re.compile(r"[\w.-]+(?:/[\w.-]+)?")
README, CURVES_FILE = "README.md", "curves.png"


class AdapterCard(Record):
    """What an adapter is: `card.json` beside its weights, and the source of its README.

    Attributes:
        base: The base as it was named in the study.
        base_identity: Its name with its weights' hash or its Hub commit.
        persona_hash: Hash of the persona's file; empty for a composed adapter, as are the pairs.
        weights: Hash of the adapter's own weights.
        system: The system prompt it was trained under, and is to be asked under.
        processes: How many trained it together.
        curves: Measure → its value at the first and the last step.
        frontier: The checkpoints and strengths that were looked at, and which is kept.
        parts: Adapters that it was composed of, with their weights.
        verification: Verdicts by condition, once there are any.
    """

    persona: str
    persona_hash: str = ""
    base: str
    base_identity: str
    weights: str
    system: str | None = None
    settings: TrainingConfig
    pairs: int = Field(0, ge=0)
    pairs_hash: str = ""
    processes: int = Field(1, ge=1)
    curves: dict[str, tuple[float, float]] = Field(default_factory=dict)
    frontier: Frontier | None = None
    problems: tuple[Problem, ...] = ()
    parts: dict[str, float] = Field(default_factory=dict)
    verification: tuple[dict[str, Any], ...] = ()
    code: str

    def hub_base(self) -> str | None:
        """The base as a model hub knows it; nothing where it is a folder of this machine."""
        if self.base == EMBEDDED:
            return EMBEDDED_ON_HUB
        return self.base if HUB_NAME.fullmatch(self.base) and not Path(self.base).is_dir() else None

    def base_name(self) -> str:
        """The base by a name for others to read."""
        return self.hub_base() or Path(self.base).name

    def verdict(self) -> str:
        """The verdict on the weights alone, or that there is none yet."""
        found = {v["condition"]: str(v["word"]) for v in self.verification if "word" in v}
        return found.get("adapter", "not verified")

    def write(self, folder: Path) -> AdapterCard:
        """Write `card.json` and the README that a model hub shows."""
        from jinja2 import Environment, StrictUndefined

        source = resources.files("personalign.training") / "templates" / "adapter.md.j2"
        # Markdown, not HTML: what comes from outside is made harmless below, not escaped here.
        engine = Environment(undefined=StrictUndefined, trim_blocks=True, autoescape=False)
        template = engine.from_string(source.read_text(encoding="utf-8"))
        shown = self.model_copy(update={"system": _plain(self.system), "base": _plain(self.base)})
        write_atomic(folder / CARD, self.model_dump_json(indent=1) + "\n")
        write_atomic(folder / README, template.render(card=shown).strip() + "\n")
        return self


def _plain(text: str | None) -> str | None:
    """Text that no Markdown or HTML reader takes for markup."""
    return None if text is None else text.replace("<", "&lt;").replace("`", "'")


def read_card(folder: Path) -> AdapterCard:
    """The card in an adapter's folder.

    Raises:
        InputError: where there is none, or it is damaged.
    """
    path = folder / CARD
    try:
        return AdapterCard.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as e:
        raise InputError(f"no adapter card in {folder}", "name a folder with a card.json") from e
    except ValidationError as e:
        raise InputError(f"{path}: {e.errors()[0]['msg']}", "restore it, or train again") from e


def trained_under(folder: Path) -> str | None:
    """The system prompt of an adapter's training, as far as a card tells."""
    return read_card(folder).system if (folder / CARD).exists() else None


def find(folder: Path) -> dict[Path, AdapterCard]:
    """The adapters of a run folder or of any folder above some, by their folders."""
    found = sorted(p.parent for p in folder.rglob(CARD))
    if not found:
        raise InputError(f"no adapters in {folder}", "name a run folder, or train some")
    return {path: read_card(path) for path in found}


def describe(
    folder: Path,
    *,
    persona: str,
    persona_hash: str,
    base: str,
    base_identity: str,
    system: str | None,
    settings: TrainingConfig,
    pairs: Sequence[PreferencePair],
    processes: int,
    code: str,
) -> AdapterCard:
    """Write the papers of what was just trained into `folder`: card, README and curves."""
    history, found = _json(folder / "history.json"), _json(folder / "health.json")
    draw([*history, *found], folder / CURVES_FILE)
    return AdapterCard(
        persona=persona,
        persona_hash=persona_hash,
        base=base,
        base_identity=base_identity,
        weights=weights_hash(folder),
        system=system,
        settings=settings,
        pairs=len(pairs),
        pairs_hash=content_hash(list(pairs)),
        processes=processes,
        curves={n: ends for n in CURVES + SPEECH if (ends := _ends(history, n))},
        frontier=_frontier(folder / FRONTIER),
        problems=tuple(found),
        code=code,
    ).write(folder)


def _json(path: Path) -> list[Any]:
    return list(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else []


def _frontier(path: Path) -> Frontier | None:
    return Frontier.model_validate_json(path.read_text()) if path.exists() else None


def _ends(history: Sequence[Mapping[str, float]], name: str) -> tuple[float, float] | None:
    values = [h[name] for h in history if math.isfinite(h.get(name, math.nan))]
    return (values[0], values[-1]) if values else None


def weights_hash(folder: Path) -> str:
    """Hash of an adapter's weights, or of all files of a full fine-tuning's."""
    files = [folder / ADAPTER] if (folder / ADAPTER).exists() else sorted(folder.glob(MODEL))
    if not files:
        raise ModelError(f"no weights in {folder}", "train one, or check the path")
    return content_hash([tree_hash(f) for f in files])[:16]


def verified(folder: Path, verification: Sequence[Mapping[str, Any]]) -> AdapterCard:
    """Add the verdicts of a study to an adapter's card."""
    card = read_card(folder)
    return card.model_copy(update={"verification": tuple(map(dict, verification))}).write(folder)
