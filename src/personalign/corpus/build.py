"""All steps of a corpus in order, from one recipe into one folder; finished steps are kept."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import closing
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from personalign.corpus import profiles, scenes
from personalign.corpus.ask import Asker, Estimate, Question, ask_with, estimate
from personalign.corpus.crawl import PAGES, Crawl, crawl, pages
from personalign.corpus.dialogues import Dialogue, Job, generate, plan, question
from personalign.corpus.gates import Contrast, HeldBack, PairGate
from personalign.corpus.gathering import content, gathered
from personalign.corpus.ledger import Ledger, Totals
from personalign.corpus.prompting import prompt
from personalign.corpus.recipe import ModelChoice, Recipe
from personalign.corpus.reject import pair_up
from personalign.corpus.scenes import Split
from personalign.errors import InputError, PersonalignError
from personalign.files import read_document, read_records, stream, write_atomic
from personalign.personas import Persona
from personalign.personas import load as load_persona
from personalign.progress import Announce, Progress, unannounced
from personalign.records import PreferencePair, Record, Scene, to_jsonl
from personalign.runs import Step, Store, do_all, file_hash, tree_hash

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
    """A recipe at work in a folder: its steps, and what they will ask.

    `pages` is a folder of crawled pages; the recipe's own where it crawls.
    """

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        announce: Announce = unannounced,
        model: Model | None = None,
        pages: Path | None = None,
    ) -> None:
        self.recipe = recipe
        self.folder = folder
        self.announce = announce
        self.persona = load_persona(recipe.persona)
        self.store = Store(folder)
        self._model = model
        self._pages = folder / "pages" if recipe.crawl else pages

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

    def steps(self) -> list[Step]:
        """All of them: pages, profile, scenes, and for each split dialogues and pairs."""
        first = [self._crawl(), self._profiled(), self._scened()]
        asked = [step for split in self.splits for step in self._written(split)]
        return [step for step in (*first, *asked) if step]

    def do(self, *names: str) -> None:
        """Do those of the steps, unless they are done; all where none is named."""
        do_all([s for s in self.steps() if s.name in names or not names], self.store, self.announce)

    # -- steps ----------------------------------------------------------------------------------

    def _crawl(self) -> Step | None:
        """Pages, where the recipe has any to crawl."""
        settings = self.recipe.crawl
        if settings is None:
            return None

        def work() -> Iterable[Path]:
            out = self.folder / "pages"
            return [_crawled(settings, out, self.announce("pages", settings.pages))]

        return self._step("crawl", lambda: {"crawl": settings}, work, code=("crawl", "spider"))

    def _profiled(self) -> Step | None:
        """`profile.yaml`: from a file, from pages, or from the persona itself.

        No step where the recipe names that very file.
        """
        path = self.folder / "profile.yaml"
        given, crawled = self._profile_sources()
        if given and given.resolve() == path.resolve():
            return None

        def work() -> Iterable[Path]:
            return [profiles.dump(self._profile(given, crawled), path)]

        needs = ("crawl",) if self.recipe.crawl else ()
        return self._step("profile", self._profile_inputs, work, needs, code=("profiles",))

    def _profile_sources(self) -> tuple[Path | None, Path | None]:
        given = Path(self.recipe.profile) if self.recipe.profile else None
        return given, self._pages / PAGES if self._pages else None

    def _profile_inputs(self) -> dict[str, Any]:
        given, crawled = self._profile_sources()
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

    def _scened(self) -> Step:
        """`scenes.jsonl`, split before anything is written about them."""
        path = self.folder / "scenes.jsonl"

        def work() -> Iterable[Path]:
            return [write_atomic(path, to_jsonl(self._scenes()))]

        return self._step("scenes", self._scenes_inputs, work, code=("gathering", "scenes"))

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

    def _written(self, split: Split) -> Iterator[Step]:
        """Dialogues of the persona, then a rejected reply to each reply of its."""
        yield self._dialogues(split)
        yield self._pairs(split)

    def _dialogues(self, split: Split) -> Step:
        """`dialogues.jsonl` and what was refused, in `dialogues.rejected.jsonl`.

        Of the split `measure`: `dialogues.measure.jsonl`.
        """
        name, count = _stem("dialogues", split), self._count(split)

        def inputs() -> dict[str, Any]:
            return {
                "profile": file_hash(self.folder / "profile.yaml"),
                "scenes": file_hash(self.folder / "scenes.jsonl"),
                "style": self.recipe.dialogues,
                "prompt": prompt(self.recipe.dialogues.prompt).identity,
                "count": count,
                "persona": self.persona,
                "model": self.recipe.model,
                "limit": self.recipe.scenes.limit,
            }

        def work() -> Iterable[Path]:
            done = self.announce(f"{name} of {self.persona.name}", count)
            style, jobs = self.recipe.dialogues, self.jobs(split)
            counts = self._asked(lambda a: generate(a, jobs, style, self.folder, done, name))
            yield from self._files(name, counts)

        needs = tuple(step.name for step in (self._profiled(), self._scened()) if step)
        lost = partial(self._lost, name)
        return self._step(name, inputs, work, needs, lost, ("dialogues", "parse"))

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

    def _pairs(self, split: Split) -> Step:
        """`pairs.jsonl`: one pair for every reply of the persona that got a counterpart.

        Of the split `measure`: `pairs.measure.jsonl`, which no training may see.
        """
        name = _stem("pairs", split)
        path = self.folder / f"{_stem('dialogues', split)}.jsonl"

        def inputs() -> dict[str, Any]:
            return {
                "dialogues": file_hash(path),
                "rejected": self.recipe.rejected,
                "gates": self.recipe.gates,
                "scenes": file_hash(self.folder / "scenes.jsonl"),
                "prompt": prompt(self.recipe.rejected.way).identity,
                "opposite": self.opposite,
                "model": self.recipe.rejected_model or self.recipe.model,
                "other": file_hash(self.folder / "pairs.jsonl") if split == "measure" else None,
            }

        def work() -> Iterable[Path]:
            total = sum(len(d.turns) // 2 for d in stream(path, Dialogue))
            done = self.announce(f"rejected replies for {name}", total)
            how, said = self.recipe.rejected, stream(path, Dialogue)
            couple, gate = (self.persona, self.opposite), self._gate(split)
            counts = self._asked(
                lambda a: pair_up(a, said, how, *couple, self.folder, done, gate, name),
                self.recipe.rejected_model,
            )
            yield from self._files(name, counts)

        needs = (_stem("dialogues", split), *(["pairs"] if split == "measure" else []))
        return self._step(name, inputs, work, needs, partial(self._lost, name), ("reject", "gates"))

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
        steps = [step for step in (self._profiled(), self._scened()) if step]
        profile = (self.folder / "profile.yaml").exists()
        return profile and all(self.store.is_done(step) for step in steps)

    def _pairs_estimate(self, asker: Asker) -> Estimate:
        """Rejected replies: how many there will be, and each sees about half of its dialogue."""
        style, limits = self.recipe.dialogues, asker.limits
        replies = sum(map(self._count, self.splits)) * sum(style.replies) // 2
        tokens_in, tokens_out = replies * (400 + style.max_tokens // 4), replies * 80
        priced = limits.price_in is not None and limits.price_out is not None
        cost = limits.cost(tokens_in, tokens_out) if priced else None
        return Estimate(requests=replies, tokens_in=tokens_in, tokens_out=tokens_out, cost=cost)

    # -- how steps are done ---------------------------------------------------------------------

    def _step(
        self,
        name: str,
        inputs: Callable[[], dict[str, Any]],
        work: Callable[[], Iterable[Path]],
        needs: tuple[str, ...] = (),
        lost: Callable[[], bool] = lambda: False,
        code: tuple[str, ...] = (),
    ) -> Step:
        """A step; a file of its that somebody edited is not written over."""
        return Step(
            name,
            work,
            needs,
            inputs,
            code=tuple(f"{__package__}.{module}" for module in code),
            prepare=partial(self._refuse_if_edited, name),
            partial=lost,
        )

    def _refuse_if_edited(self, step: str) -> None:
        done = self.store.record(step)
        for name, digest in done.files.items() if done and not done.partial else ():
            path = self.folder / name
            if path.exists() and tree_hash(path) != digest:
                raise InputError(f"{path} was edited since it was written", INSTEAD.get(step, ANEW))

    def counts(self, name: str) -> dict[str, Any]:
        """What was made and lost in the step of dialogues or pairs that is called so."""
        counts: dict[str, Any] = read_document(self.folder / f"{name}.counts.json").data
        return counts

    def _lost(self, name: str) -> bool:
        """With lost questions a step is asked again next time."""
        return bool(self.counts(name)["lost"])

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
    if build.recipe.crawl:
        build.do("crawl")
    if not agree(build.estimate()):
        return None
    build.do()
    folder = build.folder
    with closing(Ledger(folder / "ledger.sqlite")) as ledger:
        totals = ledger.totals()
    counts = {
        name: build.counts(name)
        for split in build.splits
        for name in (_stem("dialogues", split), _stem("pairs", split))
    }
    return Built(
        folder=str(folder),
        pages=sum(1 for _ in pages(folder / "pages")) if build.recipe.crawl else None,
        features=len(profiles.load(folder / "profile.yaml", build.persona.name).features),
        scenes=len(read_records(folder / "scenes.jsonl", Scene)),
        dialogues=counts["dialogues"],
        pairs=counts["pairs"],
        measure_dialogues=counts.get("dialogues.measure"),
        measure_pairs=counts.get("pairs.measure"),
        lost=sum(c["lost"] for c in counts.values()),
        totals=totals,
    )


def _crawled(settings: Crawl, out: Path, progress: Progress) -> Path:
    result = crawl(settings, out, progress)
    if not result.pages:
        raise PersonalignError(
            f"no page could be taken into {out}", f"see why in {out / 'failures.jsonl'}"
        )
    return out / PAGES


def _stem(step: str, split: Split) -> str:
    return step if split == "build" else f"{step}.{split}"
