"""The page as a file: whole, escaped, self-contained, in two languages, and honest about gaps."""

from __future__ import annotations

import base64
import csv
import dataclasses
import io
import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from personalign import findings, report
from personalign.analysis.results import ArmContrast
from personalign.errors import RunError
from personalign.records import BASE, Arm
from personalign.report import sentences
from personalign.report.sections.hearing import heard
from personalign.report.sections.samples import browser_data, to_script
from personalign.report.words import LANGUAGES, Words, number, percent, signed

EVIL = "<script>document.title = 'owned'</script><img src=x onerror=alert(1)> </script>"
PARTS = (
    "manifest.json",
    "scores.parquet",
    "verification.json",
    "analysis.json",
    "replies",
    "adapters",
)


class Page(HTMLParser):
    """Collects tags, ids and the attributes through which a page can load something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.loads: list[str] = []
        self.images: list[str | None] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append(tag)
        self.ids += [found["id"] or ""] if "id" in found else []
        self.loads += [v or "" for k, v in attrs if k in ("src", "href", "xlink:href", "action")]
        if tag == "svg":
            self.images.append(found.get("aria-label"))


@pytest.fixture(scope="module")
def page(run: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    out = report.build(run, tmp_path_factory.mktemp("page") / "index.html")
    return out.read_text(encoding="utf-8")


def test_writes_into_the_run_by_default(make_run: Callable[..., Path], tmp_path: Path) -> None:
    run = make_run(tmp_path / "r", scenes=2, items=10)
    assert report.build(run) == run / "report" / "index.html"
    assert [p.name for p in (run / "report").iterdir()] == ["index.html"]


def test_same_run_gives_the_same_page(run: Path, page: str, tmp_path: Path) -> None:
    assert report.build(run, tmp_path / "again.html").read_text(encoding="utf-8") == page


def test_loads_nothing(page: str) -> None:
    assert all(link.startswith(("#", "data:")) for link in Page(page).loads)
    assert "url(http" not in page
    assert "@import" not in page


def test_untrusted_text_is_never_markup(page: str) -> None:
    found = Page(page)
    assert found.tags.count("script") == 2
    assert "img" not in found.tags
    assert EVIL not in page
    assert "You are someone &lt;b&gt;INFP&lt;/b&gt;." in page


def test_every_figure_has_an_alternative_text_and_ids_are_unique_between_figures(page: str) -> None:
    found = Page(page)
    assert len(found.images) >= 12
    assert all(alt and len(alt) > 30 for alt in found.images)
    assert len(found.ids) == len(set(found.ids))


def test_figure_text_is_text(page: str) -> None:
    assert re.search(r"<text[^>]*>◂ Introverted</text>", page)


def test_sections_stand_in_the_order_of_reading(page: str) -> None:
    order = ["verdicts", "types", "behaviour", "outcomes", "training", "samples", "methods"]
    places = [page.index(f'<section id="{name}">') for name in order]
    assert places == sorted(places)


def test_unverified_numbers_are_marked(page: str) -> None:
    cards = page[page.index('class="cards"') : page.index('id="types"')]
    assert cards.count("indeterminate") >= 2
    assert cards.count("† not verified") == 2  # prompted, of both personas
    assert "INFP · prompted †" in page
    assert "INFP · adapter †" not in page


def test_says_what_a_type_is_not(page: str) -> None:
    assert "MBTI and Myers-Briggs Type Indicator are trademarks of their owner" in page
    assert "does not use that" in page
    assert "does not say that the model has a personality" in page


def test_tables_come_as_csv_with_full_numbers(page: str) -> None:
    found = re.search(r'href="(data:text/csv[^"]*)" download="contrasts.csv"', page)
    assert found
    text = base64.b64decode(found[1].split(",")[1]).decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 10
    assert {"difference", "low", "high", "p", "p_adjusted", "n", "verified"} <= set(rows[0])
    assert {r["verified"] for r in rows} == {"yes", "no"}


def test_counts_what_carries_no_value(page: str) -> None:
    found = re.search(r'href="(data:text/csv[^"]*)" download="estimates.csv"', page)
    assert found
    text = base64.b64decode(found[1].split(",")[1]).decode()
    states = [r["states"] for r in csv.DictReader(io.StringIO(text))]
    assert states.count("unparsed 1") == 2


@pytest.mark.parametrize("part", PARTS)
def test_builds_without_a_part_and_says_so(run: Path, part: str, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    gone = copy / part
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    text = report.build(copy).read_text(encoding="utf-8")
    assert f"<strong>{part}" in text[text.index('id="missing"') :]


def test_training_is_missed_only_where_the_study_trains(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    shutil.rmtree(copy / "adapters" / "INFP")
    manifest = json.loads((copy / "manifest.json").read_text())
    for key, value, missed in (
        ("personas", ["INFP.yaml", "ESTJ.yaml"], {"adapters/INFP/history.json"}),
        ("adapters", {"INFP": "elsewhere"}, set()),
    ):
        changed = manifest | {"study": manifest["study"] | {key: value}}
        (copy / "manifest.json").write_text(json.dumps(changed))
        found = findings.read(copy)
        assert {m.what for m in found.missing if "adapters" in m.what} == missed
        assert found.personas == ["INFP", "ESTJ"]


@pytest.mark.parametrize("part", [p for p in PARTS if "." in p])
@pytest.mark.parametrize("content", ["", "[]", '{"verifications": [{}]}', "{"])
def test_builds_with_a_broken_part(run: Path, part: str, content: str, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    (copy / part).write_text(content)
    text = report.build(copy).read_text(encoding="utf-8")
    if (part, content) != ("manifest.json", '{"verifications": [{}]}'):
        assert f"<strong>{part}" in text[text.index('id="missing"') :]


def test_an_entry_that_is_no_record_is_named_and_takes_no_other_with_it(
    run: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    data = json.loads((copy / "analysis.json").read_text())
    whole = len(data["contrasts"])
    del data["contrasts"][1]["test"]
    (copy / "analysis.json").write_text(json.dumps(data))
    found = findings.read(copy)
    assert len(found.contrasts) == whole - 1
    (named,) = (m for m in found.missing if m.what.startswith("analysis.json"))
    assert (named.what, named.detail) == (
        "analysis.json: contrasts, entry 2", "test: Field required",
    )  # fmt: skip


def test_builds_of_an_empty_folder_but_not_of_none(tmp_path: Path) -> None:
    assert "<strong>manifest.json</strong>" in report.build(tmp_path).read_text(encoding="utf-8")
    with pytest.raises(RunError, match="no run folder"):
        report.build(tmp_path / "nowhere")


def test_an_arm_without_verdict_is_unverified_and_missing(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    data = json.loads((copy / "verification.json").read_text())
    data["verifications"] = [v for v in data["verifications"] if v["condition"] != "adapter"]
    (copy / "verification.json").write_text(json.dumps(data))
    found = findings.read(copy)
    assert found.unverified("INFP", "adapter")
    assert not found.unverified("", "base")
    assert ("INFP · adapter", "unjudged") in {(m.what, m.reason) for m in found.missing}


def test_the_first_screen_lets_a_persona_be_heard(page: str) -> None:
    """The first prompt by name, base before persona, before the words and numbers; escaped."""
    card = page[page.index("<h3>INFP</h3>") : page.index("<h3>ESTJ</h3>")]
    heard = card[: card.index('class="line"')]
    assert "Situation number 0" in heard
    assert "Situation number 1" not in heard
    assert heard.index("Reply 0 of nobody under base.") < heard.index("&lt;script&gt;")
    assert "<script" not in heard
    assert "not the best" in heard


def test_a_run_without_replies_has_cards_without_hearing(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    shutil.rmtree(copy / "replies")
    found = findings.read(copy)
    assert heard(found, "INFP") is None
    assert 'class="heard"' not in report.build(copy).read_text(encoding="utf-8")


def test_openings_are_heard_before_other_replies(run: Path) -> None:
    found = findings.read(run)
    first = [t for t in found.transcripts if t.sample == "work-03"]
    spoken = [t.model_copy(update={"task": "speech"}) for t in first]
    more = dataclasses.replace(found, transcripts=(*found.transcripts, *spoken))
    said = heard(more, "ESTJ")
    assert said is not None
    assert said.prompt.startswith("Situation number 3")
    assert (said.condition, "ESTJ under adapter" in said.persona) == ("adapter", True)


def test_a_criterion_shows_its_figures_with_their_margins_and_words(page: str) -> None:
    first = page[page.index('id="verdicts"') : page.index('id="types"')]
    assert "Figures (2)" in first
    for shown in ("As JSON", "0.20 [0.05, 0.35]", "more than 0.10", "between 0.10 and 0.90"):
        assert shown in first
    assert "&lt;way&gt;" in first
    assert "<way>" not in first


def test_languages_have_the_same_words() -> None:
    texts = [Words(language).texts for language in LANGUAGES]
    assert all(list(t) == list(texts[0]) for t in texts)
    for key in texts[0]:
        holes = [set(re.findall(r"{(\w+)}", t[key])) for t in texts]
        assert all(h == holes[0] for h in holes), key


def test_korean_page(run: Path, tmp_path: Path) -> None:
    text = report.build(run, tmp_path / "ko.html", "ko").read_text(encoding="utf-8")
    assert '<html lang="ko">' in text
    assert "무엇이 달라졌는가?" in text
    assert "상표" in text
    assert "페르소나 INFP, ESTJ · 기반 모델 SmolLM2-135M-Instruct (embedded)" in text
    assert not [word for word in ("여유", "빠짐", "양쪽 단측", "위의 INFP") if word in text]
    assert "%p" in text


def contrast(**known: Any) -> ArmContrast:
    arms = {"a": BASE, "b": Arm(persona="INFP", condition="adapter")}
    usual = {"task": "t", "unit": "proportion", "n": 9, "discordant": 4, "test": "", "method": ""}
    return ArmContrast.model_validate(usual | arms | known)


@pytest.mark.parametrize(
    ("low", "high", "metric", "said"),
    [
        (0.029, 0.094, "flagged", "flagged 6.1 points more often than base, 95 % 2.9 to 9.4"),
        (-0.01, 0.13, "correct", "no clear change (+6.1 points, 95 % −1.0 to 13.0)"),
        (0.029, 0.094, "warmth", "warmth 6.1 points higher than base"),
        (None, None, "correct", "no interval"),
    ],
)
def test_plain_words(low: float | None, high: float | None, metric: str, said: str) -> None:
    told = contrast(metric=metric, difference=0.061, low=low, high=high)
    assert said in sentences.contrast(Words("en"), told)


def test_an_unknown_difference_tells_why() -> None:
    told = contrast(metric="m", difference=None, reason="no pair is complete")
    assert sentences.contrast(Words("en"), told) == "t: not known (no pair is complete)."


@pytest.mark.parametrize(("p", "changed"), [(0.03, True), (0.12, False), (None, True)])
def test_a_change_is_what_the_corrected_p_calls_one(p: float | None, changed: bool) -> None:
    found = contrast(
        metric="unsafe", difference=0.05, low=0.01, high=0.09, p=0.01, p_adjusted=p, detectable=0.1
    )
    for language, said in (("en", "no clear change"), ("ko", "p = 0.120")):
        told = sentences.contrast(Words(language), found)
        assert (said not in told) == changed
        assert ("p = 0.120" in told) == (not changed)


def test_numbers_for_people() -> None:
    assert [number(-0.001), number(-1.5), number(None)] == ["0.00", "−1.50", "–"]
    assert [signed(0.001), signed(1.0), signed(-1.0)] == ["0.00", "+1.00", "−1.00"]
    assert percent(0.925, 1) == "92.5"


def test_browser_data_joins_replies_with_scores(run: Path) -> None:
    data = browser_data(Words("en"), findings.read(run))
    assert len(data["entries"]) == 2 * (12 + 60)
    first = data["entries"][0]
    assert first[:3] == ["INFP", "replies", "work-00"]
    assert set(first[5]) == {"margin", "prefers"}
    assert len(first[4]) == len(data["conditions"]) == 4
    assert data["texts"][first[4][2]] == EVIL
    assert data["unverified"]["INFP"] == ["prompted"]


def test_script_data_cannot_end_its_element() -> None:
    text = to_script(["</script><!--", "\u2028"])
    assert "<" not in text
    assert json.loads(text) == ["</script><!--", "\u2028"]
