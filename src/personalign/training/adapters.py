"""What can be done with a trained adapter: copy it, merge it, blend several, push it to a hub."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from personalign.errors import InputError, ModelError
from personalign.models.fitting import check_files, check_strength
from personalign.models.local import LocalModel
from personalign.models.provenance import CARD, FILES, adapter_hash, check_base
from personalign.training.card import CURVES_FILE, AdapterCard, read_card, weights_hash

__all__ = ["check", "compose", "copy", "merge", "push"]

KEPT = (*FILES, CARD, "README.md", CURVES_FILE, "history.json", "health.json")


def check(folder: Path, base_identity: str, strength: float) -> None:
    """Refuse what cannot answer on this base at this strength, by its files alone.

    Raises:
        ModelError: where it is none, for another base, or more than an update of linear layers.
        InputError: where its card is damaged.
    """
    adapter_hash(folder)
    settings, _ = check_files(folder)
    check_base(folder, base_identity)
    check_strength(folder, settings, strength)
    if (folder / CARD).exists():
        read_card(folder)


def copy(folder: Path, out: Path) -> list[Path]:
    """Copy an adapter with what is written down about it, in place of what `out` held.

    Verdicts are left behind: they are another study's. Returns the copies of what its answers
    depend on.

    Raises:
        InputError: where it lies in `out` itself.
    """
    if folder.resolve().is_relative_to(out.resolve()):
        raise InputError(f"adapter {folder} is in the place of its copy", "move it elsewhere")
    shutil.rmtree(out, ignore_errors=True)
    with _whole(out) as work:
        for file in (folder / name for name in KEPT):
            if file.is_file():
                shutil.copyfile(file, work / file.name)
        if (folder / CARD).exists():
            read_card(folder).model_copy(update={"verification": ()}).write(work)
    return [out / name for name in FILES]


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
    systems = {card.system for card in cards.values()}
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
            system=first.system if len(systems) == 1 else None,
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
