"""Web pages as text, politely: what a crawl is, and how it is started and resumed.

Scrapy's reactor can run once in a process, so a crawl is a process of its own (`spider.py`).
A killed crawl is resumed by the same command: what was fetched stands in the HTTP cache and is
replayed without a request, and a page that stands in `pages.jsonl` is not written again.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from personalign.errors import CorpusError, InputError
from personalign.files import read_lines, write_atomic
from personalign.progress import Progress, silent
from personalign.records import Record

__all__ = ["PAGES", "Crawl", "CrawlResult", "Failure", "Page", "crawl", "pages"]

PAGES, FAILURES, CACHE, SETTINGS = "pages.jsonl", "failures.jsonl", ".cache", "crawl.json"


class Page(Record):
    """One page as fetched: untrusted text, with where it came from and on what terms."""

    url: str
    requested: str
    fetched: str
    status: int
    title: str
    language: str
    encoding: str
    broken_characters: int
    licence: str | None
    terms: str | None
    bytes: int
    sha256: str
    text: str


class Failure(Record):
    """A page that was not taken, and why; `requested` is the address that led to it."""

    url: str
    requested: str = ""
    reason: str


class Crawl(Record):
    """What to crawl, and how gently."""

    urls: tuple[str, ...] = Field(min_length=1)
    depth: int = Field(default=1, ge=0)
    """Links to follow from the first pages; 0 takes these only."""
    pages: int = Field(default=100, ge=1)
    """Pages to keep at most."""
    follow: str = ""
    """Regular expression that a followed link must match; empty for any on the same host, or on
    the one that a first page was redirected to."""
    delay: float = Field(default=1.0, ge=0)
    """Seconds between two requests to one host; more where the host is slow."""
    max_bytes: int = Field(default=2 * 2**20, ge=1024)
    """A larger page is not fetched to its end."""
    patience: float = Field(default=120.0, ge=0)
    """Longest Retry-After, in seconds, that is waited for."""
    allow_local: bool = False
    """Allow private and loopback addresses."""
    contact: str = ""
    """A URL or address in the user agent, so that a site can reach whoever crawls."""

    @field_validator("urls")
    @classmethod
    def _http_only(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        for url in urls:
            if not url.startswith(("http://", "https://")):
                raise ValueError(f"{url!r} is neither http nor https")
        return urls


class CrawlResult(Record):
    """What a crawl left behind."""

    pages: int
    failures: int
    requests: int
    from_cache: int


def crawl(settings: Crawl, out: Path, progress: Progress = silent) -> CrawlResult:
    """Crawl into a folder: `pages.jsonl`, `failures.jsonl` and an HTTP cache.

    The same settings go on where they were; others begin the files anew and keep the cache.

    Raises:
        InputError: where Scrapy is not installed.
        CorpusError: where the crawl broke off; what it has is kept.
    """
    said = settings.model_dump_json()
    stamp = out / SETTINGS
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != said:
        (out / PAGES).unlink(missing_ok=True)
        write_atomic(stamp, said)
    code, printed, errors = _crawling(said, out, progress)
    if "No module named 'scrapy'" in errors or "'trafilatura'" in errors:
        raise InputError("Scrapy is not installed", "pip install 'personalign[crawl]'")
    if code != 0:
        last = (errors.strip().splitlines() or ["no message"])[-1]
        raise CorpusError(f"the crawl into {out} broke off: {last}", "run the same command again")
    stats: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return CrawlResult(
        pages=_lines(out / PAGES),
        failures=_lines(out / FAILURES),
        requests=stats.get("downloader/request_count", 0),
        from_cache=stats.get("httpcache/hit", 0),
    )


def _crawling(said: str, out: Path, progress: Progress) -> tuple[int, str, str]:
    """Run the crawling process to its end; its exit code, output and errors."""
    command = [sys.executable, "-m", "personalign.corpus.spider", str(out)]
    pipe, seen, to_say = subprocess.PIPE, 0, said or None
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        while True:
            try:
                printed, errors = process.communicate(to_say, timeout=0.5)
                return process.returncode, printed, errors
            except subprocess.TimeoutExpired:
                to_say = None  # it has been said
            now = _lines(out / PAGES)
            progress(now - seen)
            seen = now


def pages(folder: Path) -> Iterator[Page]:
    """The pages of a crawl, one at a time."""
    path = folder / PAGES if folder.is_dir() else folder
    if not path.exists():
        raise CorpusError(f"no crawled pages in {folder}", "crawl first: personalign corpus crawl")
    for line in read_lines(path):
        if line.endswith("\n"):
            yield Page.model_validate_json(line)


def _lines(path: Path) -> int:
    return sum(1 for _ in path.open(encoding="utf-8")) if path.exists() else 0
