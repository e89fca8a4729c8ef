"""Social reasoning: a situation, a question, three answers of which one is best.

The rule is the one of SocialIQA (Sap et al. 2019, arXiv 1904.09728) as lm-eval's task
`social_iqa` scores it: the answer with the highest summed log-prob. Beside it the answer that a
model gives in words, read by a tolerant parser; that prompt is our own. The set that is shipped
was written for this project and is never reported under the benchmark's name.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field, ValidationError, model_validator

from personalign.errors import CorpusError
from personalign.evals.sources import hub_rows, own_name
from personalign.files import Row, read_records, read_text, rows
from personalign.models.respondent import Candidates, Respondent
from personalign.models.thoughts import without_thoughts
from personalign.progress import Progress, silent
from personalign.records import Message, Record, ScoreRow

__all__ = [
    "LETTERS",
    "PROMPT",
    "STARTER",
    "Choice",
    "SocialItem",
    "accuracy_by_kind",
    "choices",
    "kind_of",
    "parse_choice",
    "plain",
    "read",
    "task_name",
]

STARTER = "starter"
SIZE = 1954
"""Items of SocialIQA's dev set; a file with fewer does not bear its name."""

PROMPT = "{context} {question}\nAnswer in a few words."
NOTHING = "What now?"
"""Asked where nothing was told, so that an answer's own likelihood can be taken off."""

LETTERS = "ABCDEFGH"
KINDS = {
    "want": r"\bwants? to do\b|\bwill .* want\b",
    "need": r"\bneeds? to\b",
    "react": r"\bfeels?\b",
    "describe": r"\bdescribe\b",
    "motive": r"^why\b",
    "effect": r"\bhappen\b|\bwill .* do\b",
}
"""Kind of question → what its wording shows; the six kinds of SocialIQA's relations."""

NOT = r"(?i:\b(?:can)?not\b|n['’]t\b|\bnever\b)"
"""What rules out the answer after it."""
REASON = r"(?i:because|since|as(?! well)|given that|whereas)\b"
"""What follows an answer that is given first: other letters after it are its reasons."""
ARTICLE = r"(?!\s+(?!or\b|and\b|is\b|as\b|because\b)(?-i:[a-z]))"
"""After the letter A: it is no article, as in "a friend would"."""


LABELS = {"1": 0, "2": 1, "3": 2, "A": 0, "B": 1, "C": 2}
"""SocialIQA's ways to name the right answer, as indices."""


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
    """The name under which results are reported: SocialIQA's only for its whole dev set."""
    if source == STARTER:
        return "starter-social"
    whole = source == "hub" or len(read(source)) == SIZE
    return "socialiqa" if whole else own_name(Path(source))


def read(source: str = STARTER) -> list[SocialItem]:
    """Items of the shipped set, of a SocialIQA folder, or of the Hub's `allenai/social_i_qa`.

    A folder holds AI2's `dev.jsonl` and `dev-labels.lst`; a file holds `SocialItem` lines, or those
    of SocialIQA 1.4, with their label in `correct`; the word `hub` takes the validation split from
    the Hub (needs the extra `hub` and a network).
    """
    if source == STARTER:
        folder = Path(str(resources.files("personalign.evals")))
        return read_records(folder / "starter" / "social.jsonl", SocialItem)
    if source == "hub":
        return list(_from_hub())
    path = Path(source)
    return list(_from_folder(path) if path.is_dir() else _from_file(path))


def _from_file(path: Path) -> Iterator[SocialItem]:
    for number, row in enumerate(rows(path), start=1):
        if "answerA" in row.cells:
            yield _row_item(number, row, row.cells.get("correct"))
        else:
            yield row.as_record(SocialItem)


def _from_folder(folder: Path) -> Iterator[SocialItem]:
    data, key = folder / "dev.jsonl", folder / "dev-labels.lst"
    found, labels = list(rows(data)), read_text(key).split()
    if len(found) != len(labels):
        raise CorpusError(
            f"{data} has {len(found)} items and {key} {len(labels)} labels",
            "take both files from one download",
        )
    for number, (row, label) in enumerate(zip(found, labels, strict=True), start=1):
        yield _row_item(number, row, label)


def _row_item(number: int, row: Row, label: Any) -> SocialItem:
    """An item whose label stands as 1, 2, 3 (version 1) or as A, B, C (version 1.4)."""
    if label not in LABELS:
        remedy = "label answers 1, 2, 3 or A, B, C"
        raise row.error(f"label {label!r} of item {number} names no answer", remedy)
    try:
        return _item(f"socialiqa-{number:04}", row.cells, LABELS[label])
    except ValidationError as e:
        raise row.error(f"{e.errors()[0]['loc'][0]}: {e.errors()[0]['msg']}") from e
    except KeyError as e:
        raise row.error(f"no {e}") from e


def _from_hub() -> Iterator[SocialItem]:
    for number, row in enumerate(hub_rows("allenai/social_i_qa", "validation"), start=1):
        yield _item(f"socialiqa-{number:04}", row, int(row["label"]) - 1)


def _item(name: str, row: Any, label: int) -> SocialItem:
    return SocialItem(
        id=name,
        context=row["context"],
        question=row["question"],
        answers=(row["answerA"], row["answerB"], row["answerC"]),
        label=label,
        kind=kind_of(row["question"]),
    )


def kind_of(question: str) -> str:
    """What a question asks for: want, need, react, describe, motive, effect, or `other`."""
    text = question.lower()
    return next((kind for kind, shown in KINDS.items() if re.search(shown, text)), "other")


class Choice(NamedTuple):
    """The index of the likeliest answer by three rules; training changes lengths and manners, and
    the rules differ in what these do to them.

    `summed` is the benchmark's own. `per_token` takes the mean over an answer's tokens. `pmi` takes
    off what the answer is worth after a prompt that tells nothing (domain-conditional PMI; Holtzman
    et al. 2021, arXiv 2104.08315, section 2).
    """

    summed: int
    per_token: int
    pmi: int


def choices(
    who: Respondent,
    items: Sequence[SocialItem],
    form: Literal["chat", "plain"] = "chat",
    progress: Progress = silent,
) -> list[Choice]:
    """Which answer the model finds likeliest, for each item.

    `chat` asks through the chat template and under a system prompt, `plain` as lm-eval does.
    """
    ask = plain if form == "plain" else spoken
    told = [item.model_copy(update={"context": "", "question": NOTHING}) for item in items]
    scored = who.score([ask(item) for item in [*items, *told]], progress)
    return [
        Choice(
            _largest([float(b.sum()) for b in after]),
            _largest([float(b.mean()) for b in after]),
            _largest([float(a.sum() - b.sum()) for a, b in zip(after, before, strict=True)]),
        )
        for after, before in zip(scored[: len(items)], scored[len(items) :], strict=True)
    ]


def _largest(values: Sequence[float]) -> int:
    return max(range(len(values)), key=values.__getitem__)


def spoken(item: SocialItem) -> Candidates:
    """An item in a conversation."""
    text = PROMPT.format(context=item.context, question=item.question)
    return Candidates([Message(role="user", content=text)], item.answers)


def plain(item: SocialItem, before: str = "") -> Candidates:
    """An item as lm-eval asks it: `Q: context question⏎A:` and ` answer`, no chat template."""
    prompt = f"{before}Q: {item.context} {item.question}\nA:"
    return Candidates(prompt, [f" {answer}" for answer in item.answers])


def parse_choice(reply: str, answers: Sequence[str]) -> int | None:
    """The index of the answer that a reply names, or None where it names none or several.

    The first of these that names just one counts: a letter that a reason follows (`C, because A is
    wrong`), letters that stand on lines which begin with one
    (`B`, `(b)`, `B.`, `**B**`; `A/B` names two), letters after the word "answer" or "option",
    capital letters that stand alone, and, where there is no letter at all, answers that are quoted
    whole. What "not A" or "isn't A" rules out is not named; a quote after "not" is left unread.
    """
    letters = LETTERS[: len(answers)]
    first = re.match(rf"\W*([{letters}])\W+{REASON}", reply.strip())
    if first:
        return letters.index(first[1])
    ruled = rf"{NOT}(?i:\s+(?:be|the|option|answer|choice))*\s+\(?[{letters}]\b"
    text, ruled_out = re.subn(ruled, "…", without_thoughts(reply).strip())
    capital = rf"\b(?:A{ARTICLE}|[B-{letters[-1]}])\b(?!['’])"
    marked = rf"(?i:(?<![a-z0-9'’])[{letters}](?=[^\sa-z0-9'’]|\s*$))"
    opened = [x for x in text.splitlines() if re.match(rf"[\W_]*{marked}", x)]
    start = [x for line in opened for x in re.findall(f"{marked}|{capital}", line)]
    joined = rf"(?!\W*(?:[/,&]|\bor\b|\band\b)\W*[{letters}]\b)"  # "answer A or B"
    named = rf"\b(?:answer|option|choice)\b\W*(?:is\W+)?([{letters}])\b(?!['’]){ARTICLE}{joined}"
    after = re.findall(named, text, re.I)
    alone = re.findall(capital, text)
    named_in = [{letter.upper() for letter in found} for found in (start, after, alone)]
    for one in named_in:
        if len(one) == 1:
            return letters.index(one.pop())
    quoted = [] if ruled_out or any(named_in) else _quoted(text, answers)
    return quoted[0] if len(quoted) == 1 else None


def _quoted(text: str, answers: Sequence[str]) -> list[int]:
    """Answers that stand whole in a text, none inside a longer one; none where one is denied."""
    found = []
    for k in sorted(range(len(answers)), key=lambda k: -len(answers[k])):
        whole = rf"(?<!\w){re.escape(answers[k].strip(' .'))}(?!\w)"
        if re.search(rf"{NOT}(?:\s+\w+){{0,2}}\s+{whole}", text, re.I):
            return []
        text, seen = re.subn(whole, "…", text, flags=re.I)
        found += [k] if seen else []
    return found


def accuracy_by_kind(
    rows: Iterable[ScoreRow], items: Sequence[SocialItem]
) -> dict[str, tuple[int, int]]:
    """Kind of question → right answers and measured ones, among rows of the metric `correct`."""
    kinds = {item.id: item.kind for item in items}
    values = defaultdict(list)
    for row in rows:
        if row.metric == "correct" and row.value is not None:
            values[kinds[row.sample]].append(row.value)
    return {kind: (int(sum(v)), len(v)) for kind, v in sorted(values.items())}
