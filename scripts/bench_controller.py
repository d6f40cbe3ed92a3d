"""Does the controller learn on detectors? Its last rewards beside those of random networks.

    scripts/bench_controller.py --data BLOOD_CELLS --runs FOLDER -o FILE.json [--samples 120] [--random 60] [--seeds 1]
                                [--workers 1]

Space `fpn` (NAS-FCOS's pyramid and head with a backbone) on small images; every network is trained alone for a few
epochs. The reward of a trial is here its average precision, scaled to the range of the random networks, minus the
logarithm of its predicted latency, scaled likewise: the mean over all weights of the two, which the controller's own
rewards draw at random. An interrupted search continues.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import numpy.typing as npt
from _progress import say

import hwnas
from hwnas.spaces import Space, make_space
from hwnas.tasks import Task, make_task
from latency_tables import write_atomic

LAST, PERCENTILE = 30, 75
"""Trials of the controller that are looked at, and the percentile of random networks beside them."""


def main() -> None:
    """Search, compare and write."""
    options = _options()
    task = make_task("detection", str(options.data), image_size=options.size)
    (output,) = task.outputs
    space = make_space("fpn", classes=len(output.labels or ()), resolution=[options.size], width=[0.5])
    hwnas.profile(space, out=options.runs / "table.json", threads=1, progress=say)
    facts = {name: getattr(options, name) for name in ("size", "epochs", "samples", "random")}
    seeds = []
    for seed in range(options.seeds):
        values = {
            "random": trials(space, task, "random", options.random, seed, options),
            "controller": trials(space, task, "controller", options.samples, seed, options),
        }
        seeds.append({**compared(values), "trials": values})
        text = json.dumps({**facts, "seeds": seeds}, indent=1)
        write_atomic(options.output, text + "\n")
        say(line_of(seeds[-1]))


def trials(
    space: Space, task: Task, strategy: str, samples: int, seed: int, options: argparse.Namespace
) -> list[tuple[float, float]]:
    """Search; return average precision and milliseconds of every trial, in order."""
    found = hwnas.search(
        space,
        data=task,
        table=options.runs / "table.json",
        out=options.runs / f"{strategy}-{seed}",
        strategy=strategy,
        evaluator="train",
        epochs=options.epochs,
        recipe="batch_size=8",
        samples=samples,
        measure="none",
        finalize="none",
        seed=seed,
        workers=options.workers,
        progress=say,
    )
    finished = (trial.values for trial in found.trials if not trial.failed)
    return [(values[task.metric.name], values["latency_ms"]) for values in finished]


def compared(values: dict[str, list[tuple[float, float]]]) -> dict[str, Any]:
    """Return the rewards: those of the controller's last trials beside the percentile of random networks."""
    random = np.array(values["random"])
    drawn, own = (rewards(np.array(values[name]), random) for name in ("random", "controller"))
    first, last, bar = own[:LAST], own[-LAST:], float(np.percentile(drawn, PERCENTILE))
    return {
        "random_percentile": bar,
        "first_median": float(np.median(first)),
        "last_median": float(np.median(last)),
        "last_above": float(np.mean(last > bar)),
    }


def rewards(points: npt.NDArray[np.float64], beside: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return scaled precision minus scaled logarithm of latency of points ``(n, 2)``, by the range of other points."""
    scaled = [column(points, i) - column(beside, i).min() for i in range(2)]
    precision, latency = (own / np.ptp(column(beside, i)) for i, own in enumerate(scaled))
    return np.asarray(precision - latency)


def column(points: npt.NDArray[np.float64], number: int) -> npt.NDArray[np.float64]:
    """Return precisions (0) or logarithms of latencies (1)."""
    return points[:, 0] if number == 0 else np.log(points[:, 1])


def line_of(result: dict[str, Any]) -> str:
    """Say what came out for a seed."""
    return (
        f"median reward of the controller's last {LAST} trials {result['last_median']:.3f} (its first {LAST}: "
        f"{result['first_median']:.3f}); {PERCENTILE}th percentile of random networks "
        f"{result['random_percentile']:.3f}; {result['last_above']:.0%} of the last are above it"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="images with boxes")
    parser.add_argument("--runs", type=Path, required=True, help="folder for the searches and the table")
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON file for the result")
    parser.add_argument("--size", type=int, default=96, help="height and width of the images (default 96)")
    parser.add_argument("--epochs", type=int, default=10, help="epochs of each training (default 10)")
    parser.add_argument("--samples", type=int, default=120, help="trials of the controller (default 120)")
    parser.add_argument("--random", type=int, default=60, help="random networks (default 60)")
    parser.add_argument("--seeds", type=int, default=1, help="searches of each (default 1)")
    parser.add_argument("--workers", type=int, default=1, help="trainings at once (default 1)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
