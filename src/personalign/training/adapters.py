"""Care of what training makes: its card, and what can be done with it afterwards."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from personalign.errors import InputError, ModelError
from personalign.models.embedded import EMBEDDED
from personalign.models.local import LocalModel
from personalign.models.provenance import CARD
from personalign.records import PreferencePair, Record
from personalign.runs import content_hash, tree_hash, write_atomic
from personalign.training.config import TrainingConfig
from personalign.training.health import Problem

__all__ = ["AdapterCard", "compose", "describe", "find", "merge", "push", "read_card", "verified"]

ADAPTER, MODEL = "adapter_model.safetensors", "model*.safetensors"
EMBEDDED_ON_HUB = "HuggingFaceTB/SmolLM2-135M-Instruct"
CURVES = ("loss", "rewards/accuracies", "rewards/margins", "logps/chosen_shift", "samples/kl")
README, CURVES_FILE = "README.md", "curves.png"


class AdapterCard(Record):
    """What an adapter is: `card.json` beside its weights, and the source of its README.

    Attributes:
        base: The base as it was named in the study.
        base_identity: Its name with its weights' hash or its Hub commit.
        persona_hash: Hash of the persona's file; empty for a composed adapter, as are the pairs.
        weights: Hash of the adapter's own weights.
        system: The system prompt it was trained under, and is to be asked under.
        curves: Measure → its value at the first and the last step.
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
    curves: dict[str, tuple[float, float]] = Field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    parts: dict[str, float] = Field(default_factory=dict)
    verification: tuple[dict[str, Any], ...] = ()
    code: str

    def hub_base(self) -> str:
        """The base by a name that others can use."""
        return EMBEDDED_ON_HUB if self.base == EMBEDDED else self.base

    def verdict(self) -> str:
        """The verdict on the weights alone, or that there is none yet."""
        found = {v["condition"]: str(v["verdict"]) for v in self.verification}
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
    code: str,
) -> AdapterCard:
    """Write the card of what was just trained into `folder`."""
    history = _json(folder / "history.json")
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
        curves={n: ends for n in CURVES if (ends := _ends(history, n))},
        problems=tuple(_json(folder / "health.json")),
        code=code,
    ).write(folder)


def _json(path: Path) -> list[Any]:
    return list(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else []


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


def merge(
    folder: Path, out: Path, base: str | None = None, strength: float = 1.0, dtype: str = "auto"
) -> Path:
    """Weights with the adapter in them, as plain transformers (and vLLM) load them.

    Args:
        base: Another name of the same base, such as a local copy's path.
        strength: How strongly the adapter goes in, 0 to 2; verdicts are of 1, and are kept only
            there.
    """
    card = read_card(folder)
    if card.settings.method == "full":
        raise InputError(f"{folder} is a whole model already", "load it as it is")
    local = _load(card, base, dtype)
    local.add_adapter("merged", folder, strength)
    model = local.model.merge_and_unload()
    with _whole(out) as work:
        model.save_pretrained(work)
        local.tokenizer.save_pretrained(work)
        parts = {f"{card.persona} ({card.weights})": strength}
        settings = card.settings.model_copy(update={"method": "full"})
        update = {"parts": parts, "settings": settings, "weights": weights_hash(work)}
        if strength != 1:
            update["verification"] = ()
        if (folder / CURVES_FILE).exists():
            shutil.copyfile(folder / CURVES_FILE, work / CURVES_FILE)  # its README shows them
        card.model_copy(update=update).write(work)
    return out


def compose(
    parts: Mapping[Path, float],
    out: Path,
    name: str,
    base: str | None = None,
    rank: int | None = None,
) -> Path:
    """One adapter that is the weighted sum of several on the same base.

    Args:
        parts: Adapter folders with their weights; negative takes a trait away.
        rank: Of the result, by singular values; None keeps the sum exact, its rank being the sum
            of the parts' ranks.
    """
    cards = {path: read_card(path) for path in parts}
    if len(cards) < 2:
        raise InputError("composing takes two adapters or more", "name them as FOLDER=WEIGHT")
    if rank is not None and rank < 1:
        raise InputError(f"rank {rank} of a composed adapter", "give 1 or more, or none")
    _check_composable(cards)
    first = next(iter(cards.values()))
    local = _load(first, base, "float32")
    for path in parts:
        local.add_adapter(str(path), path)
    handles = [local.adapters[str(path)].handle for path in parts]
    how = {"combination_type": "svd", "svd_rank": rank} if rank else {"combination_type": "cat"}
    local.model.add_weighted_adapter(handles, list(parts.values()), "composed", **how)
    local.model.peft_config["composed"].use_rslora = False  # the sum has the scaling in it
    with _whole(out) as work:
        local.model.save_pretrained(work, selected_adapters=["composed"])
        for file in (work / "composed").iterdir():
            file.rename(work / file.name)
        (work / "composed").rmdir()
        AdapterCard(
            persona=name,
            base=first.base,
            base_identity=first.base_identity,
            weights=weights_hash(work),
            settings=first.settings,
            parts={f"{c.persona} ({c.weights})": parts[p] for p, c in cards.items()},
            code=first.code,
        ).write(work)
    return out


def _check_composable(cards: Mapping[Path, AdapterCard]) -> None:
    bases = {c.base_identity: path for path, c in cards.items()}
    if len(bases) > 1:
        (a, path_a), (b, path_b) = list(bases.items())[:2]
        raise InputError(
            f"{path_a} was trained on {a}, {path_b} on {b}", "compose adapters of one base"
        )
    for path, card in cards.items():
        if card.settings.method == "full" or card.settings.lora.dora:
            raise InputError(
                f"{path} cannot be composed: only plain LoRA updates can be added",
                "train it with method lora, without dora",
            )


def push(folder: Path, repository: str, private: bool = True) -> str:
    """Upload an adapter's folder to a model hub; returns its address.

    Raises:
        ModelError: where the hub refuses or cannot be reached.
    """
    from huggingface_hub import HfApi

    read_card(folder)
    hub = HfApi()
    try:
        hub.create_repo(repository, private=private, exist_ok=True)
        done = hub.upload_folder(
            repo_id=repository,
            folder_path=str(folder),
            ignore_patterns=["checkpoints/*", "inputs", ".*"],
        )
    except Exception as e:  # the hub client raises its own, HTTP and OS errors
        reason = (str(e).strip() or type(e).__name__).splitlines()[0]
        raise ModelError(
            f"cannot push to {repository!r}: {reason}",
            "log in with `hf auth login`, and check the name and the network",
        ) from e
    return str(getattr(done, "repo_url", None) or done)


def _load(card: AdapterCard, base: str | None, dtype: str) -> LocalModel:
    return LocalModel.load(base or card.base, dtype)


@contextmanager
def _whole(out: Path) -> Iterator[Path]:
    """A folder that is there whole or not at all: written beside its place, then renamed."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is not empty", "choose another --out")
    out.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        yield work
        work.chmod(0o755)
        work.replace(out)
    finally:
        shutil.rmtree(work, ignore_errors=True)
