"""The page in a real browser: opened from disk, it runs no foreign script and asks nobody."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from personalign import report
from personalign.report import html
from personalign.report.sections.samples import to_script
from personalign.report.words import Words

CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    if not (CHROMIUM.exists() and DRIVER.exists()):
        pytest.skip("no browser: apt-get install chromium chromium-driver")
    webdriver = pytest.importorskip("selenium.webdriver", reason="pip install selenium")
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(executable_path=str(DRIVER))
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def address(run: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return report.build(run, tmp_path_factory.mktemp("page") / "index.html").as_uri()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """The page freshly opened; afterwards its console must be empty."""
    browser.get("about:blank")
    browser.get_log("browser")
    browser.get_log("performance")
    browser.get(address)
    yield browser
    assert browser.get_log("browser") == []


def text(page: Any, selector: str) -> str:
    return str(
        page.execute_script("return document.querySelector(arguments[0]).innerText", selector)
    )


def visible(page: Any, selector: str) -> str:
    """Text of the elements that are not folded away."""
    return str(
        page.execute_script(
            "return [...document.querySelectorAll(arguments[0])]"
            ".filter((e) => e.checkVisibility()).map((e) => e.textContent).join(' ')",
            selector,
        )
    )


def choose(page: Any, control: str, value: str) -> None:
    page.execute_script(
        "const c = document.getElementById(arguments[0]); c.value = arguments[1];"
        "c.dispatchEvent(new Event('change'));",
        control,
        value,
    )


def test_a_script_in_a_reply_stays_text(page: Any) -> None:
    assert "<script>document.title = 'owned'</script>" in text(page, "#detail")
    assert page.title == "synthetic · persona study"
    assert page.execute_script("return document.querySelectorAll('#detail img').length") == 0


def test_no_request_leaves_the_page(page: Any) -> None:
    messages = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    sent = [
        m["params"]["request"]["url"]
        for m in messages
        if m["method"] == "Network.requestWillBeSent"
    ]
    assert sent
    assert all(url.startswith(("file:", "data:", "about:")) for url in sent)


def test_filters_narrow_the_list(page: Any) -> None:
    assert text(page, "#count") == "144 of 144 samples"
    choose(page, "by-persona", "ESTJ")
    assert text(page, "#count") == "72 of 144 samples"
    choose(page, "by-task", "replies")
    assert text(page, "#count") == "12 of 144 samples"
    assert text(page, "#detail h3").startswith("ESTJ")
    choose(page, "by-task", "starter-social")
    counts = {}
    for change in ("any", "+", "-"):
        choose(page, "by-change", change)
        counts[change] = int(text(page, "#count").split()[0])
    assert 0 < counts["+"] <= counts["any"] <= counts["+"] + counts["-"] < 120


def test_search_looks_into_replies(page: Any) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    page.find_element("id", "by-text").send_keys("OWNED")
    wait = WebDriverWait(page, 5)
    wait.until(lambda _: text(page, "#count") == "1 of 144 samples")
    page.find_element("id", "by-text").send_keys(" nowhere")
    wait.until(lambda _: text(page, "#count") == "No sample fits these filters.")
    assert text(page, "#detail") == ""


def test_a_link_opens_its_sample_whatever_the_filters_say(page: Any) -> None:
    choose(page, "by-persona", "ESTJ")
    page.execute_script("location.hash = '#sample-INFP/replies/work-05'")
    assert "INFP · work-05" in page.execute_async_script(
        "const done = arguments[0];"
        "setTimeout(() => done(document.querySelector('#detail h3').innerText), 50)"
    )
    assert text(page, "#count") == "144 of 144 samples"


def test_the_list_works_by_keyboard(page: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    page.find_element("id", "list").send_keys(Keys.ARROW_DOWN)
    assert text(page, "#detail h3") == "INFP · work-01"
    assert page.execute_script("return location.hash") == "#sample-INFP/replies/work-01"


@pytest.mark.parametrize("width", [375, 768, 1280])
def test_nothing_sticks_out_at_any_width(page: Any, width: int) -> None:
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    page.execute_script("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize("width", [1280, 1440])
def test_a_wide_screen_is_used_to_its_right_edge(page: Any, width: int) -> None:
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    reach = """const wide = document.querySelector('main').getBoundingClientRect();
        const ends = [...document.querySelectorAll('main .figures')]
          .filter((f) => f.children.length > 1)
          .map((f) => f.lastElementChild.getBoundingClientRect().right);
        return Math.min(...ends.map((e) => (e - wide.left) / wide.width));"""
    assert page.execute_script(reach) > 0.9
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize("width", [1280, 1440])
def test_no_section_with_figures_leaves_the_right_third_empty(
    browser: Any, harmful_address: str, width: int
) -> None:
    """What counts is what is drawn or written, not the boxes around it."""
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.get(harmful_address)
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    reach = """const wide = document.querySelector('main').getBoundingClientRect();
        const right = (e) => {
          const text = document.createRange(); text.selectNodeContents(e);
          return (e.tagName === 'svg' ? e : text).getBoundingClientRect().right;
        };
        return Object.fromEntries([...document.querySelectorAll('main > section:has(svg)')].map(
          (s) => [s.id, Math.max(...[...s.querySelectorAll('svg, .groups summary')].map(
            (e) => (right(e) - wide.left) / wide.width))]));"""
    found = browser.execute_script(reach)
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert {"lengths", "agreement", "tradeoffs", "training"} <= set(found)
    assert {name: end for name, end in found.items() if end < 2 / 3} == {}


@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize("width", [375, 1280])
def test_what_a_figure_says_stays_inside_it(
    browser: Any, harmful: Path, tmp_path: Path, language: Any, width: int
) -> None:
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(report.build(harmful, tmp_path / "index.html", language).as_uri())
    outside = """return [...document.querySelectorAll('figure svg text')].filter((text) => {
          const box = text.ownerSVGElement.getBoundingClientRect();
          const own = text.getBoundingClientRect();
          return own.left < box.left - 2 || own.right > box.right + 2
            || own.top < box.top - 2 || own.bottom > box.bottom + 2;
        }).map((text) => text.textContent);"""
    found = browser.execute_script(outside)
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert found == []


@pytest.fixture(scope="module")
def harmful_address(harmful: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return report.build(harmful, tmp_path_factory.mktemp("harmful") / "index.html").as_uri()


def test_harmful_text_is_read_only_on_a_click(browser: Any, harmful_address: str) -> None:
    browser.get(harmful_address)
    choose(browser, "by-change", "u")
    counts = text(browser, "#count")
    assert counts.startswith("30 of ")
    choose(browser, "by-category", "category 2")
    assert text(browser, "#count").startswith("20 of ")
    assert "Bang on the wall" not in visible(browser, "#detail p")
    assert "scare neighbour" not in visible(browser, "#detail p, .item span")
    assert "Please talk to them" in visible(browser, "#detail p")
    browser.execute_script(
        "for (const s of document.querySelectorAll('#detail details > summary')) s.click()"
    )
    assert "Bang on the wall" in visible(browser, "#detail p")
    assert "<b>flagged</b>" in visible(browser, "#detail p")
    assert browser.get_log("browser") == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_to_mend(browser: Any, harmful_address: str, scheme: str) -> None:
    """The rules of WCAG 2.1 A and AA and best practices, with everything unfolded."""
    axe_core = pytest.importorskip("axe_core_python", reason="pip install axe-core-python")
    features = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", features)
    browser.get(harmful_address)
    choose(browser, "by-task", "safety")
    browser.execute_script(
        "document.querySelectorAll('details').forEach((d) => { d.open = true; })"
    )
    browser.execute_script(Path(axe_core.__file__).with_name("axe.min.js").read_text("utf-8"))
    browser.set_script_timeout(300)
    run = "axe.run(document).then(arguments[0], (e) => arguments[0]({ error: String(e) }))"
    found = browser.execute_async_script(run)
    assert "error" not in found, found
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    broken = [(v["id"], v["nodes"][0]["html"][:120]) for v in found["violations"]]
    assert broken == []
    assert len(found["passes"]) > 20


def test_twenty_thousand_samples_do_not_stutter(browser: Any, tmp_path: Path) -> None:
    """Filtering, and drawing the list while it scrolls, each within a frame or a few."""
    entry = ["INFP", "replies", "s", 0, [0], {"flagged": [0]}, "", "", [-1], [0, 0]]
    data = {
        "conditions": ["base"], "texts": ["What now?"], "left_out": 0, "unverified": {},
        "entries": [[*entry[:2], f"s{k:05}", *entry[3:]] for k in range(20_000)],
        "words": Words("en").under("js"), "names": {},
    }  # fmt: skip
    page = html.render(tmp_path)
    start = page.index('id="data">') + len('id="data">')
    page = page[:start] + to_script(data) + page[page.index("</script>", start) :]
    (tmp_path / "big.html").write_text(page, encoding="utf-8")
    browser.get((tmp_path / "big.html").as_uri())
    assert text(browser, "#count") == "20000 of 20000 samples"
    script = """
        const list = document.getElementById("list"), times = [], done = arguments[0];
        const step = (k) => {
            if (k === 40) return done(times.sort((a, b) => a - b)[20]);
            const began = performance.now();
            list.scrollTop = k * 25000;
            list.dispatchEvent(new Event("scroll"));
            requestAnimationFrame(() => { times.push(performance.now() - began); step(k + 1); });
        };
        step(0);"""
    assert browser.execute_async_script(script) < 50
    assert browser.execute_script("return document.querySelectorAll('.item').length") < 40


def test_only_the_rows_in_view_exist(
    browser: Any, make_run: Callable[..., Path], tmp_path: Path
) -> None:
    run = make_run(tmp_path / "big", scenes=4, items=2000)
    browser.get(report.build(run).as_uri())
    assert text(browser, "#count") == "4008 of 4008 samples"
    assert browser.execute_script("return document.querySelectorAll('.item').length") < 40


def test_an_empty_run_has_no_console_errors(browser: Any, tmp_path: Path) -> None:
    browser.get_log("browser")
    browser.get(report.build(tmp_path).as_uri())
    assert not browser.find_element("id", "browser").is_displayed()
    assert browser.get_log("browser") == []
