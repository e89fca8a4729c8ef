"""A response read as a page: its text, its terms, and what it does not allow."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime, timezone
from typing import Any, TypeGuard

import trafilatura
from scrapy.http import HtmlResponse, Response

from personalign.corpus.crawl import Page

__all__ = ["content_type", "forbidden", "is_html", "no_text", "read_page"]

TERMS = re.compile(r"\bterms\b|conditions of use|copyright policy", re.IGNORECASE)
NOSCRIPT = re.compile(r"<noscript\b.*?</noscript\s*>", re.IGNORECASE | re.DOTALL)
SCRIPTED = re.compile(r"java\s?script|자바\s?스크립트", re.IGNORECASE)
NOTE = 300
"""Characters below which a text that names JavaScript is a note that the page needs it."""

AGENTS = ("robots", "personalign")
FOREIGN = re.compile(r"\s*(?!unavailable_after|max-|personalign)[\w-]+\s*:", re.IGNORECASE)
"""An X-Robots-Tag for one other crawler, as `googlebot: noindex`."""


def content_type(response: Response) -> str:
    """The media type that the server names."""
    said = (response.headers.get(b"Content-Type") or b"no type").decode("latin-1")
    return said.partition(";")[0].strip().lower()


def is_html(response: Response) -> TypeGuard[HtmlResponse]:
    """Is it a web page, and not data, a feed, plain text or a file?"""
    plain = content_type(response) in ("text/plain", "application/json")
    return isinstance(response, HtmlResponse) and not plain


def forbidden(response: HtmlResponse) -> set[str]:
    """Directives to robots in the page's head and its X-Robots-Tag; `none` as the two it means.

    Source: Robots meta tags and X-Robots-Tag as search engines document them; `noai` is
    DeviantArt's of 2022.
    """
    head = [
        node.attrib.get("content", "")
        for node in response.css("meta[name]")
        if node.attrib["name"].strip().lower() in AGENTS
    ]
    sent = [h.decode("latin-1") for h in response.headers.getlist(b"X-Robots-Tag")]
    said = " ".join([*head, *(h for h in sent if not FOREIGN.match(h))])
    words = set(re.split(r"[\s,:]+", said.lower()))
    return words | ({"noindex", "nofollow"} if "none" in words else set())


def no_text(response: HtmlResponse, text: str) -> str | None:
    """Why a page has no text to keep, or None where it has one."""
    scripts = bool(response.css("script"))
    if scripts and (not text or (len(text) < NOTE and SCRIPTED.search(text))):
        return "no text without JavaScript"
    return None if text else "no text in it"


def read_page(response: HtmlResponse) -> Page:
    """A response as a page: its main text, and what it says about its licence."""
    html = response.text
    data = trafilatura.extract_metadata(html, default_url=response.url)
    return Page(
        url=response.url,
        requested=response.meta.get("asked", response.url),
        fetched=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        status=response.status,
        title=(data.title if data else None) or response.css("title::text").get("").strip(),
        language=response.css("html::attr(lang)").get(""),
        encoding=response.encoding,
        broken_characters=html.count("\ufffd"),
        licence=_link(response, lambda rel, label, url: "license" in rel),
        terms=_link(response, lambda rel, label, url: bool(TERMS.search(f"{label} {url}"))),
        bytes=len(response.body),
        sha256=hashlib.sha256(response.body).hexdigest(),
        text=_text(NOSCRIPT.sub("", html), response.url),
    )


def _text(html: str, url: str) -> str:
    found = trafilatura.extract(
        html, url=url, favor_recall=True, include_tables=True, include_comments=False
    )
    return (found or trafilatura.html2txt(html) or "").strip()


def _link(response: HtmlResponse, wanted: Any) -> str | None:
    for node in response.css("link[href], a[href]"):
        rel, label = node.attrib.get("rel", "").lower(), " ".join(node.css("::text").getall())
        if wanted(rel, label, node.attrib["href"]):
            return response.urljoin(node.attrib["href"])
    return None
