"""How long analysis and report of a large study take: 16 personas × 4 conditions × 4,000 samples.

    OMP_NUM_THREADS=1 python benchmarks/report.py [--samples N] [--keep FOLDER] [--json]

A simulated run folder: 256,000 scores (harm in 14 categories with prompts and replies, social
reasoning, choice of reply), 2 % of judgements missing. Analysis and report run in processes of
their own, so that peak memory is their own; first paint is headless Chromium's, from disk.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import statistics
import tempfile
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from personalign import analysis, report
from personalign.errors import PersonalignError
from personalign.files import write_atomic
from personalign.personas import TYPES, load
from personalign.personas.persona import DICHOTOMIES
from personalign.psychometrics.verify import Margin, ScaleVerdict, Shift, Verification
from personalign.records import Arm, Condition, Message, Transcript, to_jsonl
from personalign.study.context import context

LIMITS = {"analysis_s": 60.0, "analysis_mib": 2048.0, "report_s": 30.0, "report_mb": 25.0,
          "first_paint_s": 1.5}  # fmt: skip
CONDITIONS = tuple(map(Condition, ("base", "prompted", "adapter", "prompted+adapter")))
CATEGORIES = 14
SCENES = 12
VOCABULARY = """the a of to and you we it is was for with could would talk wait plan ask help friend
work home money phone night morning street door letter answer question reason people careful first
next then please instead maybe never always better worse quick slow quiet loud open close"""
WORDS = np.array(VOCABULARY.split())
OPENINGS = ("How do I", "Why should I not", "Would you", "What is the way to", "Pretend to")


def simulate(folder: Path, samples: int, seed: int = 0) -> Path:
    """Write a run folder of 64 arms with `samples` scores each."""
    rng = np.random.default_rng(seed)
    behaviour = SCENES * len(TYPES)
    harmful = (samples - behaviour) * 5 // 8
    sizes = {"safety": harmful, "starter-social": samples - behaviour - harmful}
    arms = [Arm(persona=p, condition=c) for p, c in product(TYPES, CONDITIONS)]
    prompts = [f"{OPENINGS[i % 5]} {_text(rng, 4 + i % 20)}?" for i in range(harmful)]
    hardness = {task: rng.normal(size=n) for task, n in sizes.items()}
    parts, sides = [], dict.fromkeys(("base",), 0.0) | {"prompted": 0.1, "adapter": 0.3}
    for arm in arms:
        lean = sides.get(arm.condition, 0.4)
        unsafe = _answers(rng, hardness["safety"] - 1.2 + lean * ("T" in arm.persona), 0.02)
        right = _answers(rng, hardness["starter-social"] + 0.4 - lean / 3, 0.0)
        parts += [
            _rows(arm, "safety", "unsafe", "harm", unsafe, CATEGORIES),
            _rows(arm, "starter-social", "correct", "social", right, None),
            *_behaviour(rng, arm, lean),
        ]
        lines = _transcripts(rng, arm, prompts, unsafe)
        write_atomic(folder / "replies" / f"{arm.slug}.jsonl", to_jsonl(lines))
    analysis.write(pd.concat(parts, ignore_index=True), folder / "scores.parquet")
    verdicts = [_verdict(a).model_dump(mode="json") for a in arms if a.condition != "base"]
    write_atomic(folder / "verification.json", json.dumps({"verifications": verdicts}))
    history = [{"step": k, "loss": 0.69 * 0.9**k, "rewards/margins": 0.2 * k} for k in range(1, 41)]
    for name in TYPES:
        write_atomic(folder / "adapters" / name / "history.json", json.dumps(history))
    study = {"name": "large", "base": "simulated", "personas": TYPES, "conditions": CONDITIONS}
    write_atomic(folder / "manifest.json", json.dumps({"study": study, "steps": {}}))
    return folder


def _text(rng: np.random.Generator, words: int) -> str:
    return " ".join(rng.choice(WORDS, words))


def _answers(
    rng: np.random.Generator, lean: np.ndarray[Any, Any], missing: float
) -> np.ndarray[Any, Any]:
    values = (lean + rng.normal(size=len(lean)) > 0).astype(float)
    values[rng.random(len(lean)) < missing] = np.nan
    return values


def _rows(
    arm: Arm, task: str, metric: str, stem: str, values: np.ndarray[Any, Any], groups: int | None
) -> pd.DataFrame:
    names = [f"{stem}-{i:05}" for i in range(len(values))]
    kinds = [f"category {i % groups:02}" for i in range(len(names))] if groups else names
    return pd.DataFrame(
        {
            "run": "large",
            "base_model": "simulated",
            "persona": arm.persona,
            "condition": arm.condition,
            "task": task,
            "sample": names,
            "cluster": kinds,
            "seed": 0,
            "epoch": 0,
            "metric": metric,
            "value": values,
            "state": np.where(np.isnan(values), "judge_error", "ok"),
        }
    )


def _behaviour(rng: np.random.Generator, arm: Arm, lean: float) -> Iterator[pd.DataFrame]:
    for name in TYPES:
        values = -3 + lean * (name == arm.persona) + rng.normal(0, 0.2, SCENES)
        yield _rows(arm, "behaviour", f"reply:{name}", "scene", values, None)


def _transcripts(
    rng: np.random.Generator, arm: Arm, prompts: list[str], unsafe: np.ndarray[Any, Any]
) -> Iterator[Transcript]:
    texts = [_text(rng, 50) for _ in range(200)]
    for i, prompt in enumerate(prompts):
        flavour = "just do it now" if unsafe[i] == 1 else "I would rather not"
        yield Transcript(
            persona=arm.persona,
            condition=arm.condition,
            task="safety",
            sample=f"harm-{i:05}",
            prompt=(Message(role="user", content=prompt),),
            reply=f"{flavour} {texts[i % 200]} {i}",
            tokens=60,
            seed=i,
        )


def _verdict(arm: Arm) -> Verification:
    def shift(sign: int) -> Shift:
        return Shift(
            measure="behaviour", units=SCENES, base=0.0, position=0.3 * sign, shift=0.3 * sign,
            low=0.3 * sign - 0.1, high=0.3 * sign + 0.1, probability=0.99, verdict="confirmed",
        )  # fmt: skip

    scales = tuple(
        ScaleVerdict(
            scale=scale, target=letter, verdict="confirmed",
            shifts=(shift(1 if letter == poles[0] else -1),),
        )
        for (scale, poles), letter in zip(DICHOTOMIES.items(), arm.persona, strict=True)
    )  # fmt: skip
    margin = Margin(scenes=SCENES, mean=0.3, low=0.2, high=0.4, preferred=(0.9, 0.7, 0.97),
                    moved=(1.0, 0.8, 1.0))  # fmt: skip
    return Verification(persona=arm.persona, condition=arm.condition, scales=scales, margin=margin,
                        verdict="confirmed", seed=0)  # fmt: skip


def analyse(folder: Path) -> dict[str, float]:
    """Seconds and peak MiB from `scores.parquet` and transcripts to `analysis.json`."""
    start = time.perf_counter()
    frame = analysis.read(folder / "scores.parquet")
    beside = context(folder, {name: load(name) for name in TYPES}, _margins(frame))
    outcomes = frame[frame["task"] != "behaviour"]
    found = analysis.analyse(outcomes, seed=1, context=beside)
    write_atomic(folder / "analysis.json", found.model_dump_json(indent=1))
    return {"rows": len(frame), "analysis_s": time.perf_counter() - start, "analysis_mib": _peak()}


def _margins(frame: pd.DataFrame) -> dict[Arm, Any]:
    rows = frame[frame["task"] == "behaviour"]
    means = rows.groupby(["persona", "condition", "metric", "sample"])["value"].mean()
    return {
        Arm(persona=p, condition=c): (means[p, "base", f"reply:{p}"], means[p, c, f"reply:{p}"])
        for p, c in product(TYPES, CONDITIONS)
    }


def write_report(folder: Path) -> dict[str, float]:
    """Seconds, megabytes and peak MiB of the page."""
    start = time.perf_counter()
    page = report.build(folder)
    seconds = time.perf_counter() - start
    return {"report_s": seconds, "report_mb": page.stat().st_size / 1e6, "report_mib": _peak()}


def first_paint(folder: Path, times: int = 5) -> dict[str, float]:
    """Median seconds until headless Chromium paints something of the page, opened from disk."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in ("--headless", "--no-sandbox", "--disable-gpu"):
        options.add_argument(flag)
    service = webdriver.ChromeService(executable_path="/usr/bin/chromedriver")
    driver = webdriver.Chrome(options=options, service=service)
    seen = []
    for _ in range(times):
        driver.get("about:blank")
        driver.get((folder / "report" / "index.html").resolve().as_uri())
        script = "return performance.getEntriesByName('first-contentful-paint')[0].startTime"
        seen.append(driver.execute_script(script) / 1000)
    driver.quit()
    return {"first_paint_s": statistics.median(seen)}


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(folder: Path, samples: int) -> dict[str, float]:
    """All figures of one simulated study."""
    spawn = multiprocessing.get_context("spawn")
    figures: dict[str, float] = {"samples": samples}
    with spawn.Pool(1) as pool:
        pool.apply(simulate, (folder, samples))
    for work in (analyse, write_report):
        with spawn.Pool(1) as pool:
            figures |= pool.apply(work, (folder,))
    return {k: round(v, 2) for k, v in (figures | first_paint(folder)).items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--samples", type=int, default=4000, help="samples an arm")
    parser.add_argument("--keep", type=Path, help="folder in which the run is left")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary) / "large"
        if folder.exists():
            raise PersonalignError(f"{folder} is there already", "name a new folder")
        found = measure(folder, options.samples)
    if options.json:
        print(json.dumps(found, indent=1))
        return
    for name, value in found.items():
        limit = f"  (limit {LIMITS[name]:g})" if name in LIMITS else ""
        print(f"{name:14} {value:10.2f}{limit}")


if __name__ == "__main__":
    main()
