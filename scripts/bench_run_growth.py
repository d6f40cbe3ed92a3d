"""How the time of a search grows with its number of trials: for a new run, and for a finished run started again.

    python scripts/bench_run_growth.py [--trials 2000,8000,32000] [--strategy random] [--proposals 50] [--json FILE]

Accuracies are synthetic and take no time, so that only hwnas itself is timed: proposals, journal, status lines, and
reading the run again. The last column shows the seconds for each trial relative to the smallest search: it grows where
the time is quadratic in the number of trials.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import zlib

import hwnas
from hwnas import Evaluation, Evaluator
from latency_tables import write_atomic

SPACE = {"preset": "tiny", "image_channels": 1}


class MadeUp(Evaluator):
    """Synthetic accuracies: a hash of the architecture."""

    name = "made-up"
    settings = {}  # noqa: RUF012

    def evaluate(self, arch: object) -> Evaluation:
        """Return a fraction from the hash of the architecture."""
        return Evaluation(zlib.crc32(str(arch).encode()) / 2**32)


def seconds(out: Path, samples: int, strategy: str, proposals: int) -> float:
    """Return the seconds of one search."""
    began = time.perf_counter()
    settings = {"strategy": strategy, "samples": samples, "proposals": proposals, "minimize": "macs"}
    hwnas.search("mobilenetv3", space_settings=SPACE, out=out, evaluator=MadeUp(), **settings)
    return time.perf_counter() - began


def main() -> int:
    """Print a line for each number of trials."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--trials", default="2000,8000,32000")
    parser.add_argument("--strategy", default="random")
    parser.add_argument("--proposals", type=int, default=50)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rows: list[dict[str, float]] = []
    print("  trials     new  again  us per trial: new  again   over the smallest")
    with tempfile.TemporaryDirectory() as folder:
        seconds(Path(folder) / "warm", 10, args.strategy, args.proposals)  # imports, the latency table
        for trials in map(int, args.trials.split(",")):
            run = Path(folder) / str(trials)
            new, again = (seconds(run, trials, args.strategy, args.proposals) for _ in range(2))
            rows.append({"trials": trials, "new_s": new, "again_s": again})
            pairs = [(1e6 * row / trials, row / trials * rows[0]["trials"]) for row in (new, again)]
            (each, scaled), (each_again, scaled_again) = pairs
            ratios = f"{scaled / rows[0]['new_s']:14.2f} {scaled_again / rows[0]['again_s']:6.2f}"
            print(f"{trials:8d} {new:7.2f} {again:6.2f} {each:17.0f} {each_again:6.0f} {ratios}", flush=True)
    if args.json:
        write_atomic(args.json, json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
