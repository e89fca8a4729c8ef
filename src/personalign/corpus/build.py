"""All steps of a corpus in order, from one recipe into one folder; finished steps are kept."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import closing
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from personalign import __version__
from personalign.corpus import profiles, scenes
from personalign.corpus.ask import Asker, Estimate, Question, ask_with, estimate
from personalign.corpus.crawl import PAGES, Crawl, crawl, pages
from personalign.corpus.dialogues import Dialogue, Job, generate, plan, question
from personalign.corpus.gates import Contrast, HeldBack, PairGate
from personalign.corpus.gathering import Announce, content, gathered, silent
from personalign.corpus.ledger import Ledger, Totals
from personalign.corpus.prompting import prompt
from personalign.corpus.recipe import ModelChoice, Recipe
from personalign.corpus.reject import pair_up
from personalign.corpus.scenes import Split
from personalign.errors import InputError, PersonalignError
from personalign.files import read_document, read_records, stream, write_atomic
from personalign.personas import Persona
from personalign.personas import load as load_persona
from personalign.records import PreferencePair, Record, Scene, to_jsonl
from personalign.runs import Run, content_hash, file_hash, tree_hash

if TYPE_CHECKING:
    from inspect_ai.model import Model

__all__ = ["Build", "Built", "build_all"]

R = TypeVar("R")
ANEW = "copy it elsewhere, then delete it here to have it made again"
INSTEAD = {
    "profile": "copy it elsewhere and name the copy as `profile`, or delete it",
    "scenes": "copy it elsewhere and name the copy as the source of scenes, or delete it",
    "pairs": "move it away, and edit with `personalign corpus review`, which keeps both versions",
}
"""By step: what to do with a file that was edited."""


class Built(Record):
    """What a build made; `lost` questions were not answered: the same command asks them again."""

    folder: str
    pages: int | None
    features: int
    scenes: int
    dialogues: dict[str, Any]
    pairs: dict[str, Any]
    measure_dialogues: dict[str, Any] | None = None
    measure_pairs: dict[str, Any] | None = None
    lost: int
    totals: Totals


class Build:
    """A recipe at work in a folder. Each step is a method that can be called alone."""

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        announce: Announce = silent,
        model: Model | None = None,
    ) -> None:
        self.recipe = recipe
        self.folder = folder
        self.announce = announce
        self.persona = load_persona(recipe.persona)
        self.run = Run(folder)
        self._model = model

    @cached_property
    def opposite(self) -> Persona | None:
        """Whose replies are rejected; nobody's where the untrained model's are."""
        if self.recipe.rejected.way == "base":
            return None
        name = self.recipe.opposite or self.persona.opposite
        if not name:
            raise InputError(
                f"persona {self.persona.name!r} has no opposite",
                "name one as `opposite`, or take rejected replies of the way `base`",
            )
        return load_persona(name)

    @property
    def splits(self) -> tuple[Split, ...]:
        """What dialogues are asked about."""
        return ("build", "measure") if self.recipe.measure else ("build",)

    # -- steps ----------------------------------------------------------------------------------

    def crawl(self) -> int | None:
        """Pages, where the recipe has any to crawl."""
        if self.recipe.crawl is None:
            return None
        out = self.folder / "pages"
        settings = self.recipe.crawl
        done = self.announce("pages", settings.pages)
        self._step("crawl", {"crawl": settings}, lambda: [_crawled(settings, out, done)])
        return sum(1 for _ in pages(out))

    def profile(self) -> profiles.Profile:
        """`profile.yaml`: from a file, from pages, or from the persona itself."""
        return self.profile_from(self.folder / "pages" if self.recipe.crawl else None)

    def profile_from(self, crawled_in: Path | None) -> profiles.Profile:
        """`profile.yaml` from the pages in a folder, unless the recipe names a file."""
        path = self.folder / "profile.yaml"
        given, crawled = self._profile_sources(crawled_in)
        if given and given.resolve() == path.resolve():
            return profiles.load(path, self.persona.name)
        inputs = self._profile_inputs(given, crawled)
        self._step("profile", inputs, lambda: [profiles.dump(self._profile(given, crawled), path)])
        return profiles.load(path, self.persona.name)

    def _profile_sources(self, crawled_in: Path | None) -> tuple[Path | None, Path | None]:
        given = Path(self.recipe.profile) if self.recipe.profile else None
        return given, crawled_in / PAGES if crawled_in else None

    def _profile_inputs(self, given: Path | None, crawled: Path | None) -> dict[str, Any]:
        source = given or crawled
        return {
            "persona": self.persona,
            "source": file_hash(source) if source and source.exists() else str(source),
            "model": self.recipe.model if crawled and not given else None,
            "prompt": prompt("profile").identity,
        }

    def _profile(self, given: Path | None, crawled: Path | None) -> profiles.Profile:
        if given:
            return profiles.load(given, self.persona.name)
        if not crawled:
            return profiles.from_persona(self.persona)
        dropped: list[str] = []
        parts = sum(1 for _ in profiles.questions(self.persona, pages(crawled)))
        done = self.announce(f"profile of {self.persona.name}", parts)

        async def work(asker: Asker) -> profiles.Profile:
            note = dropped.append
            return await profiles.extract(
                asker,
                self.persona,
                pages(crawled),
                dropped=lambda url, why: note(f"{url}\t{why}\n"),
                progress=done,
            )

        found = self._asked(work)
        write_atomic(self.folder / "profile.dropped.tsv", "".join(dropped))
        return found

    def scenes(self) -> list[Scene]:
        """`scenes.jsonl`, split before anything is written about them."""
        path, inputs = self.folder / "scenes.jsonl", self._scenes_inputs()
        self._step("scenes", inputs, lambda: [write_atomic(path, to_jsonl(self._scenes()))])
        return read_records(path, Scene)

    def _scenes_inputs(self) -> dict[str, Any]:
        how = self.recipe.scenes
        asks = "model" in (how.source, how.tagger)
        return {
            "scenes": how,
            "source": content(how.source),
            "model": self.recipe.model if asks else None,
            "prompts": [prompt(name).identity for name in ("scenes", "area")] if asks else None,
        }

    def _scenes(self) -> list[Scene]:
        return gathered(self.recipe.scenes, self._asked, self.announce)

    def dialogues(self, split: Split = "build") -> dict[str, Any]:
        """`dialogues.jsonl` and what was refused, in `dialogues.rejected.jsonl`.

        Of the split `measure`: `dialogues.measure.jsonl`.
        """
        name, count = _stem("dialogues", split), self._count(split)
        inputs = {
            "profile": file_hash(self.folder / "profile.yaml"),
            "scenes": file_hash(self.folder / "scenes.jsonl"),
            "style": self.recipe.dialogues,
            "prompt": prompt(self.recipe.dialogues.prompt).identity,
            "count": count,
            "persona": self.persona,
            "model": self.recipe.model,
            "limit": self.recipe.scenes.limit,
        }
        done = self.announce(f"{name} of {self.persona.name}", count)

        def work() -> Iterable[Path]:
            style, jobs = self.recipe.dialogues, self.jobs(split)
            counts = self._asked(lambda a: generate(a, jobs, style, self.folder, done, name))
            yield from self._files(name, counts)

        return self._counted(name, inputs, work)

    def _count(self, split: Split) -> int:
        return self.recipe.count if split == "build" else self.recipe.measure

    def jobs(self, split: Split = "build") -> Iterator[Job]:
        """The dialogues that the recipe asks for."""
        profile = profiles.load(self.folder / "profile.yaml", self.persona.name)
        return self._jobs(profile, read_records(self.folder / "scenes.jsonl", Scene), split)

    def _jobs(self, profile: profiles.Profile, known: list[Scene], split: Split) -> Iterator[Job]:
        places = scenes.select(known, split, self.recipe.scenes.limit)
        seed = self.recipe.dialogues.seed
        return plan(self.persona, profile, places, self._count(split), seed, split)

    def pairs(self, split: Split = "build") -> dict[str, Any]:
        """`pairs.jsonl`: one pair for every reply of the persona that got a counterpart.

        Of the split `measure`: `pairs.measure.jsonl`, which no training may see.
        """
        name = _stem("pairs", split)
        path = self.folder / f"{_stem('dialogues', split)}.jsonl"
        inputs = {
            "dialogues": file_hash(path),
            "rejected": self.recipe.rejected,
            "gates": self.recipe.gates,
            "scenes": file_hash(self.folder / "scenes.jsonl"),
            "prompt": prompt(self.recipe.rejected.way).identity,
            "opposite": self.opposite,
            "model": self.recipe.rejected_model or self.recipe.model,
            "other": file_hash(self.folder / "pairs.jsonl") if split == "measure" else None,
        }
        total = sum(len(d.turns) // 2 for d in stream(path, Dialogue))
        done = self.announce(f"rejected replies for {name}", total)

        def work() -> Iterable[Path]:
            how, said = self.recipe.rejected, stream(path, Dialogue)
            couple, gate = (self.persona, self.opposite), self._gate(split)
            counts = self._asked(
                lambda a: pair_up(a, said, how, *couple, self.folder, done, gate, name),
                self.recipe.rejected_model,
            )
            yield from self._files(name, counts)

        return self._counted(name, inputs, work)

    def _gate(self, split: Split) -> PairGate:
        """What builds is held apart from what measures, here and in the shipped corpus."""
        starter = scenes.load("starter/mbti")
        known = read_records(self.folder / "scenes.jsonl", Scene)
        other = [*starter, *known] if split == "build" else known
        asked = [s.prompt[-1].content for s in other if s.split != split]
        built = list[PreferencePair]()
        if split == "measure":
            built = read_records(self.folder / "pairs.jsonl", PreferencePair)
            asked += [p.prompt[-1].content for p in built]
        opposite = self.opposite.name if self.opposite else ""
        contrast = Contrast(starter, self.persona.name, opposite)
        return PairGate(self.recipe.gates, HeldBack(asked), contrast, built)

    def estimate(self) -> Estimate:
        """What is still to be asked, before it is; what is not there yet is taken as usual."""

        async def work(asker: Asker) -> Estimate:
            asked = [self._profile_questions(), self._scene_questions(), self._dialogue_questions()]
            return estimate(chain.from_iterable(asked), asker) + self._pairs_estimate(asker)

        return self._asked(work)

    def _profile_questions(self) -> Iterator[Question]:
        if self.recipe.crawl and not self.recipe.profile:
            crawled = pages(self.folder / "pages")
            yield from (q for _, _, q in profiles.questions(self.persona, crawled))

    def _scene_questions(self) -> Iterator[Question]:
        how = self.recipe.scenes
        if how.source == "model":
            yield from scenes.questions(how.topics, how.each)
        elif how.tagger == "model":
            untagged: list[str] = []

            def note(texts: list[str]) -> list[str]:
                untagged.extend(texts)
                return ["other"] * len(texts)

            scenes.gather(how.source, how.measure, note)
            yield from scenes.tag_questions(untagged)

    def _dialogue_questions(self) -> Iterator[Question]:
        style = self.recipe.dialogues
        usual = profiles.from_persona(self.persona), scenes.load("starter/mbti")
        ready, how = self._is_ready(), prompt(style.prompt)
        for split in self.splits:
            jobs = self.jobs(split) if ready else self._jobs(*usual, split)
            yield from (question(job, style, how) for job in jobs)

    def _is_ready(self) -> bool:
        """Are profile and scenes there, and those of this recipe?"""
        path = self.folder / "profile.yaml"
        given, crawled = self._profile_sources(self.folder / "pages" if self.recipe.crawl else None)
        own = bool(given and given.resolve() == path.resolve())
        inputs = self._profile_inputs(given, crawled)
        profiled = path.exists() if own else self.run.is_done("profile", _hashed(inputs))
        return profiled and self.run.is_done("scenes", _hashed(self._scenes_inputs()))

    def _pairs_estimate(self, asker: Asker) -> Estimate:
        """Rejected replies: how many there will be, and each sees about half of its dialogue."""
        style, limits = self.recipe.dialogues, asker.limits
        replies = sum(map(self._count, self.splits)) * sum(style.replies) // 2
        tokens_in, tokens_out = replies * (400 + style.max_tokens // 4), replies * 80
        priced = limits.price_in is not None and limits.price_out is not None
        cost = limits.cost(tokens_in, tokens_out) if priced else None
        return Estimate(requests=replies, tokens_in=tokens_in, tokens_out=tokens_out, cost=cost)

    # -- how steps are done ---------------------------------------------------------------------

    def _step(self, name: str, inputs: dict[str, Any], work: Callable[[], Iterable[Path]]) -> None:
        """Do a step unless it is done; a file of its that somebody edited is not written over.

        A step that is begun again is taken out of the manifest first, so that what a kill leaves
        behind is not taken for an edit.
        """
        hashed = _hashed(inputs)
        if self.run.is_done(name, hashed):
            return
        self._refuse_if_edited(name)
        self.run.forget(name)
        self.run.step(name, hashed, work)

    def _refuse_if_edited(self, step: str) -> None:
        for name, digest in self.run.manifest["steps"].get(step, {}).get("files", {}).items():
            path = self.folder / name
            if path.exists() and tree_hash(path) != digest:
                raise InputError(f"{path} was edited since it was written", INSTEAD.get(step, ANEW))

    def _counted(
        self, name: str, inputs: dict[str, Any], work: Callable[[], Iterable[Path]]
    ) -> dict[str, Any]:
        """A step whose counts are kept; with lost questions it is not done."""
        self._step(name, inputs, work)
        path = self.folder / f"{name}.counts.json"
        counts: dict[str, Any] = read_document(path).data
        if counts["lost"]:
            self.run.forget(name)
        return counts

    def _files(self, name: str, counts: Record) -> Iterable[Path]:
        yield write_atomic(self.folder / f"{name}.counts.json", counts.model_dump_json() + "\n")
        yield self.folder / f"{name}.jsonl"
        yield self.folder / f"{name}.rejected.jsonl"

    def _asked(self, work: Callable[[Asker], Awaitable[R]], choice: ModelChoice | None = None) -> R:
        chosen = choice or self.recipe.model

        model = self._model or chosen.name
        return ask_with(
            work, model, chosen.base_url, self.folder / "ledger.sqlite", self.recipe.limits
        )


def build_all(build: Build, agree: Callable[[Estimate], bool] = lambda e: True) -> Built | None:
    """Every step of a recipe; None where the estimate was not agreed to."""
    with build.run.locked():
        crawled = build.crawl()
        if not agree(build.estimate()):
            return None
        profile = build.profile()
        known = build.scenes()
        counts = {}
        for split in build.splits:
            counts[split] = build.dialogues(split), build.pairs(split)
        with closing(Ledger(build.folder / "ledger.sqlite")) as ledger:
            totals = ledger.totals()
    return Built(
        folder=str(build.folder),
        pages=crawled,
        features=len(profile.features),
        scenes=len(known),
        dialogues=counts["build"][0],
        pairs=counts["build"][1],
        measure_dialogues=counts["measure"][0] if "measure" in counts else None,
        measure_pairs=counts["measure"][1] if "measure" in counts else None,
        lost=sum(c["lost"] for both in counts.values() for c in both),
        totals=totals,
    )


def _crawled(settings: Crawl, out: Path, progress: Callable[[int], None]) -> Path:
    result = crawl(settings, out, progress)
    if not result.pages:
        raise PersonalignError(
            f"no page could be taken into {out}", f"see why in {out / 'failures.jsonl'}"
        )
    return out / PAGES


def _hashed(inputs: dict[str, Any]) -> dict[str, str]:
    """What a step depends on, as hashes; on this version too."""
    return {k: content_hash(v) for k, v in (inputs | {"code": __version__}).items()}


def _stem(step: str, split: Split) -> str:
    return step if split == "build" else f"{step}.{split}"
