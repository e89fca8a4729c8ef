"""The crawling process: `python -m personalign.corpus.spider FOLDER`, settings on stdin."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import sys
import time
from collections.abc import AsyncIterator, Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag, urlsplit

import scrapy
from pydantic import BaseModel
from scrapy import signals
from scrapy.crawler import CrawlerProcess
from scrapy.downloadermiddlewares.retry import get_retry_request
from scrapy.exceptions import CloseSpider, IgnoreRequest
from scrapy.http import HtmlResponse, Response
from scrapy.linkextractors import LinkExtractor
from scrapy.resolver import CachingThreadedResolver

from personalign import __version__
from personalign.corpus.crawl import CACHE, FAILURES, PAGES, Crawl, Failure, pages
from personalign.corpus.reading import content_type, forbidden, is_html, no_text, read_page

__all__ = ["Guard", "Patience", "PublicResolver", "main", "refusal"]

BUSY = (429, 503)


def refusal(address: str) -> str | None:
    """Why an address may not be fetched from, or None for a public one."""
    ip = ipaddress.ip_address(address.split("%")[0])
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return None if ip.is_global and not ip.is_multicast else f"{address} is not a public address"


class PublicResolver(CachingThreadedResolver):
    """Resolves names to public addresses only, at the moment of connecting."""

    def getHostByName(self, name: str, timeout: Any = ()) -> Any:  # noqa: N802
        return super().getHostByName(name, timeout).addCallback(_public)


def _public(address: str) -> str:
    if reason := refusal(address):
        raise OSError(reason)
    return address


class Guard:
    """Refuses what is not http(s) or not public, for every request: first, redirected, robots.

    A robots.txt that cannot be served (5xx) is taken for a no, as RFC 9309 asks.
    """

    def __init__(self, allow_local: bool) -> None:
        self.allow_local = allow_local

    @classmethod
    def from_crawler(cls, crawler: Any) -> Guard:
        return cls(crawler.settings.getbool("ALLOW_LOCAL"))

    async def process_request(self, request: scrapy.Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("http", "https"):
            raise IgnoreRequest(f"scheme {parts.scheme!r} is refused")
        if self.allow_local:
            return
        for address in await _addresses(parts.hostname or ""):
            if reason := refusal(address):
                raise IgnoreRequest(reason)

    def process_response(self, request: scrapy.Request, response: Response) -> Response:
        if request.meta.get("dont_obey_robotstxt") and response.status >= 500:
            return response.replace(status=200, body=b"User-agent: *\nDisallow: /")
        return response


async def _addresses(host: str) -> list[str]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None)
    except OSError as e:
        raise IgnoreRequest(f"host {host!r} does not resolve") from e
    return [str(entry[4][0]) for entry in found]


class Patience:
    """Waits as long as a busy host asks for, with every request to that host."""

    def __init__(self, crawler: Any) -> None:
        self.crawler = crawler
        self.longest = crawler.settings.getfloat("PATIENCE")
        self.until: dict[str, float] = {}

    @classmethod
    def from_crawler(cls, crawler: Any) -> Patience:
        return cls(crawler)

    async def process_request(self, request: scrapy.Request) -> None:
        wait = self.until.get(urlsplit(request.url).netloc, 0.0) - time.monotonic()
        if wait > 0:
            await asyncio.sleep(wait)

    def process_response(
        self, request: scrapy.Request, response: Response
    ) -> Response | scrapy.Request:
        asked = _seconds(response.headers.get(b"Retry-After"))
        if response.status in BUSY and asked is not None and asked <= self.longest:
            self.until[urlsplit(request.url).netloc] = time.monotonic() + asked
            reason = f"busy ({response.status})"
            spider = self.crawler.spider
            again = get_retry_request(request, spider=spider, reason=reason)
            if again is not None:
                return again
        return response


def _seconds(header: bytes | None) -> float | None:
    if header is None:
        return None
    text = header.decode("latin-1").strip()
    if text.isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None


class Journal:
    """A JSON Lines file that only grows, each key once; a torn last line is cut off."""

    def __init__(self, path: Path) -> None:
        self.path = path
        whole = path.read_bytes() if path.exists() else b""
        whole = whole[: whole.rfind(b"\n") + 1]
        self.keys = {json.loads(line)["url"] for line in whole.splitlines()}
        path.write_bytes(whole) if path.exists() else path.touch()

    def add(self, url: str, record: BaseModel) -> None:
        if url in self.keys:
            return
        self.keys.add(url)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(record.model_dump_json() + "\n")


class PageSpider(scrapy.Spider):
    """Fetches pages, keeps their main text, and follows links on the same hosts.

    A start page that is redirected to another host takes the crawl there. Every address that is
    met ends either among the pages or, with its reason, among the failures.
    """

    name = "pages"

    def __init__(self, settings_: Crawl, out: Path, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.plan = settings_
        (out / FAILURES).unlink(missing_ok=True)  # what was fetched is replayed from the cache
        self.kept, self.failed = Journal(out / PAGES), Journal(out / FAILURES)
        self.texts = {page.text: page.url for page in pages(out)}
        self.hosts = {urlsplit(u).netloc for u in settings_.urls}
        self.waiting: set[str] = set()
        self.unwanted: dict[str, str] = {}

    @classmethod
    def from_crawler(cls, crawler: Any, *args: Any, **kwargs: Any) -> PageSpider:
        spider: PageSpider = super().from_crawler(crawler, *args, **kwargs)
        crawler.signals.connect(spider.dropped, signal=signals.request_dropped)
        return spider

    async def start(self) -> AsyncIterator[scrapy.Request]:
        for url in self.plan.urls:
            yield self._request(url, 0)

    def _request(self, url: str, depth: int) -> scrapy.Request:
        url = urldefrag(url).url
        if url not in self.kept.keys | self.failed.keys:
            self.waiting.add(url)
        meta = {"level": depth, "asked": url}
        return scrapy.Request(url, self.parse, errback=self.failure, meta=meta)

    def failure(self, failure: Any) -> None:
        self._refuse(failure.request, _reason(failure.value, self.plan))

    def dropped(self, request: scrapy.Request) -> None:
        """A request for what was asked before: nothing is lost, unless it came by a redirect."""
        asked = request.meta.get("asked", request.url)
        if asked != request.url:
            self._fail(asked, asked, f"redirects to {request.url}, which was asked before")

    def parse(self, response: Response, **kwargs: Any) -> Iterator[scrapy.Request]:
        if not is_html(response):
            self._refuse(response, f"not HTML: {content_type(response)}")
            return
        yield from self._links(response)
        if reason := self._keep(response):
            self._refuse(response, reason)
        if self._is_full():
            raise CloseSpider("pages")

    def _keep(self, response: HtmlResponse) -> str | None:
        """Keep a page, or say why not."""
        if said := forbidden(response) & {"noindex", "noai"}:
            return f"the page says {', '.join(sorted(said))}"
        try:
            page = read_page(response)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as e:
            return f"cannot be read: {type(e).__name__}"
        if lacking := no_text(response, page.text):
            return lacking
        first = self.texts.get(page.text, page.url)
        if first != page.url:
            return f"the same text as {first}"
        if self._is_full() and page.url not in self.kept.keys:
            return self._full
        self.texts[page.text] = page.url
        self.kept.add(page.url, page)
        self.waiting -= {page.url, page.requested}
        return None

    def _links(self, response: HtmlResponse) -> Iterator[scrapy.Request]:
        level = response.meta["level"]
        if level >= self.plan.depth:
            return
        if level == 0:
            self.hosts.add(urlsplit(response.url).netloc)
        closed = "nofollow" in forbidden(response)
        links = LinkExtractor(allow=self.plan.follow or (), allow_domains=sorted(self.hosts))
        for link in links.extract_links(response):
            if closed or link.nofollow:
                reason = f"nofollow on {response.url}"
                self.unwanted.setdefault(urldefrag(link.url).url, reason)
            else:
                yield self._request(link.url, level + 1)

    def closed(self, reason: str) -> None:
        """What was met and never answered is told too."""
        for url in sorted(self.waiting):
            why = self._full if self._is_full() else f"not fetched: the crawl ended ({reason})"
            self._fail(url, url, why)
        for url, why in self.unwanted.items():
            if url not in self.kept.keys:
                self._fail(url, url, why)

    def _refuse(self, about: scrapy.Request | Response, reason: str) -> None:
        self._fail(about.url, about.meta.get("asked", about.url), reason)

    def _fail(self, url: str, requested: str, reason: str) -> None:
        self.waiting -= {url, requested}
        if url in self.kept.keys and url != requested:  # another address of a kept page
            url, reason = requested, f"redirects to {url}, which is kept"
        if url not in self.kept.keys:
            self.failed.add(url, Failure(url=url, requested=requested, reason=reason))

    @property
    def _full(self) -> str:
        return f"not kept: the crawl already had its {self.plan.pages} pages"

    def _is_full(self) -> bool:
        return len(self.kept.keys) >= self.plan.pages


def _reason(error: Any, plan: Crawl) -> str:
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP {response.status}"
    name = type(error).__name__
    if "Cancelled" in name:
        return f"larger than {plan.max_bytes} bytes"
    text = str(error).strip()
    return text if isinstance(error, IgnoreRequest) and text else f"{name}: {text}".rstrip(": ")


def scrapy_settings(plan: Crawl, out: Path) -> dict[str, Any]:
    """Scrapy's settings for a polite, bounded, resumable crawl."""
    contact = f"; +{plan.contact}" if plan.contact else ""
    resolver = None if plan.allow_local else PublicResolver
    named = {"DNS_RESOLVER": resolver, "TWISTED_DNS_RESOLVER": resolver} if resolver else {}
    return named | {
        "USER_AGENT": f"personalign/{__version__} (research crawler{contact})",
        "ALLOW_LOCAL": plan.allow_local,
        "PATIENCE": plan.patience,
        "ROBOTSTXT_OBEY": True,
        "HTTPPROXY_ENABLED": False,
        "COOKIES_ENABLED": False,
        "TELNETCONSOLE_ENABLED": False,
        "CONCURRENT_REQUESTS_PER_DOMAIN": 1,
        "DOWNLOAD_DELAY": plan.delay,
        "AUTOTHROTTLE_ENABLED": plan.delay > 0,
        "AUTOTHROTTLE_START_DELAY": plan.delay,
        "DOWNLOAD_TIMEOUT": 30,
        "DOWNLOAD_MAXSIZE": plan.max_bytes,
        "DOWNLOAD_WARNSIZE": 0,
        "REDIRECT_MAX_TIMES": 5,
        "RETRY_TIMES": 3,
        "DEPTH_PRIORITY": 1,
        "HTTPCACHE_ENABLED": True,
        "HTTPCACHE_DIR": str((out / CACHE).resolve()),
        "HTTPCACHE_EXPIRATION_SECS": 30 * 24 * 3600,
        "HTTPCACHE_IGNORE_HTTP_CODES": [408, 429, 500, 502, 503, 504],
        "HTTPCACHE_GZIP": True,
        "DOWNLOADER_MIDDLEWARES": {Guard: 20, Patience: 560},
        "LOG_LEVEL": "ERROR",
    }


def main() -> None:
    """Crawl as the settings on stdin say, and print Scrapy's statistics as one line of JSON."""
    out = Path(sys.argv[1])
    plan = Crawl.model_validate_json(sys.stdin.read())
    process = CrawlerProcess(scrapy_settings(plan, out))
    crawler = process.create_crawler(PageSpider)
    process.crawl(crawler, settings_=plan, out=out)
    process.start()
    stats = crawler.stats.get_stats() if crawler.stats else {}
    print(json.dumps({k: v for k, v in stats.items() if isinstance(v, int)}))
    if stats.get("finish_reason") not in ("finished", "pages"):
        sys.exit(f"finished with {stats.get('finish_reason')!r}")


if __name__ == "__main__":
    main()
