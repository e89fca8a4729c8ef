"""`personalign corpus …`: the steps from web pages and a language model to preference pairs.

Each command parses, then calls one library function. Mounted under `corpus`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from personalign.cli.show import Json, printable, progress_bars, show, table

if TYPE_CHECKING:
    from personalign.corpus.ask import Estimate
    from personalign.corpus.build import Build
    from personalign.corpus.recipe import Recipe
    from personalign.corpus.review import Decision
    from personalign.records import PreferencePair

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="From web pages and a language model to pairs.")

ModelName = Annotated[
    str, typer.Option("--model", help="As Inspect names it: openai/…, anthropic/…, openai-api/….")
]
BaseUrl = Annotated[str | None, typer.Option(help="Where an OpenAI-compatible server is.")]
Concurrency = Annotated[int, typer.Option(help="Requests at once.")]
PerMinute = Annotated[int, typer.Option(help="Requests a minute at most; 0 for no limit.")]
MaxCost = Annotated[float | None, typer.Option(help="Stop before the total passes this.")]
Yes = Annotated[bool, typer.Option("--yes", help="Start without asking.")]
OutFolder = Annotated[Path, typer.Option("--out", help="Folder for what is made.")]


@app.command()
def crawl(
    urls: Annotated[list[str], typer.Argument(help="Pages to begin with.")],
    out: OutFolder,
    depth: Annotated[int, typer.Option(help="Links to follow from there.")] = 1,
    pages: Annotated[int, typer.Option(help="Pages to keep at most.")] = 100,
    follow: Annotated[str, typer.Option(help="Regular expression for links to follow.")] = "",
    delay: Annotated[float, typer.Option(help="Seconds between requests to a host.")] = 1.0,
    max_bytes: Annotated[int, typer.Option(help="Larger pages are left out.")] = 2 * 2**20,
    contact: Annotated[str, typer.Option(help="Your URL or address, in the user agent.")] = "",
    allow_local: Annotated[bool, typer.Option(help="Allow private and loopback hosts.")] = False,
    as_json: Json = False,
) -> None:
    """Fetch pages politely and keep their main text.

    Reads the web, as far as robots.txt allows; writes pages.jsonl and failures.jsonl in --out. The
    same command goes on where a killed one was.

    Example: personalign corpus crawl https://example.org/types --out pages --depth 1
    """
    from personalign.corpus.crawl import Crawl
    from personalign.corpus.crawl import crawl as fetch

    plan = _checked(
        Crawl, urls=tuple(urls), depth=depth, pages=pages, follow=follow, delay=delay,
        max_bytes=max_bytes, contact=contact, allow_local=allow_local,
    )  # fmt: skip
    with progress_bars() as announce:
        done = fetch(plan, out, announce("pages", pages))
    show(done.model_dump() | {"folder": str(out)}, as_json)


@app.command()
def profile(
    persona: Annotated[str, typer.Argument(help="A name of the catalogue, or a YAML file.")],
    out: OutFolder,
    pages: Annotated[Path | None, typer.Option(help="Folder of crawled pages.")] = None,
    model: ModelName = "",
    base_url: BaseUrl = None,
    concurrency: Concurrency = 16,
    per_minute: PerMinute = 0,
    as_json: Json = False,
) -> None:
    """Note a persona's features and characters, each with the page it came from.

    Reads crawled pages and asks a model about each; without --pages, reads the persona's own file
    and asks nobody; writes profile.yaml in --out, to be looked through and edited.

    Example: personalign corpus profile INFP --pages pages --model openai/gpt-4o-mini --out infp
    """
    from personalign.corpus import profiles
    from personalign.corpus.build import Build
    from personalign.corpus.recipe import recipe_of

    told = {"model.base_url": base_url, "limits.concurrency": concurrency,
            "limits.per_minute": per_minute}  # fmt: skip
    settings = [f"{key}={value}" for key, value in told.items() if value is not None]
    recipe = recipe_of(persona, model or "none/none", settings)
    with progress_bars() as announce:
        build = Build(recipe, out, announce, pages=pages)
        build.do("profile")
    found = profiles.load(out / "profile.yaml", build.persona.name)
    counts = {"features": len(found.features), "characters": len(found.sketches)}
    show(counts | {"file": str(out / "profile.yaml")}, as_json)


@app.command()
def scenes(
    source: Annotated[
        str, typer.Argument(help="File, folder, starter/mbti, dailydialog:PATH, or `model`.")
    ],
    out: Annotated[Path, typer.Option(help="File of scenes to write.")],
    measure: Annotated[float, typer.Option(help="Share that is kept for measuring.")] = 0.2,
    topic: Annotated[list[str] | None, typer.Option(help="With `model`; may be repeated.")] = None,
    each: Annotated[int, typer.Option(help="With `model`: scenes for a topic.")] = 20,
    tagger: Annotated[str, typer.Option(help="Who names areas: words, or model.")] = "words",
    model: ModelName = "",
    base_url: BaseUrl = None,
    as_json: Json = False,
) -> None:
    """Gather everyday situations: each once, tagged by area, split into build and measure.

    Reads a file, the starter corpus or DailyDialog, or asks a model; writes a file of scenes.

    Example: personalign corpus scenes situations.txt --out scenes.jsonl
    """
    from collections import Counter

    from personalign.corpus.gathering import scenes_of
    from personalign.corpus.recipe import ModelChoice, Scenes

    how = _checked(
        Scenes, source=source, topics=tuple(topic or ()), each=each, measure=measure, tagger=tagger
    )
    chosen = ModelChoice(name=model, base_url=base_url) if model else None
    with progress_bars() as announce:
        found = scenes_of(how, out, chosen, announce)
    splits, areas = (dict(Counter(s.split for s in found)), dict(Counter(s.area for s in found)))
    show({"scenes": len(found), "split": splits, "areas": areas, "file": str(out)}, as_json)


@app.command()
def generate(
    persona: Annotated[str, typer.Argument(help="A name of the catalogue, or a YAML file.")],
    out: OutFolder,
    model: ModelName,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="More of the recipe, as key=value; may be repeated."),
    ] = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Write dialogues and rejected replies: the pairs of one persona.

    Reads a profile and scenes, asks a model; writes dialogues.jsonl, pairs.jsonl, what was refused
    and why, and ledger.sqlite in --out. The same command goes on and asks nothing twice. What a
    recipe says (docs/corpus.md) is said by --set: count=20, scenes.source=mine.jsonl,
    profile=infp/profile.yaml, rejected.way=base, model.base_url=…, limits.max_cost=5.

    Example: personalign corpus generate INFP --model openai/gpt-4o-mini --set count=20 --out infp
    """
    from personalign.corpus.recipe import recipe_of

    _build(recipe_of(persona, model, settings or []), out, yes, False, as_json)


@app.command()
def build(
    recipe: Annotated[Path, typer.Argument(help="Recipe (YAML).")],
    out: Annotated[Path | None, typer.Option(help="Default: corpora/<name>.")] = None,
    max_cost: MaxCost = None,
    only_estimate: Annotated[bool, typer.Option("--estimate", help="Say the cost only.")] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Do every step of a recipe that is not done: crawl, profile, scenes, dialogues, pairs.

    Reads a recipe; writes a folder with every step's files, a ledger and a manifest.

    Example: personalign corpus build recipes/corpus.yaml
    """
    from personalign.corpus.recipe import read_recipe

    read = read_recipe(recipe)
    if max_cost is not None:
        limits = _checked(type(read.limits), **(read.limits.model_dump() | {"max_cost": max_cost}))
        read = read.model_copy(update={"limits": limits})
    _build(read, out or Path("corpora") / read.name, yes, only_estimate, as_json)


@app.command()
def review(
    pairs: Annotated[Path, typer.Argument(help="File of pairs.")],
    reviewer: Annotated[str, typer.Option(help="Your name, to decide about pairs.")] = "",
    apply: Annotated[Path | None, typer.Option(help="Write the pairs that hold to here.")] = None,
    drop_unseen: Annotated[bool, typer.Option(help="Leave out what nobody has seen.")] = False,
    as_json: Json = False,
) -> None:
    """Accept, edit or reject pairs; say how far reviewers agree; write what holds.

    Reads pairs and the decisions in the folder `reviews` beside them; writes decisions there, and
    with --apply a new file. The pairs themselves stay as they are.

    Example: personalign corpus review infp/pairs.jsonl --reviewer anna
    """
    from personalign.corpus import review as reviewing
    from personalign.errors import InputError
    from personalign.files import stream
    from personalign.records import PreferencePair

    if apply and apply.resolve() == pairs.resolve():
        raise InputError(f"--apply {apply} would write over the pairs", "name another file")
    folder = pairs.parent / "reviews"
    if reviewer:
        total = sum(1 for _ in stream(pairs, PreferencePair))
        whole = stream(pairs, PreferencePair)
        reviewing.review(whole, folder, reviewer, lambda p, n: _decide(p, n, total, reviewer))
    found = reviewing.decisions(folder)
    result: dict[str, Any] = {
        "reviewed": {name: len(of) for name, of in found.items()},
        "agreement": [a.model_dump() for a in reviewing.agreement(found)],
    }
    if apply:
        whole = stream(pairs, PreferencePair)
        done = reviewing.apply(whole, found, apply, "drop" if drop_unseen else "keep")
        result |= {"applied": done.model_dump(), "file": str(apply)}
    show(result, as_json)


def _decide(pair: PreferencePair, number: int, total: int, reviewer: str) -> Decision | None:
    """Show a pair on the terminal and ask for a decision."""
    from rich.console import Console

    from personalign.corpus.review import Decision, pair_id

    console = Console()
    about = [f"{k}: {pair.origin[k]}" for k in ("persona", "area", "feature") if k in pair.origin]
    console.rule(f"{number + 1} this time, of {total} in the file")
    console.print(f"[dim]{printable(', '.join(about))}[/dim]")
    for message in pair.prompt:
        console.print(f"[dim]{message.role}:[/dim] {printable(message.content)}")
    chosen, rejected = pair.chosen[-1].content, pair.rejected[-1].content
    console.print(f"\n[green]chosen:[/green] {printable(chosen)}")
    console.print(f"[red]rejected:[/red] {printable(rejected)}\n")
    key = typer.prompt("a accept, e edit, r reject, q stop", default="a").strip().lower()[:1]
    name = pair_id(pair)
    if key == "q":
        return None
    if key == "r":
        note = typer.prompt("why (may be empty)", default="", show_default=False)
        return Decision(pair=name, reviewer=reviewer, verdict="reject", note=note)
    if key == "e":
        new, old = _edited("chosen", chosen), _edited("rejected", rejected)
        if (new, old) == (chosen, rejected):
            return Decision(pair=name, reviewer=reviewer, verdict="accept")
        if not new.strip() or new.strip() == old.strip():
            typer.echo("that leaves no two replies that differ: decide again")
            return _decide(pair, number, total, reviewer)
        return Decision(pair=name, reviewer=reviewer, verdict="edit", chosen=new, rejected=old)
    return Decision(pair=name, reviewer=reviewer, verdict="accept")


def _edited(name: str, text: str) -> str:
    """A reply as it should be: in $EDITOR on a terminal, else typed anew; empty keeps it."""
    import sys

    import click

    if sys.stdin.isatty():
        return (click.edit(text) or text).strip()
    typed: str = typer.prompt(name, default=text, show_default=False)
    return typed


def _build(recipe: Recipe, out: Path, yes: bool, only: bool, as_json: bool) -> None:
    from personalign.corpus.build import Build, build_all

    with progress_bars() as announce:
        work = Build(recipe, out, announce)
        made = build_all(work, lambda e: _agree(e, work, yes, only, as_json))
    if made is None:
        raise typer.Exit(0 if only else 1)
    if as_json:
        print(json.dumps(made.model_dump(), indent=1))
        return
    rows = [[k, v] for k, v in made.model_dump(exclude={"totals"}).items() if v is not None]
    table(["", ""], rows + [[f"ledger: {k}", v] for k, v in made.totals.model_dump().items()])


def _agree(estimate: Estimate, work: Build, yes: bool, only: bool, as_json: bool) -> bool:
    """Say what it will take; ask where somebody can answer."""
    import sys

    said = estimate.model_dump()
    limit = work.recipe.limits.max_cost
    if only:
        show(said, as_json)
        return False
    if not as_json:
        cost = "unknown (no prices given)" if estimate.cost is None else f"{estimate.cost:.2f}"
        typer.echo(
            f"about {estimate.requests} requests ({estimate.answered} answered already), "
            f"{estimate.tokens_in} tokens in, {estimate.tokens_out} out, cost {cost}"
            + (f", stops at {limit:g}" if limit is not None else ""),
            err=True,
        )
    return yes or not sys.stdin.isatty() or typer.confirm("Start?", default=True, err=True)


def _checked(kind: Any, **values: Any) -> Any:
    """A record from options; what is wrong with one is one line."""
    from pydantic import ValidationError

    from personalign.errors import InputError

    try:
        return kind(**values)
    except ValidationError as e:
        first: Any = e.errors()[0]
        option = "--" + str(first["loc"][-1] if first["loc"] else kind.__name__).replace("_", "-")
        raise InputError(f"{option}: {first['msg']}", "see --help") from e
