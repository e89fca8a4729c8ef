"""`personalign adapters …`: what has been trained, and what can be made of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from personalign.cli.show import Json, progress_bars, show, table

if TYPE_CHECKING:
    from personalign.training.card import AdapterCard

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Adapters that were trained.")

Adapter = Annotated[Path, typer.Argument(help="Folder of an adapter.")]
Base = Annotated[str | None, typer.Option(help="Another name of the same base, such as a path.")]
Out = Annotated[Path, typer.Option("--out", help="Folder for what is made; must not exist.")]


@app.command("list")
def list_(
    folder: Annotated[Path, typer.Argument(help="A run folder, or one above several.")],
    as_json: Json = False,
) -> None:
    """List adapters with how they were trained and whether their persona was verified.

    Reads the cards in a folder; writes nothing.

    Example: personalign adapters list runs/quickstart
    """
    from personalign.training.card import find

    cards = find(folder)
    if as_json:
        print(json.dumps({str(p): c.model_dump(mode="json") for p, c in cards.items()}, indent=1))
        return
    rows = [[p, c.persona, c.base, c.settings.objective, *_ends(c)] for p, c in cards.items()]
    table(["folder", "persona", "base", "objective", "loss", "verdict", "problems"], rows)


def _ends(card: AdapterCard) -> list[str]:
    loss = card.curves.get("loss")
    spelled = f"{loss[0]:.3f} → {loss[1]:.3f}" if loss else ""
    return [spelled, card.verdict(), str(len(card.problems) or "")]


@app.command("show")
def show_(adapter: Adapter, as_json: Json = False) -> None:
    """Show an adapter's card.

    Reads card.json in its folder; writes nothing.

    Example: personalign adapters show runs/quickstart/adapters/INFP
    """
    from personalign.training.card import read_card

    card = read_card(adapter)
    data = card.model_dump(mode="json")
    if not as_json:
        settings = data.pop("settings")
        given = {name: value for name, value in settings.items() if value not in (None, [])}
        data = given | data  # both have a `system`: the card's is the prompt itself
        data["verification"] = card.verdict()
        data["problems"] = "; ".join(p.line() for p in card.problems) or "none"
    show(data, as_json)


@app.command()
def merge(
    adapter: Adapter,
    out: Out,
    base: Base = None,
    strength: Annotated[float, typer.Option(help="From 0 to 2.")] = 1.0,
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = "auto",
    as_json: Json = False,
) -> None:
    """Put an adapter into its base's weights.

    Reads an adapter and its base; writes a model that transformers and vLLM load as it is.

    Example: personalign adapters merge runs/quickstart/adapters/INFP --out infp
    """
    from personalign.training import adapters

    with progress_bars() as announce:
        tick = announce("merge", 1)
        folder = adapters.merge(adapter, out, base, strength, dtype)
        tick(1)
    show({"model": str(folder)}, as_json)


@app.command()
def compose(
    parts: Annotated[list[str], typer.Argument(help="FOLDER=WEIGHT, two or more.")],
    out: Out,
    name: Annotated[str, typer.Option(help="What the result is called.")] = "composed",
    base: Base = None,
    rank: Annotated[
        int | None, typer.Option(help="Of the result; without it the sum is exact.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Blend adapters of one base with weights: four single traits make a type.

    Reads adapters and their base; writes one adapter.

    Example: personalign adapters compose runs/traits/adapters/I=1 runs/traits/adapters/N=1 --out in
    """
    from personalign.training import adapters

    weighed = dict(_part(text) for text in parts)
    with progress_bars() as announce:
        tick = announce("compose", 1)
        folder = adapters.compose(weighed, out, name, base, rank)
        tick(1)
    show({"adapter": str(folder)}, as_json)


def _part(text: str) -> tuple[Path, float]:
    from personalign.errors import InputError

    folder, _, weight = text.rpartition("=")
    try:
        return Path(folder), float(weight)
    except ValueError:
        raise InputError(f"{text!r} is not FOLDER=WEIGHT", "such as adapters/I=0.5") from None


@app.command()
def push(
    adapter: Adapter,
    repository: Annotated[str, typer.Argument(help="Name on the hub: OWNER/NAME.")],
    public: Annotated[bool, typer.Option("--public", help="Let everybody see it.")] = False,
    as_json: Json = False,
) -> None:
    """Upload an adapter with its model card to a model hub; private unless --public.

    Reads an adapter's folder and your stored login; writes to the hub.

    Example: personalign adapters push runs/quickstart/adapters/INFP me/infp
    """
    from personalign.training import adapters

    show({"address": adapters.push(adapter, repository, private=not public)}, as_json)
