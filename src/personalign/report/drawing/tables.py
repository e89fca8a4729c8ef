"""Tables: rounded for reading, exact as a CSV file that is carried in its own link."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from personalign.report.words import Words

__all__ = ["Show", "Table", "data_uri", "table"]

Show = Callable[[Any], str]


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the page; `marked` says for every row whether its persona is unverified."""

    name: str
    caption: str
    head: tuple[str, ...]
    body: tuple[tuple[str, ...], ...]
    marked: tuple[bool, ...]
    numeric: tuple[bool, ...]
    csv: str

    @property
    def href(self) -> str:
        """The exact numbers, carried in the link."""
        return data_uri("text/csv", self.csv)

    @property
    def latex(self) -> str:
        """The rows that the page shows as a `tabular` with the rules of the package booktabs."""
        body = [
            (f"{first} †" if marked else first, *rest)
            for (first, *rest), marked in zip(self.body, self.marked, strict=True)
        ]
        columns = "".join("r" if n else "l" for n in self.numeric)
        frame = pd.DataFrame(body, columns=list(self.head))
        return frame.to_latex(index=False, escape=True, column_format=columns)


def table(
    words: Words,
    name: str,
    rows: Sequence[Mapping[str, Any]],
    show: Mapping[str, Show],
    caption: str = "",
) -> Table | None:
    """A table of records, or nothing where there are none.

    Args:
        rows: Records with the same keys, all of which go into the CSV file; the key `verified`
            holds yes, no, or nothing where there is no persona. A key that ends in `shown` is
            for the page only.
        show: The columns that the page shows, and how.
    """
    if not rows:
        return None
    return Table(
        name=name,
        caption=caption or words(f"table.{name}"),
        head=tuple(words(f"column.{key}") for key in show),
        body=tuple(tuple(text(row.get(key)) for key, text in show.items()) for row in rows),
        marked=tuple(row.get("verified") == "no" for row in rows),
        numeric=tuple(any(isinstance(r.get(k), float | int) for r in rows) for k in show),
        csv=_csv(rows),
    )


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out)
    keys = [key for key in rows[0] if not key.endswith("shown")]  # those are for eyes
    writer.writerow(keys)
    writer.writerows([_cell(row.get(key)) for key in keys] for row in rows)
    return out.getvalue()


def _cell(value: Any) -> Any:
    """Text that a spreadsheet would run as a formula is quoted (OWASP: CSV injection)."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return value


def data_uri(kind: str, text: str) -> str:
    """A text as the address of itself."""
    return f"data:{kind};charset=utf-8;base64," + base64.b64encode(text.encode()).decode()
