"""Several personas in one job against as many jobs of this same trainer.

One job loads the base once and computes each prompt's reference once for all personas; a job of
its own does both again. Each way runs in processes of its own with an empty cache.

    python benchmarks/personas.py --personas 16 --limit 16
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from personalign.models import embedded
from personalign.personas import TYPES

CODE = """
import sys
from pathlib import Path
from personalign.runs import do_all
from personalign.study import Study, read_config
study = Study(read_config(Path(sys.argv[1])), Path(sys.argv[2]))
study.begin()
do_all(list(study.work.training()), study.store)
"""


def job(names: list[str], base: Path, args: argparse.Namespace) -> float:
    """Seconds of one process that trains these personas, with an empty reference cache."""
    with tempfile.TemporaryDirectory() as folder:
        study = {
            "name": "job",
            "base": str(base),
            "build_scenes": args.limit,
            "personas": names,
            "training": {"epochs": 2, "batch_size": 8, "health": {"samples": 0}},
        }
        file = Path(folder) / "job.yaml"
        file.write_text(yaml.safe_dump(study))
        env = os.environ | {"PERSONALIGN_CACHE": folder, "OMP_NUM_THREADS": str(args.threads)}
        command = [sys.executable, "-c", CODE, str(file), str(Path(folder) / "run")]
        began = time.perf_counter()
        subprocess.run(command, check=True, env=env, capture_output=True)
        return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--personas", type=int, default=4)
    parser.add_argument("--limit", type=int, default=8, help="situations, one pair a persona each")
    parser.add_argument("--base", default="embedded", help="embedded, a path or a Hub id")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    names = list(TYPES[: args.personas // 2]) + list(TYPES[::-1][: args.personas // 2])
    base = embedded.resolve(args.base)
    together = job(names, base, args)
    apart = sum(job([name], base, args) for name in names)
    result = {"one_job": together, "separate": apart, "ratio": together / apart}
    if args.json:
        print(json.dumps(result))
        return
    print(f"{len(names)} personas in one job {together:.1f} s, apart {apart:.1f} s: ", end="")
    print(f"{together / apart:.2f} of the cost")


if __name__ == "__main__":
    main()
