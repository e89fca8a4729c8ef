"""The whole chain over HTTP: a site and a model on loopback, one recipe, one folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import website
from provider import MODEL, serve
from typer.testing import CliRunner

from personalign.corpus import scenes
from personalign.corpus.build import Build, Built, build_all
from personalign.corpus.dialogues import Dialogue
from personalign.corpus.recipe import Recipe, read_recipe, recipe_of
from personalign.errors import CorpusError, InputError, PersonalignError
from personalign.files import read_records, stream
from personalign.personas import Persona
from personalign.records import PreferencePair, Scene

LIMITS = {"concurrency": 8, "backoff": 0.02, "attempts": 3, "timeout": 5}


def recipe(files: tuple[Path, Path], url: str, **more: Any) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "test",
            "persona": str(files[0]),
            "opposite": str(files[1]),
            "model": {"name": MODEL, "base_url": url},
            "scenes": {"source": "starter/mbti", "limit": 10},
            "count": 6,
            "limits": LIMITS,
        }
        | more
    )


def built(work: Build) -> Built:
    made = build_all(work)
    assert made is not None
    return made


@pytest.mark.slow
def test_the_whole_chain(tmp_path: Path, persona_files: tuple[Path, Path]) -> None:
    pytest.importorskip("scrapy")
    out = tmp_path / "out"
    with serve() as server, website.serve() as (site, _):
        more = {"crawl": {"urls": [f"{site}/"], "pages": 4, "delay": 0, "allow_local": True}}
        plan = recipe(persona_files, server.url, **more)
        made = built(Build(plan, out))
        asked = server.requests
        again = built(Build(plan, out))
        assert server.requests == asked
    assert made == again
    assert (made.pages, made.features, made.lost) == (4, 2, 0)
    assert made.totals.requests == made.totals.answers == asked == 4 + 6 + 18
    pairs = read_records(out / "pairs.jsonl", PreferencePair)
    assert len(pairs) == 18
    assert {p.origin["feature"] for p in pairs} <= {
        "They recharge alone after company.",
        "They notice small signs of distress in others.",
        "Mira tends a small garden and speaks little.",
    }
    assert all(p.chosen != p.rejected for p in pairs)
    building = {s.id for s in read_records(out / "scenes.jsonl", Scene) if s.split == "build"}
    assert {p.origin["scene"] for p in pairs} <= building


def test_only_what_changed_is_done_again(tmp_path: Path, persona_files: tuple[Path, Path]) -> None:
    with serve() as server:
        built(Build(recipe(persona_files, server.url), tmp_path / "out"))
        first = server.requests
        more = {"rejected": {"way": "inversion"}}
        built(Build(recipe(persona_files, server.url, **more), tmp_path / "out"))
        assert server.requests == first + 18
        more = {"count": 8}
        made = built(Build(recipe(persona_files, server.url, **more), tmp_path / "out"))
        assert server.requests == first + 18 + 2 + 6
    assert made.pairs["pairs"] == 24


def test_another_persona_or_other_scenes_are_made_anew(
    tmp_path: Path, persona_files: tuple[Path, Path]
) -> None:
    """What is left of another recipe is neither estimated on nor taken."""
    file = tmp_path / "situations.txt"
    file.write_text("My boss wants me in at six.\nThe cat is ill again.\nWhat is all this?\n")
    alone = {"scenes": {"source": str(file), "measure": 0}, "count": 2}
    with serve() as server:
        built(Build(recipe(persona_files, server.url, **alone), tmp_path / "out"))
        made = built(Build(recipe(persona_files, server.url, measure=2), tmp_path / "out"))
        assert made.measure_dialogues is not None
        assert made.measure_dialogues["dialogues"] == 2
        sides = {s.id: s.split for s in read_records(tmp_path / "out" / "scenes.jsonl", Scene)}
        for split, name in (("build", "pairs.jsonl"), ("measure", "pairs.measure.jsonl")):
            pairs = read_records(tmp_path / "out" / name, PreferencePair)
            assert {p.origin["split"] for p in pairs} == {split}
            assert {sides[str(p.origin["scene"])] for p in pairs} == {split}
        other = recipe((persona_files[1], persona_files[0]), server.url)
        assert built(Build(other, tmp_path / "out")).pairs["pairs"] > 0
    pairs = read_records(tmp_path / "out" / "pairs.jsonl", PreferencePair)
    assert {p.origin["persona"] for p in pairs} == {"Loud"}


@pytest.mark.parametrize(
    "more", [{"dialogues": {"replies": [10, 4]}}, {"rejected": {"ratio": [2.0, 0.5]}}]
)
def test_limits_in_the_wrong_order_are_refused(
    persona_files: tuple[Path, Path], more: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match="is not"):
        recipe(persona_files, "", **more)


def test_lost_questions_leave_a_step_open(tmp_path: Path, persona_files: tuple[Path, Path]) -> None:
    plan_of = {0: "400"}.get
    with serve(faults=plan_of) as server:
        plan = recipe(persona_files, server.url)
        assert built(Build(plan, tmp_path / "out")).lost == 1
        assert built(Build(plan, tmp_path / "out")).lost == 0
    assert sum(1 for _ in stream(tmp_path / "out" / "dialogues.jsonl", Dialogue)) == 6


def test_an_edited_profile_is_not_written_over(
    tmp_path: Path, persona_files: tuple[Path, Path]
) -> None:
    with serve() as server:
        plan = recipe(persona_files, server.url)
        built(Build(plan, tmp_path / "out"))
        path = tmp_path / "out" / "profile.yaml"
        path.write_text(path.read_text().replace("peace", "long walks"))
        with pytest.raises(InputError, match="was edited"):
            built(Build(plan, tmp_path / "out"))
        own = tmp_path / "own.yaml"
        path.rename(own)
        plan = recipe(persona_files, server.url, profile=str(own))
        built(Build(plan, tmp_path / "out"))
    said = (tmp_path / "out" / "pairs.jsonl").read_text()
    assert "long walks" in said


@pytest.mark.parametrize("name", ["scenes.jsonl", "dialogues.jsonl", "pairs.jsonl"])
def test_no_edited_file_is_written_over(
    tmp_path: Path, persona_files: tuple[Path, Path], name: str
) -> None:
    out = tmp_path / "out"
    with serve() as server:
        plan = recipe(persona_files, server.url, count=2)
        built(Build(plan, out))
        whole = (out / name).read_text()
        (out / name).write_text(edited := whole[: whole.index("\n") + 1])
        with pytest.raises(InputError, match="was edited"):
            built(Build(plan, out))
        assert (out / name).read_text() == edited
        (out / name).unlink()
        built(Build(plan, out))
        assert (out / name).read_text() == whole


def test_what_a_kill_left_behind_is_no_edit(
    tmp_path: Path, persona_files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after a file was replaced and before the manifest was."""

    def killed(*_: Any) -> Any:
        raise KeyboardInterrupt

    out = tmp_path / "out"
    with serve() as server:
        built(Build(recipe(persona_files, server.url, count=2), out))
        more = recipe(persona_files, server.url, count=3)
        with monkeypatch.context() as patch:
            patch.setattr(Build, "_files", killed)
            with pytest.raises(KeyboardInterrupt):
                Build(more, out).do("dialogues")
        assert built(Build(more, out)).dialogues["dialogues"] == 3


def test_without_an_opposite_the_base_is_rejected(
    tmp_path: Path, persona_files: tuple[Path, Path], quiet: Persona
) -> None:
    alone = quiet.model_copy(update={"opposite": None})
    persona_files[0].write_text(alone.model_dump_json())
    more = {"rejected": {"way": "base"}, "opposite": "", "count": 2}
    with serve() as server:
        made = built(Build(recipe(persona_files, server.url, **more), tmp_path / "out"))
        more = {"rejected": {"way": "inversion"}, "opposite": "", "count": 2}
        with pytest.raises(InputError, match="way `base`"):
            built(Build(recipe(persona_files, server.url, **more), tmp_path / "out"))
    assert made.pairs["pairs"] == 6


def test_a_model_names_areas(tmp_path: Path, persona_files: tuple[Path, Path]) -> None:
    file = tmp_path / "situations.txt"
    file.write_text("My boss wants me in at six.\nThe cat is ill again.\nWhat is all this?\n")
    says = {"boss": "Work.", "cat": "The area is: health", "this": "Ponies"}

    def reply(body: dict[str, Any]) -> str:
        return next(v for k, v in says.items() if k in body["messages"][-1]["content"])

    how = {"source": str(file), "tagger": "model", "measure": 0}
    with serve(reply=reply) as server:
        plan = recipe(persona_files, server.url, scenes=how)
        Build(plan, tmp_path / "out").do("scenes")
        found = read_records(tmp_path / "out" / "scenes.jsonl", Scene)
    assert [s.area for s in found] == ["work", "health", "other"]
    assert [s.area for s in scenes.gather(str(file))] != [s.area for s in found]


def test_the_estimate_is_near_and_comes_first(
    tmp_path: Path, persona_files: tuple[Path, Path]
) -> None:
    priced = LIMITS | {"price_in": 1.0, "price_out": 2.0}
    with serve() as server:
        plan = recipe(persona_files, server.url, limits=priced)
        seen = []
        assert build_all(Build(plan, tmp_path / "out"), lambda e: bool(seen.append(e))) is None
        assert server.requests == 0
        (first,) = seen
        assert first.requests == 6 + 6 * 7
        assert first.cost is not None
        assert first.cost > 0
        build_all(Build(plan, tmp_path / "out"))
        build_all(Build(plan, tmp_path / "out"), lambda e: bool(seen.append(e)))
    assert seen[1].answered == 6


def test_scenes_from_a_model(tmp_path: Path, persona_files: tuple[Path, Path]) -> None:
    how = {"source": "model", "topics": ["neighbours", "school"], "each": 20, "measure": 0.3}
    with serve() as server:
        work = Build(recipe(persona_files, server.url, scenes=how), tmp_path / "out")
        work.do("scenes")
        found = read_records(tmp_path / "out" / "scenes.jsonl", Scene)
    assert server.requests == 4
    assert {s.split for s in found} == {"build", "measure"}
    assert len({s.id for s in found}) == len(found) >= 10


def test_as_many_scenes_as_were_asked_for() -> None:
    asked = [q.messages[-1].content for q in scenes.questions(["home"], 25)]
    assert [next(n for n in ("10", "5") if f"Write {n} " in text) for text in asked] == [
        "10", "10", "5",
    ]  # fmt: skip


def test_a_broken_line_of_dailydialog_is_named(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text('{"utterances": ["Good morning to you and to yours."]}\n[1]\n')
    with pytest.raises(CorpusError, match=r"d.jsonl:2"):
        scenes.gather(f"dailydialog:{path}")


def test_a_scene_never_changes_sides_when_more_come() -> None:
    texts = [(f"My neighbour number {i} sings {'la ' * (i % 9)}at {i} every night.", "") for i in
             range(60)]  # fmt: skip
    few = {s.id: s.split for s in scenes.make(texts[:30], "x")}
    many = {s.id: s.split for s in scenes.make(texts, "x")}
    assert few.items() <= many.items()


def test_near_copies_of_a_situation_are_one() -> None:
    one = "My landlord wants to raise the rent by a third from the first of May onwards"
    texts = [one, one + "!", one.upper(), "Something else entirely happened at school today"]
    assert len(scenes.make([(t, "") for t in texts], "x")) == 2


def test_situations_from_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("First thing that happened.\n\nSecond thing.\n")
    (tmp_path / "b.json").write_text('{"x": "First.", "y": "Second."}')
    (tmp_path / "c.json").write_text('[{"x": 1}]')
    assert len(scenes.situations(tmp_path / "a.txt")) == 2
    assert scenes.situations(tmp_path / "b.json") == ["First.", "Second."]
    with pytest.raises(CorpusError, match="not a list or object"):
        scenes.situations(tmp_path / "c.json")


def test_the_original_systems_situations_load(shared_data: Path) -> None:
    path = shared_data / "lapd_personaagent" / "seed_data" / "random_situations.json"
    if not path.exists():
        pytest.skip(f"no {path}")
    found = scenes.gather(str(path))
    assert len(found) >= 2900
    assert 0.15 < sum(s.split == "measure" for s in found) / len(found) < 0.25
    assert len({s.area for s in found}) >= 10


def test_daily_dialog_loads(shared_data: Path) -> None:
    folder = shared_data / "dailydialog"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    found = scenes.gather(f"dailydialog:{folder}")
    assert len(found) >= 1500
    assert {"work", "travel", "health"} <= {s.area for s in found}
    assert not any(" ?" in s.prompt[0].content for s in found)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: x\nmodel: {name: m}\n", "persona"),
        ("name: x\npersona: INFP\nmodel: {name: m}\ncolour: red\n", "colour"),
        ("name: x\npersona: INFP\nmodel: {name: m}\nscenes: {source: model}\n", "topics"),
        (": :", "not YAML"),
    ],
)
def test_a_wrong_recipe_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        read_recipe(path)


def test_an_unknown_provider_is_one_line(tmp_path: Path, persona_files: tuple[Path, Path]) -> None:
    plan = recipe(persona_files, "").model_copy(update={"model": {"name": "nobody/x"}})
    plan = Recipe.model_validate(plan.model_dump() | {"model": {"name": "nobody/x"}})
    with pytest.raises(PersonalignError, match="nobody/x"):
        build_all(Build(plan, tmp_path / "out"))


def test_the_commands(
    tmp_path: Path, persona_files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One command line a step, as in docs/corpus.md."""
    pytest.importorskip("scrapy")
    from personalign.cli.pipeline import app

    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, keys: str | None = None) -> Any:
        done = CliRunner().invoke(app, [*arguments, "--json"], input=keys, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        text = done.stdout
        return json.loads(text[text.rindex("\n{") if "\n{" in text else 0 :])

    with serve() as server, website.serve() as (site, _):
        model = ("--model", MODEL, "--base-url", server.url)
        done = run("crawl", f"{site}/", "--out", "pages", "--allow-local", "--delay", "0",
                   "--pages", "3")  # fmt: skip
        assert done["pages"] == 3
        done = run("profile", "quiet.yaml", "--pages", "pages", "--out", "q", *model)
        assert done["features"] == 2
        done = run("scenes", "model", "--topic", "home", "--topic", "work", "--out",
                   "scenes.jsonl", *model)  # fmt: skip
        assert done["scenes"] >= 8
        told = ("opposite=loud.yaml", "profile=q/profile.yaml", "scenes.source=scenes.jsonl",
                "count=3", f"model.base_url={server.url}")  # fmt: skip
        done = run("generate", "quiet.yaml", "--out", "q", "--model", MODEL,
                   *(word for setting in told for word in ("--set", setting)))  # fmt: skip
        assert done["pairs"]["pairs"] == 9
    done = run("review", "q/pairs.jsonl", "--reviewer", "anna", "--apply", "q/reviewed.jsonl",
               keys="a\nr\ntoo loud\ne\nBetter said.\nWorse said, but longer.\nq\n")  # fmt: skip
    assert done["reviewed"] == {"anna": 3}
    assert done["applied"] == {
        "pairs": 9, "accepted": 1, "edited": 1, "rejected": 1, "unseen": 6,
    }  # fmt: skip
    assert "Better said." in (tmp_path / "q" / "reviewed.jsonl").read_text()


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("scenes.sorce=x", r"unknown key 'sorce' in --set\.scenes.*'source'"),
        ("cout=3", r"unknown key 'cout' in --set.*'count'"),
        ("count=none", r"--set count: Input should be a valid integer"),
        ("count", r"--set 'count' is not key=value"),
        ("limits.max_cost=a: [", r"--set limits\.max_cost: .* is no YAML"),
    ],
)
def test_a_setting_that_is_none_is_named(setting: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        recipe_of("INFP", "a/b", [setting])


def test_settings_are_a_recipe() -> None:
    made = recipe_of(
        "INFP", "a/b", ["count=3", "limits.max_cost=0.5", "scenes.topics=[home, work]"]
    )
    assert (made.count, made.limits.max_cost, made.scenes.topics) == (3, 0.5, ("home", "work"))
    assert made.model.name == "a/b"
