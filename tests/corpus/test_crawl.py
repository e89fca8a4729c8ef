"""Crawling a real site on loopback, with all that a crawler must not fall for."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import website

pytest.importorskip("scrapy")
pytest.importorskip("trafilatura")

from personalign.corpus.crawl import Crawl, Failure, Page, crawl, pages
from personalign.corpus.spider import refusal
from personalign.errors import CorpusError
from personalign.files import stream


def quick(url: str, **more: object) -> Crawl:
    return Crawl.model_validate(
        {"urls": (url,), "delay": 0, "allow_local": True, "max_bytes": 2**20} | more
    )


@pytest.fixture(scope="module")
def crawled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Counter[str], set[str], str]:
    """One crawl of the whole site, three links deep."""
    out = tmp_path_factory.mktemp("crawl")
    with website.serve() as (url, site):
        crawl(quick(url + "/", depth=3), out)
        return out, Counter(site.hits), set(site.agents), url


@pytest.fixture
def found(crawled: tuple[Path, Counter[str], set[str], str]) -> dict[str, Page]:
    out, _, _, url = crawled
    return {p.url.removeprefix(url): p for p in pages(out)}


@pytest.fixture
def failed(crawled: tuple[Path, Counter[str], set[str], str]) -> dict[str, str]:
    out, _, _, url = crawled
    found = stream(out / "failures.jsonl", Failure)
    return {f.url.removeprefix(url): f.reason for f in found}


def test_text_and_provenance_of_a_page(found: dict[str, Page]) -> None:
    page = found["/"]
    assert "recharge alone" in page.text
    assert page.title == "Start"
    assert page.licence is not None
    assert page.licence.endswith("/licence.html")
    assert page.terms is not None
    assert page.terms.endswith("/terms.html")
    assert len(page.sha256) == 64
    assert page.fetched.startswith("20")


def test_a_list_of_characters_is_kept(found: dict[str, Page]) -> None:
    assert found["/types.html"].text.count("Figure") == 30


def test_another_language_and_a_broken_encoding(found: dict[str, Page]) -> None:
    assert "조용한 시간" in found["/korean.html"].text
    assert found["/korean.html"].language == "ko"
    assert found["/broken.html"].broken_characters == 1
    assert found["/korean.html"].broken_characters == 0


def test_a_redirect_is_followed_and_named(found: dict[str, Page]) -> None:
    assert found["/after-move.html"].requested.endswith("/moved")


def test_robots_are_obeyed(
    crawled: tuple[Path, Counter[str], set[str], str], failed: dict[str, str]
) -> None:
    _, hits, agents, _ = crawled
    assert hits["/secret/page.html"] == 0
    assert hits["/robots.txt"] == 1
    assert failed["/secret/page.html"] == "Forbidden by robots.txt"
    assert all(a.startswith("personalign/") for a in agents)


def test_a_busy_page_is_waited_for(
    crawled: tuple[Path, Counter[str], set[str], str], found: dict[str, Page]
) -> None:
    assert crawled[1]["/busy.html"] == 2
    assert "/busy.html" in found


def test_a_large_page_is_not_fetched_to_its_end(
    crawled: tuple[Path, Counter[str], set[str], str], failed: dict[str, str]
) -> None:
    assert failed["/large.html"] == "larger than 1048576 bytes"
    assert crawled[1]["large-mb"] < 20


def test_loops_end(crawled: tuple[Path, Counter[str], set[str], str]) -> None:
    _, hits, _, _ = crawled
    assert hits["/endless"] == 3
    assert hits["/bounce"] <= 6
    assert hits["/"] == 1


def test_what_is_missing_is_named(failed: dict[str, str]) -> None:
    assert failed["/missing.html"] == "HTTP 404"


def test_local_addresses_are_refused(tmp_path: Path) -> None:
    with website.serve() as (url, site):
        port = url.rsplit(":", 1)[1]
        names = (f"{url}/", f"http://localhost:{port}/", f"http://2130706433:{port}/")
        plan = Crawl(urls=(*names, f"http://[::ffff:127.0.0.1]:{port}/"), delay=0)
        result = crawl(plan, tmp_path)
        assert not site.hits
    assert result.pages == 0
    reasons = [f.reason for f in stream(tmp_path / "failures.jsonl", Failure)]
    assert len(reasons) == 4
    assert all("is not a public address" in r for r in reasons)


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "192.168.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "::1",
     "fe80::1%eth0", "fd00::1", "::ffff:10.0.0.1", "224.0.0.1"],
)  # fmt: skip
def test_addresses_that_are_not_public(address: str) -> None:
    assert refusal(address) is not None


def test_public_addresses_pass() -> None:
    assert refusal("93.184.216.34") is None
    assert refusal("2606:2800:220:1:248:1893:25c8:1946") is None


CHILD = """
import sys
from personalign.corpus import spider
spider.refusal = lambda a: "resolved inward" if a == sys.argv[2] else None
async def public(host):
    return ["93.184.216.34"] if host == "localhost" else [host]
spider._addresses = public
spider.main()
"""


def refused(url: str, out: Path, address: str) -> dict[str, str]:
    """Crawl in a process for which only this address is not public, and DNS may change."""
    plan = Crawl(urls=(url,), delay=0, depth=0)
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(out), address],
        input=plan.model_dump_json(), text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {f.url: f.reason for f in stream(out / "failures.jsonl", Failure)}


def test_a_name_is_checked_again_when_connecting(tmp_path: Path) -> None:
    """DNS that first answers with a public and then with a private address."""
    with website.serve() as (url, site):
        start = url.replace("127.0.0.1", "localhost") + "/"
        reasons = refused(start, tmp_path, "127.0.0.1")
        assert not site.hits
    assert "lookup failed" in reasons[start], reasons


def test_a_redirect_inward_is_refused(tmp_path: Path) -> None:
    with website.serve() as (url, site):
        reasons = refused(f"{url}/inward", tmp_path, "127.0.0.9")
        assert site.hits["/inward"] == 1
    assert reasons == {"http://127.0.0.9/secret": "resolved inward"}


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://example.org/", "data:,x"])
def test_other_schemes_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="neither http nor https"):
        Crawl(urls=(url,))


def test_a_failing_robots_file_is_a_no(tmp_path: Path) -> None:
    with (
        website.serve(robots=(404, "")) as (open_, _),
        website.serve(robots=(503, "")) as (no, site),
    ):
        urls = (open_ + "/types.html", no + "/types.html")
        assert crawl(quick("", urls=urls, depth=0), tmp_path).pages == 1
        assert site.hits["/robots.txt"] > 0
        assert site.hits["/types.html"] == 0
    assert [p.url for p in pages(tmp_path)] == [urls[0]]


@pytest.mark.slow
def test_a_killed_crawl_goes_on_and_fetches_nothing_twice(tmp_path: Path) -> None:
    with website.serve() as (url, site):
        plan = quick(url + "/endless?n=0", depth=30, pages=9, delay=0.15)
        command = [sys.executable, "-m", "personalign.corpus.spider", str(tmp_path)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None
            process.stdin.write(plan.model_dump_json())
            process.stdin.close()
            journal = tmp_path / "pages.jsonl"
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                if journal.exists() and journal.read_text().count("\n") >= 3:
                    break
                time.sleep(0.02)
            os.kill(process.pid, signal.SIGKILL)
        with journal.open("a") as torn:
            torn.write('{"url": "http://half')
        before = site.hits["/endless"] + site.hits["/"]
        result = crawl(plan, tmp_path)
        assert result.pages == 9
        assert result.from_cache >= 3
        assert site.hits["/robots.txt"] == 1
        assert site.hits["/endless"] + site.hits["/"] - before <= 9 - 3 + 2
    urls = [json.loads(line)["url"] for line in journal.read_text().splitlines()]
    assert len(urls) == len(set(urls)) == 9


def test_nothing_crawled_is_said(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no crawled pages"):
        next(pages(tmp_path))


WANTED = {
    "/data": ("not HTML: application/json", "application/json", b'{"text": "quiet"}', {}),
    "/feed": ("not HTML: application/rss+xml", "application/rss+xml", b"<rss></rss>", {}),
    "/notes": ("not HTML: text/plain", "text/plain", website.PROSE.encode(), {}),
    "/scripted": (
        "no text without JavaScript", "text/html",
        b"<title>App</title><noscript>You need to turn on JavaScript.</noscript>"
        b"<div id='root'></div><script src='/a.js'></script>", {},
    ),
    "/noindex": (
        "the page says noai, noindex", "text/html",
        website.html("No", f"<meta name='Robots' content='NOINDEX,noai'><p>{website.PROSE}</p>"),
        {},
    ),
    "/header": (
        "the page says noindex", "text/html", website.html("No", website.PROSE + "One."),
        {"X-Robots-Tag": "none"},
    ),
    "/other-robot": (
        None, "text/html", website.html("Yes", website.PROSE + "Two."),
        {"X-Robots-Tag": "googlebot: noindex"},
    ),
    "/same?a=1": (None, "text/html", website.html("Same", website.PROSE + "Three."), {}),
    "/same?a=2": ("the same text as", "text/html",
                  website.html("Same", website.PROSE + "Three."), {}),
}  # fmt: skip


def test_every_address_is_kept_or_refused_with_its_reason(tmp_path: Path) -> None:
    body = "".join(f"<a href='{p}'>{p}</a> " for p in WANTED) + "<a rel=nofollow href='/no'>no</a>"
    start = website.html("Start", f"<p>{website.PROSE}</p>{body}<a href='/there#part'>there</a>")
    answers = {p: (kind, said, head) for p, (_, kind, said, head) in WANTED.items()}
    answers["/"] = ("text/html", start, {})
    with website.serve(answers=answers) as (url, site):
        crawl(quick(url + "/"), tmp_path)
        assert site.hits["/no"] == 0
    kept = {p.url.removeprefix(url) for p in pages(tmp_path)}
    refused = {
        f.url.removeprefix(url): f.reason for f in stream(tmp_path / "failures.jsonl", Failure)
    }
    assert not kept & set(refused)
    assert kept | set(refused) == {"/", "/no", "/there", "/terms.html", *WANTED}
    assert refused.pop("/no") == f"nofollow on {url}/"
    (copy,) = (p for p in refused if p.startswith("/same"))  # whichever came second
    (first,) = (p for p in kept if p.startswith("/same"))
    assert refused.pop(copy) == f"the same text as {url}{first}"
    expected = {p: why for p, (why, *_) in WANTED.items() if why and p != "/same?a=2"}
    assert refused == expected


def test_a_page_that_says_nofollow_is_kept_and_its_links_are_not(tmp_path: Path) -> None:
    start = website.html(
        "Start", f"<meta name=robots content=nofollow><p>{website.PROSE}</p><a href='/a'>a</a>"
    )
    with website.serve(answers={"/": ("text/html", start, {})}) as (url, site):
        crawl(quick(url + "/"), tmp_path)
        assert site.hits["/a"] == 0
    assert [p.url for p in pages(tmp_path)] == [url + "/"]
    refused = {f.url: f.reason for f in stream(tmp_path / "failures.jsonl", Failure)}
    assert refused == dict.fromkeys((f"{url}/a", f"{url}/terms.html"), f"nofollow on {url}/")


def test_a_start_page_that_moved_takes_the_crawl_to_its_new_host(tmp_path: Path) -> None:
    with website.serve() as (new, _):
        moved = {"/": ("text/html", b"", {"Location": new + "/"})}
        with website.serve(answers=moved) as (url, _):
            assert urlsplit(url).netloc != urlsplit(new).netloc
            crawl(quick(url + "/"), tmp_path)
    found = {p.url for p in pages(tmp_path)}
    assert {new + "/", new + "/types.html"} <= found


def test_what_a_full_crawl_leaves_is_told(tmp_path: Path) -> None:
    with website.serve() as (url, _):
        crawl(quick(url + "/", pages=2), tmp_path)
    assert len(list(pages(tmp_path))) == 2
    reasons = [f.reason for f in stream(tmp_path / "failures.jsonl", Failure)]
    assert "not kept: the crawl already had its 2 pages" in reasons
    assert len(reasons) >= len(website.PATHS) - 2
