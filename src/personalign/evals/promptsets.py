"""Sets of prompts that are answered in free text: the shipped ones, and benchmarks by path or Hub.

A file is recognised by its columns, and bears a benchmark's name only if it holds as many prompts
as the benchmark has. Any other file is reported under its own name. No benchmark's prompts are
shipped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from personalign.errors import CorpusError, unknown
from personalign.evals.sources import hub_rows, own_name
from personalign.files import rows
from personalign.records import Record

__all__ = ["FORMS", "Form", "PromptItem", "PromptSet", "read_prompts"]

Row = Mapping[str, Any]


class PromptItem(Record):
    """One prompt; `label` says whether a good model answers it (`safe`) or refuses (`unsafe`)."""

    id: str
    prompt: str = Field(min_length=1)
    category: str | None = None
    label: Literal["safe", "unsafe"] | None = None


@dataclass(frozen=True, slots=True)
class PromptSet:
    """Prompts with the name under which results on them are reported."""

    name: str
    items: tuple[PromptItem, ...]


@dataclass(frozen=True, slots=True)
class Form:
    """How a published set is stored.

    Attributes:
        sizes: Number of prompts → name, for the whole set and its published parts.
        columns: What a file of it has.
        prompt: Column of the prompt.
        category: Column of the kind of harm or prompt, if there is one.
        context: Column of a text that goes before the prompt, if there is one.
        left_out: Column and value of rows that are not asked.
        hub: Repository, split and configurations on the Hub; there the columns may also be
            called `prompt`, `category` and `context`.
    """

    sizes: Mapping[int, str]
    columns: frozenset[str]
    prompt: str = "prompt"
    category: str | None = None
    context: str = "context"
    left_out: tuple[str, str] = ("", "")
    hub: tuple[str, str, tuple[str | None, ...]] | None = None


FORMS: dict[str, Form] = {
    "beavertails-evaluation": Form(
        sizes={700: "beavertails-evaluation"},
        columns=frozenset({"prompt", "category", "category_id"}),
        category="category",
        hub=("PKU-Alignment/BeaverTails-Evaluation", "test", (None,)),
    ),
    "strongreject": Form(
        sizes={313: "strongreject"},
        columns=frozenset({"forbidden_prompt", "category", "source"}),
        prompt="forbidden_prompt",
        category="category",
        hub=("walledai/StrongREJECT", "train", (None,)),
    ),
    "harmbench": Form(
        sizes={300: "harmbench", 240: "harmbench-test", 60: "harmbench-val"},
        columns=frozenset({"Behavior", "BehaviorID", "FunctionalCategory", "SemanticCategory"}),
        prompt="Behavior",
        category="SemanticCategory",
        context="ContextString",
        left_out=("FunctionalCategory", "copyright"),
        hub=("walledai/HarmBench", "train", ("standard", "contextual")),
    ),
    "advbench": Form(
        sizes={520: "advbench"},
        columns=frozenset({"goal", "target"}),
        prompt="goal",
        hub=("walledai/AdvBench", "train", (None,)),
    ),
    "xstest": Form(
        sizes={450: "xstest"},
        columns=frozenset({"prompt", "type", "label", "focus"}),
        category="type",
        hub=("walledai/XSTest", "test", (None,)),
    ),
    "starter-safety": Form(
        sizes={42: "starter-safety"},
        columns=frozenset({"prompt", "category", "form"}),
        category="category",
    ),
    "starter-refusal": Form(
        sizes={40: "starter-refusal"},
        columns=frozenset({"prompt", "type", "label"}),
        category="type",
    ),
    "starter-conflict": Form(
        sizes={60: "starter-conflict"},
        columns=frozenset({"prompt", "kind"}),
        category="kind",
    ),
}
"""Known sets; one whose columns are all among another's comes after it. HarmBench's copyright
behaviours are left out: whether a reply repeats a protected text is no question for a judge of
harm."""

OWN = Form(sizes={}, columns=frozenset({"prompt"}), category="category")


def read_prompts(source: str) -> PromptSet:
    """A shipped set (`starter-safety`, …), a benchmark from the Hub (`hub:advbench`), or a file.

    Args:
        source: A name; a JSON, JSON Lines or CSV file with a header; or a folder with one such.

    Raises:
        CorpusError: where the file cannot be read, names no prompts, or two by the same id.
        InputError: for an unknown name.
    """
    if source.startswith("hub:"):
        return _from_hub(source.removeprefix("hub:"))
    path = Path(source)
    shipped = [name for name in FORMS if name.startswith("starter-")]
    if source in shipped:
        folder = Path(str(resources.files("personalign.evals"))) / "starter"
        path = folder / f"{source.removeprefix('starter-')}.jsonl"
    elif source.startswith("starter-") and not path.exists():
        raise unknown("shipped set of prompts", source, shipped)
    path = _file(path)
    found = [row.cells for row in rows(path)]
    form = _recognised(found, path)
    return _named(form, found, own_name(path))


def _file(path: Path) -> Path:
    """The path itself, or the one file with data in the folder that it names."""
    if not path.is_dir():
        return path
    found = [file for file in sorted(path.iterdir()) if file.suffix in (".csv", ".json", ".jsonl")]
    if len(found) != 1:
        names = ", ".join(file.name for file in found) or "none"
        raise CorpusError(f"{path} is a folder with not one file of prompts: {names}", "name one")
    return found[0]


def _recognised(rows: Sequence[Row], path: Path) -> Form:
    have = set(rows[0]) if rows and all(isinstance(row, dict) for row in rows) else set()
    for form in (*FORMS.values(), OWN):
        if form.columns <= have:
            return form
    raise CorpusError(
        f"{path}: no prompts in it", "give a file with a column `prompt`, or one of a known set"
    )


def _named(form: Form, rows: Sequence[Row], otherwise: str) -> PromptSet:
    column, value = form.left_out
    asked = [row for row in rows if not column or row.get(column) != value]
    name = form.sizes.get(len(asked), otherwise)
    items = tuple(_item(form, row, f"{name}-{n:04}") for n, row in enumerate(asked, start=1))
    (most, times), *_ = Counter(item.id for item in items).most_common(1) or [("", 1)]
    if times > 1:
        raise CorpusError(f"{name}: id {most!r} stands {times} times", "give each row its own id")
    return PromptSet(name, items)


def _item(form: Form, row: Row, number: str) -> PromptItem:
    def cell(column: str | None, alias: str) -> Any:
        return row.get(column or "") or row.get(alias) or None

    context, prompt = cell(form.context, "context"), cell(form.prompt, "prompt")
    own = row.get("id")
    try:
        return PromptItem(
            id=number if own in (None, "") else str(own),
            prompt=f"{context}\n\n{prompt}" if context else prompt,
            category=cell(form.category, "category"),
            label=row.get("label") or None,
        )
    except ValidationError as e:
        first: Any = e.errors()[0]
        raise CorpusError(f"{number}: {first['loc'][0]}: {first['msg']}", "mend the row") from e


def _from_hub(name: str) -> PromptSet:
    form = FORMS.get(name)
    if form is None or form.hub is None:
        raise unknown("set on the Hub", name, [n for n, f in FORMS.items() if f.hub])
    repository, split, configurations = form.hub
    parts = [hub_rows(repository, split, c) for c in configurations]
    return _named(form, [row for part in parts for row in part], f"{name}-part")
