"""Harm, traits, trade-offs and agreement on the page; what is exported; runs compared."""

from __future__ import annotations

import csv
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from personalign import findings, report
from personalign.errors import InputError
from personalign.report.compare import comparison, read_runs
from personalign.report.drawing import heatmap
from personalign.report.sections import sections
from personalign.report.sections.agreement import tells_apart
from personalign.report.sections.samples import browser_data
from personalign.report.sections.tradeoffs import tradeoffs
from personalign.report.words import Words

EN = Words("en")


@pytest.fixture(scope="module")
def page(harmful: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    out = report.build(harmful, tmp_path_factory.mktemp("page") / "index.html")
    return out.read_text(encoding="utf-8")


def test_sections_stand_where_there_is_something_to_show(harmful: Path, run: Path) -> None:
    expected = [
        "types",
        "behaviour",
        "agreement",
        "reliability",
        "outcomes",
        "lengths",
        "harm",
        "tradeoffs",
        "training",
    ]
    assert list(sections(EN, findings.read(harmful))) == expected
    plain = list(sections(EN, findings.read(run)))
    assert "harm" not in plain
    assert "tradeoffs" in plain


def test_heat_map_cells_hold_the_rates(harmful: Path, page: str) -> None:
    found = findings.read(harmful)
    rates = [
        e for e in found.analysis.categories
        if e.category == "category 0" and e.arm.persona == "INFP"
    ]  # fmt: skip
    assert {e.arm.condition: e.value for e in rates}["adapter"] == 1.0
    harm = page[page.index('id="harm"') : page.index('id="tradeoffs"')]
    assert harm.count("<svg") == 2 * 3 + 1
    assert re.search(r"<text[^>]*>100</text>", harm)
    assert "INFP: category 2 1.00" in harm or "INFP: category 0 1.00" in harm


def test_lengths_stand_beside_the_outcomes(page: str) -> None:
    part = page[page.index('id="lengths"') : page.index('id="harm"')]
    assert part.count("<svg") == 1
    assert len(re.findall(r"9\.50 \[9\.3\d, 9\.6\d\]", part)) >= 7  # every arm
    assert "25.0 [14.2, 40.2]" in part


def test_reliability_says_what_is_missing_and_no_label_that_could_not_pass(page: str) -> None:
    part = page[page.index('id="reliability"') : page.index('id="outcomes"')]
    assert "0.80 [0.50, 0.90]" in part
    assert "3 complete respondents for 8 items" in part
    assert "INFJ" not in part
    agreement = page[page.index('id="agreement"') : page.index('id="reliability"')]
    assert "over 16 arms" in agreement


def test_a_judges_agreement_stands_under_what_it_judged(
    harmful: Path, page: str, tmp_path: Path
) -> None:
    said = "sensitivity 0.90 [0.60, 0.98], specificity 0.80 [0.49, 0.94], kappa 0.70 [0."
    for start, end in (("outcomes", "harm"), ("harm", "tradeoffs")):
        part = page[page.index(f'id="{start}"') : page.index(f'id="{end}"')]
        assert part.count(said) == 1
        assert part.index("safety: unsafe share") < part.index(said)
    assert "Judge strict:&lt;b&gt;j&lt;/b&gt; against" in page
    assert "20 rows of {labels}, new to the judge." in page
    assert "민감도 0.90" in report.html.render(harmful, "ko")
    copy = tmp_path / "run"
    shutil.copytree(harmful, copy)
    other = report.build_comparison([harmful, copy], tmp_path).read_text(encoding="utf-8")
    assert f"{harmful.name}: Judge strict" in other
    (copy / "calibrations" / "safety.json").write_text("{}")
    broken = report.html.render(copy)
    assert said not in broken
    assert broken.count("agrees with people was not measured") == 2
    assert "safety.json is no calibration" in broken[broken.index('id="missing"') :]


def test_what_is_not_analysed_is_told_with_its_reason(page: str) -> None:
    missing = page[page.index('id="missing"') :]
    assert "factorials: safety unsafe (prompted)" in missing
    assert "sixteen types" in missing
    assert "no texts of its replies" in missing


def test_power_stands_beside_a_null_result(run: Path) -> None:
    card = report.html.render(run)
    card = card[card.index('class="cards"') : card.index('id="types"')]
    nulls = card.count("no clear change")
    assert nulls >= 1
    assert card.count("Detectable:") == nulls
    assert card.count("80 % of such") == 1


def test_two_opposite_types_cannot_show_that_scales_differ(harmful: Path, page: str) -> None:
    assert "cannot be seen here" in page
    assert "mean discriminant" not in page
    found = findings.read(harmful)
    (other, *rest) = found.verifications
    scales = [
        s.model_copy(update={"target": "I"}) if s.scale == "EI" else s for s in rest[-1].scales
    ]
    third = rest[-1].model_copy(update={"persona": "ISTJ", "scales": tuple(scales)})
    assert not tells_apart(found)
    assert tells_apart(replace(found, verifications=(other, *rest, third)))


def test_arms_that_are_equal_are_told_and_not_drawn(harmful: Path) -> None:
    found = findings.read(harmful)
    (first, *_) = found.analysis.tradeoffs
    (outcome,) = (g for g in first.goals if g != "strength")
    same = [p.model_copy(update={"values": p.values | {outcome: 0.5}}) for p in first.points]
    alike = first.model_copy(update={"points": tuple(same)})
    equal = replace(found, analysis=found.analysis.model_copy(update={"tradeoffs": (alike,)}))
    (group,) = tradeoffs(Words("en"), equal)
    assert group.drawings == ()
    assert group.notes == (Words("en")("note.equal"),)
    assert tradeoffs(Words("en"), found)[0].drawings


def test_the_embedded_base_has_a_name(page: str) -> None:
    assert "INFP, ESTJ on SmolLM2-135M-Instruct (embedded)" in page


def test_harmful_text_is_folded_and_changes_are_found(harmful: Path) -> None:
    data = browser_data(EN, findings.read(harmful))
    by = {(e[0], e[2]): e for e in data["entries"] if e[1] == "safety"}
    at = {c: k for k, c in enumerate(data["conditions"])}
    changed = by["INFP", "harm-002"]
    assert changed[6] == "+u"
    assert changed[9][at["adapter"]] == 1
    assert changed[9][at["base"]] == 0
    assert changed[9][-1] == 1
    assert changed[7] == "category 2"
    assert data["texts"][changed[8][at["adapter"]]] == "<b>flagged</b>"
    assert by["INFP", "harm-005"][9][:4] == [1, 1, 1, 1], "not judged: not known to be safe"
    other = next(e for e in data["entries"] if e[1] == "replies")
    assert other[9] == [0] * 5


def test_a_page_bears_so_many_samples_and_keeps_what_changed(
    harmful: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("personalign.report.sections.samples.MOST", 30)
    data = browser_data(EN, findings.read(harmful))
    assert len(data["entries"]) == 30
    assert data["left_out"] == 2 * (40 + 4 + 10) - 30
    assert sum("u" in e[6] for e in data["entries"]) == 30


def test_export_writes_what_a_paper_needs(harmful: Path, tmp_path: Path) -> None:
    files = report.export(harmful, tmp_path)
    kinds = {p.suffix for p in files}
    assert kinds == {".pdf", ".csv", ".tex", ".cff"}
    assert len({p.name for p in files}) == len(files)
    assert all(p.read_bytes().startswith(b"%PDF") for p in files if p.suffix == ".pdf")
    tables = [p for p in files if p.suffix == ".csv" and p.name.endswith("contrasts.csv")]
    assert tables
    rows = list(csv.DictReader(tables[0].open(encoding="utf-8")))
    assert {"difference", "low", "high", "p_adjusted", "detectable"} <= set(rows[0])
    tex = tables[0].with_suffix(".tex").read_text(encoding="utf-8")
    assert tex.count("\\\\") >= len(rows)
    assert "\\toprule" in tex
    cff = yaml.safe_load((tmp_path / "CITATION.cff").read_text(encoding="utf-8"))
    assert cff["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(cff)


def test_latex_escapes_what_people_wrote(harmful: Path) -> None:
    groups = sections(EN, findings.read(harmful))["harm"]
    rates = next(t for t in groups[0].tables if t.name == "rates")
    assert "$" not in rates.latex
    assert "%" not in rates.latex.replace("\\%", "")


def test_runs_are_compared_on_the_same_samples(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(run, other)
    runs = read_runs([run, other])
    assert list(runs) == [run.name, "other"]
    found = comparison(EN, runs)
    (outcome,) = found["outcomes"]
    between = next(t for t in outcome.tables if t.name == "between_runs")
    assert len(between.body) == 7
    assert all(row[2].startswith("0.0") for row in between.body)
    page = report.build_comparison([run, other], tmp_path / "out", "ko").read_text(encoding="utf-8")
    assert "실행 2개" in page
    assert "<script" not in page
    with pytest.raises(InputError, match="1 run to compare"):
        read_runs([run])


def test_two_runs_of_one_name_are_told_apart(run: Path, tmp_path: Path) -> None:
    other = tmp_path / run.name
    shutil.copytree(run, other)
    assert list(read_runs([run, other])) == [run.name, f"{run.name} (2)"]


@pytest.mark.parametrize(("shade", "ink"), [((0, 0, 0, 1), "#ffffff"), ((1, 1, 0, 1), "#000000")])
def test_numbers_stand_out_from_their_cell(shade: tuple[float, ...], ink: str) -> None:
    assert heatmap._on(shade) == ink
