"""Social reasoning: a situation, a question, three answers of which one is best.

The rule is the one of SocialIQA (Sap et al. 2019, arXiv 1904.09728) as lm-eval's task
`social_iqa` scores it: the answer with the highest summed log-prob. The set that is shipped was
written for this project and is never reported under the benchmark's name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from personalign.errors import CorpusError
from personalign.models.chat import reply_tree, with_system
from personalign.models.local import LocalModel
from personalign.models.trees import Tree
from personalign.records import Message, Record, read_jsonl

__all__ = ["STARTER", "SocialItem", "choices", "plain_tree", "read", "task_name"]

STARTER = "starter"
PROMPT = "{context} {question}\nAnswer in a few words."


class SocialItem(Record):
    """One item; `label` is the index of the best answer."""

    id: str
    context: str
    question: str
    answers: tuple[str, ...] = Field(min_length=2)
    label: int = Field(ge=0)
    kind: str = "unknown"

    @model_validator(mode="after")
    def _label_exists(self) -> SocialItem:
        if self.label >= len(self.answers):
            raise ValueError(f"label {self.label} names none of {len(self.answers)} answers")
        return self


def task_name(source: str) -> str:
    """The name under which results are reported: the shipped set has its own."""
    return "starter-social" if source == STARTER else "socialiqa"


def read(source: str = STARTER) -> list[SocialItem]:
    """Items of the shipped set, of a SocialIQA folder, or of the Hub's `allenai/social_i_qa`.

    A folder holds AI2's `dev.jsonl` and `dev-labels.lst`; a file holds `SocialItem` lines; the
    word `hub` takes the validation split from the Hub (needs the extra `hub` and a network).
    """
    if source == STARTER:
        folder = Path(str(resources.files("personalign.evals")))
        return read_jsonl(folder / "starter" / "social.jsonl", SocialItem)
    if source == "hub":
        return list(_from_hub())
    path = Path(source)
    return list(_from_folder(path)) if path.is_dir() else read_jsonl(path, SocialItem)


def _from_folder(folder: Path) -> Iterator[SocialItem]:
    data, key = folder / "dev.jsonl", folder / "dev-labels.lst"
    try:
        lines = data.read_text(encoding="utf-8").splitlines()
        labels = key.read_text(encoding="utf-8").split()
    except OSError as e:
        raise CorpusError(
            f"cannot read {e.filename}: {e.strerror}", "name SocialIQA's folder"
        ) from e
    if len(lines) != len(labels):
        raise CorpusError(f"{data} has {len(lines)} items and {key} {len(labels)} labels", "check")
    for number, (line, label) in enumerate(zip(lines, labels, strict=True), start=1):
        try:
            row = json.loads(line)
            yield _item(f"socialiqa-{number:04}", row, int(label) - 1)
        except (ValueError, KeyError) as e:
            raise CorpusError(f"{data}:{number}: {e}", "mend the line") from e


def _from_hub() -> Iterator[SocialItem]:
    import datasets

    rows = datasets.load_dataset("allenai/social_i_qa", split="validation")
    for number, row in enumerate(rows, start=1):
        yield _item(f"socialiqa-{number:04}", row, int(row["label"]) - 1)


def _item(name: str, row: Any, label: int) -> SocialItem:
    answers = (row["answerA"], row["answerB"], row["answerC"])
    context, question = row["context"], row["question"]
    return SocialItem(id=name, context=context, question=question, answers=answers, label=label)


def plain_tree(tokenizer: Any, item: SocialItem, before: str = "") -> Tree:
    """An item as lm-eval asks it: `Q: context question⏎A:` and ` answer`, no chat template."""
    prompt = f"{before}Q: {item.context} {item.question}\nA:"
    head: list[int] = tokenizer(prompt)["input_ids"]
    whole: list[list[int]] = [tokenizer(f"{prompt} {a}")["input_ids"] for a in item.answers]
    return Tree(tuple(head), tuple(tuple(w[len(head) :]) for w in whole))


def choices(
    local: LocalModel,
    items: Sequence[SocialItem],
    system: str | None,
    adapter: str | None,
    form: Literal["chat", "plain"] = "chat",
    progress: Callable[[int], None] = lambda done: None,
) -> list[int]:
    """The index of the answer that the model finds likeliest, for each item.

    `chat` asks through the chat template and under a system prompt, `plain` as lm-eval does.
    """
    trees = [
        plain_tree(local.tokenizer, item)
        if form == "plain"
        else reply_tree(local.tokenizer, _prompt(item, system), item.answers)
        for item in items
    ]
    scored = local.score(trees, adapter, progress)
    return [max(range(len(b)), key=lambda i: float(b[i].sum())) for b in scored]


def _prompt(item: SocialItem, system: str | None) -> tuple[Message, ...]:
    text = PROMPT.format(context=item.context, question=item.question)
    return with_system([Message(role="user", content=text)], system)
