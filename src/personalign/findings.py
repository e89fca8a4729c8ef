"""The one typed reader of a run folder: what it holds, what is missing, and why.

Every entry is read into its record; one that is no such record is left out and named among what
is missing, never dropped in silence.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import pandas as pd
from pydantic import TypeAdapter, ValidationError

from personalign.analysis.results import ArmContrast, ArmEstimate
from personalign.analysis.summary import Analysis
from personalign.errors import CorpusError, PersonalignError, RunError
from personalign.files import read_document, read_records
from personalign.judges.calibration import Calibration
from personalign.models import embedded
from personalign.psychometrics.reading import answers
from personalign.psychometrics.validity import Validity
from personalign.psychometrics.verify import Verification
from personalign.records import Condition, ScoreRow, Transcript
from personalign.runs import Done, Store

__all__ = ["ENTRIES", "NOTHING", "Findings", "Missing", "calibrations", "read"]

COLUMNS = tuple(ScoreRow.model_fields)
MOST_NAMED = 4
"""Of what is missing for one reason, so many are named."""
NOTHING = Analysis(
    run="", base_model="", seed=0, confidence=0.95, correction="holm", draws=0,
    estimates=(), contrasts=(), omnibus=(),
)  # fmt: skip
"""The analysis of a run that has none."""
ENTRIES = {
    name: TypeAdapter(get_args(field.annotation)[0])
    for name, field in Analysis.model_fields.items()
    if get_origin(field.annotation) is tuple
}
"""Part of the analysis → what its entries are."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Missing:
    """A part that is not there: `reason` is a key of our words, `detail` goes into it."""

    what: str
    reason: str
    detail: str = ""


@dataclass(frozen=True)
class Findings:
    """All that a page is made from."""

    path: Path
    manifest: dict[str, Any]
    steps: tuple[Done, ...]
    verifications: tuple[Verification, ...]
    analysis: Analysis
    scores: pd.DataFrame
    transcripts: tuple[Transcript, ...]
    histories: dict[str, list[dict[str, Any]]]
    validity: Validity
    calibrations: dict[str, Calibration]
    readings: tuple[ScoreRow, ...] = ()
    missing: tuple[Missing, ...] = field(default=())

    @property
    def study(self) -> dict[str, Any]:
        """The study's configuration."""
        return _dict(self.manifest.get("study"))

    @property
    def name(self) -> str:
        """The study's name, or the folder's."""
        return str(self.study.get("name") or self.path.resolve().name)

    @property
    def base(self) -> str:
        """The base model by its name, also where the study says no more than `embedded`."""
        said = str(self.study.get("base") or self.manifest.get("base_model") or "–")
        return f"{embedded.MODEL} ({said})" if said == embedded.EMBEDDED else said

    @cached_property
    def personas(self) -> list[str]:
        """Every persona that the study names or that something was measured of."""
        named = list(_dict(self.manifest.get("system_prompts")))
        verified = [v.persona for v in self.verifications]
        spoken = [t.persona for t in self.transcripts]
        estimated = [e.arm.persona for e in self.estimates] + [c.b.persona for c in self.contrasts]
        return [p for p in dict.fromkeys(named + verified + spoken + estimated) if p]

    @cached_property
    def conditions(self) -> list[Condition]:
        """Every condition, in the order in which they are defined."""
        named = [str(c) for c in self.study.get("conditions") or ()]
        seen = dict.fromkeys([*named, *(t.condition for t in self.transcripts)])
        seen |= dict.fromkeys(v.condition for v in self.verifications)
        seen |= dict.fromkeys(e.arm.condition for e in self.estimates)
        return sorted(map(Condition, seen), key=lambda c: c.order)

    @property
    def estimates(self) -> tuple[ArmEstimate, ...]:
        """Estimates of every arm."""
        return self.analysis.estimates

    @property
    def contrasts(self) -> tuple[ArmContrast, ...]:
        """Paired contrasts."""
        return self.analysis.contrasts

    @property
    def sides(self) -> dict[str, dict[str, int]]:
        """Persona → scale → 1 where it stands on the positive pole, −1 where on the other."""
        return {
            v.persona: {s.scale: 1 if s.positive else -1 for s in v.scales}
            for v in self.verifications
        }

    def counterpart(self, persona: str) -> str | None:
        """Whose reply stands against the persona's own."""
        name = _dict(self.manifest.get("counterparts")).get(persona)
        return None if name is None else str(name)

    def verification(self, persona: str, condition: str) -> Verification | None:
        """The verdict on a persona under a condition, if there is one."""
        wanted = (persona, condition)
        return next((v for v in self.verifications if (v.persona, v.condition) == wanted), None)

    def unverified(self, persona: str, condition: str) -> bool:
        """Must this arm's numbers be marked? The base claims no persona, so it is never marked."""
        if not persona or condition == "base":
            return False
        found = self.verification(persona, condition)
        return found is None or not found.confirmed

    def step(self, prefix: str) -> bool:
        """Is there a finished step whose name starts so?"""
        return any(done.name.startswith(prefix) for done in self.steps)


def read(path: Path) -> Findings:
    """Read a run folder; what is missing or unreadable is noted, never fatal.

    Raises:
        RunError: where the folder itself is not there.
    """
    if not path.is_dir():
        raise RunError(f"no run folder {path}", "name the folder that `study run` wrote")
    missing: list[Missing] = []

    def part(what: str, load: Callable[[], T], empty: T) -> T:
        try:
            return load()
        except FileNotFoundError:
            missing.append(Missing(what, "absent"))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, PersonalignError) as e:
            missing.append(Missing(what, "unreadable", _first_line(e)))
        return empty

    nothing: dict[str, Any] = {}
    manifest = part("manifest.json", lambda: _object(path / "manifest.json"), nothing)
    found = Findings(
        path=path,
        manifest=manifest,
        steps=part("steps", lambda: _steps(path, manifest), ()),
        verifications=part("verification.json", lambda: _verifications(path, missing), ()),
        analysis=part("analysis.json", lambda: _analysis(path, missing), NOTHING),
        scores=part("scores.parquet", lambda: _scores(path), pd.DataFrame(columns=list(COLUMNS))),
        transcripts=part("replies", lambda: _transcripts(path), ()),
        histories=part("adapters", lambda: _histories(path), {}),
        validity=part("verification.json: validity", lambda: _validity(path), Validity()),
        calibrations=part("calibrations", lambda: calibrations(path), {}),
        readings=part("readings", lambda: tuple(answers(path / "readings")), ()),
    )
    missing += _gaps(found, {m.what for m in missing})
    return replace(found, missing=tuple(missing))


def _steps(path: Path, manifest: dict[str, Any]) -> tuple[Done, ...]:
    """Records of what is done; in folders of before December 2026 they stand in the manifest."""
    old = _dict(manifest.get("steps")).items()
    kept = ("files", "seconds", "finished")
    told = [{"name": n, "key": s["inputs"]} | {k: s[k] for k in kept} for n, s in old]
    return (*map(Done.model_validate, told), *Store(path).records())


def _gaps(found: Findings, gone: set[str]) -> Iterator[Missing]:
    """Parts of single personas and arms that the study promised, and what was not analysed."""
    for absent in found.analysis.absent:
        what = [*absent.what[:MOST_NAMED], *(["…"] if absent.what[MOST_NAMED:] else [])]
        named = ": ".join([absent.part, *([", ".join(what)] if what else [])])
        yield Missing(named, "because", absent.reason)
    if found.verifications and not found.validity.agreement:
        yield Missing("agreement", "uncompared")
    spoken = {(t.persona, t.condition) for t in found.transcripts}
    untrained = found.study.get("adapters") or ()
    trained = "adapters" not in gone and any("adapter" in c.parts for c in found.conditions)
    for persona in found.personas:
        if trained and persona not in found.histories and persona not in untrained:
            yield Missing(f"adapters/{persona}/history.json", "absent")
        for condition in found.conditions:
            if condition == "base":
                continue
            arm = f"{persona} · {condition}"
            if "verification.json" not in gone and not found.verification(persona, condition):
                yield Missing(arm, "unjudged")
            if "replies" not in gone and (persona, condition) not in spoken:
                yield Missing(arm, "silent")


def _verifications(path: Path, missing: list[Missing]) -> tuple[Verification, ...]:
    told = _object(path / "verification.json")["verifications"]
    kind = TypeAdapter(Verification)
    return tuple(_entries("verification.json: verdicts", told, kind, missing))


def _analysis(path: Path, missing: list[Missing]) -> Analysis:
    """Entry by entry, so that one that cannot be read takes no other with it."""
    data = _object(path / "analysis.json")
    for name, kind in ENTRIES.items():
        if name in data:
            data[name] = list(_entries(f"analysis.json: {name}", data[name], kind, missing))
    return Analysis.model_validate(data)


def _entries(
    what: str, told: list[Any], kind: TypeAdapter[T], missing: list[Missing]
) -> Iterator[T]:
    for number, entry in enumerate(told, start=1):
        try:
            yield kind.validate_python(entry)
        except ValidationError as e:
            missing.append(Missing(f"{what}, entry {number}", "unreadable", _first_line(e)))


def calibrations(run: Path) -> dict[str, Calibration]:
    """What is known of each task's judge: `calibrations/TASK.json` in a run's folder.

    Raises:
        CorpusError: where such a file is no calibration.
    """
    found = {}
    for file in sorted(run.glob("calibrations/*.json")):
        try:
            found[file.stem] = Calibration.model_validate(read_document(file).data)
        except ValueError as e:
            raise CorpusError(f"{file} is no calibration", "calibrate the judge again") from e
    return found


def _validity(path: Path) -> Validity:
    """What is known of the measures; nothing where the file does not hold it."""
    if not (path / "verification.json").exists():
        return Validity()  # said of the verdicts already
    data = _object(path / "verification.json")
    known = {name: data[name] for name in Validity.model_fields if name in data}
    return Validity.model_validate(known)


def _scores(path: Path) -> pd.DataFrame:
    frame = pd.read_parquet(path / "scores.parquet")
    if lacking := [c for c in COLUMNS if c not in frame]:
        raise ValueError(f"no column {', '.join(lacking)}")
    return frame


def _transcripts(path: Path) -> tuple[Transcript, ...]:
    files = sorted((path / "replies").glob("*.jsonl"))
    if not files:
        raise FileNotFoundError(path / "replies")
    return tuple(t for file in files for t in read_records(file, Transcript))


def _histories(path: Path) -> dict[str, list[dict[str, Any]]]:
    files = sorted((path / "adapters").glob("*/history.json"))
    return {f.parent.name: json.loads(f.read_text(encoding="utf-8")) for f in files}


def _object(path: Path) -> dict[str, Any]:
    data = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(data, dict):
        raise ValueError(f"{path.name} holds no object")
    return data


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first: Any = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    if isinstance(error, KeyError):
        return f"no key {error}"
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
