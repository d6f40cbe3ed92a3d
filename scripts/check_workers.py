"""Check that a search that loses workers neither loses nor repeats a trial, and time the overhead of workers.

    python scripts/check_workers.py --json docs/results/workers.json

The script searches a synthetic table of cells in this process, in two local worker processes, and on a Ray cluster of
two nodes that it starts on this machine. Each time, one worker process is killed during an evaluation; on the cluster a
whole node is removed ten trials later. A search passes where its journal holds every trial once and all trials equal
those of the search in this process. Then evaluations without a delay are timed, which shows what workers add to a
trial. The exit code is 1 where a search does not pass.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import psutil
from _slow_table import SLOW_S, SlowTable
from check_resume import write_cells

from hwnas.evaluators import TableEvaluator
from hwnas.run_directories import SearchSettings, TrialRecord, Watcher, run_search
from hwnas.spaces import make_space
from hwnas.workers import EvaluationJob, PortableEvaluators, WorkerPlan, make_workers
from latency_tables import write_atomic

ROOT = Path(__file__).resolve().parent.parent
BATCH = 5
"""Architectures in a batch; the first batch has ten."""


class Saboteur(Watcher):
    """Runs actions after given numbers of finished trials.

    Args:
        actions: Functions to call, by number of finished trials.
    """

    def __init__(self, actions: Mapping[int, Callable[[], None]]) -> None:
        self._actions, self._done = dict(actions), 0
        self.losses: list[str] = []

    def line(self, text: str) -> None:
        """Keep the lines about lost workers."""
        if text.startswith("a worker was lost"):
            self.losses.append(text)

    def trial(self, record: TrialRecord, status: Callable[[], object]) -> None:
        """Count the trial, and run the action that follows it."""
        self._done += 1
        if self._done in self._actions:
            time.sleep(SLOW_S / 10)  # the next evaluations are under way
            self._actions[self._done]()


def kill_local() -> None:
    """Kill a worker process of this process; during a batch all of them are evaluating."""
    workers = [child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())]
    workers[0].kill()


def kill_on_ray() -> None:
    """Kill a process of the cluster that is evaluating."""
    for process in psutil.process_iter(["cmdline"]):
        if " ".join(process.info["cmdline"] or []).startswith("ray::answer"):
            process.kill()
            return
    raise SystemExit("no process of the cluster is evaluating")


@contextmanager
def cluster() -> Iterator[tuple[str, Callable[[], None]]]:
    """Start a Ray cluster of two nodes with one core each; yield its address and a function that removes a node."""
    from ray.cluster_utils import Cluster

    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "scripts")])
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray_cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    second = ray_cluster.add_node(num_cpus=1)
    try:
        yield ray_cluster.address, lambda: ray_cluster.remove_node(second, allow_graceful=False)
    finally:
        ray_cluster.shutdown()


def search(
    table: Path, out: Path, samples: int, plan: WorkerPlan | None = None, watcher: Watcher | None = None
) -> list[dict[str, Any]]:
    """Run one search and return its trials without their times; with workers, every evaluation is delayed."""
    settings = SearchSettings(
        space="nasbench201",
        evaluator=f"table:{table}",
        evaluator_options={"accuracy_column": "acc"},
        latency_column="ms",
        budgets={"latency_ms": 8.0},
        samples=samples,
    )
    with patch("hwnas.evaluators._make.TableEvaluator", SlowTable if plan is not None else TableEvaluator):
        run_search(settings, out, watcher=watcher, workers=plan)
    lines = (out / "trials.jsonl").read_text(encoding="utf-8").splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]


def account(trials: list[dict[str, Any]], wanted: list[dict[str, Any]], watcher: Saboteur) -> dict[str, Any]:
    """Count lost, repeated and failed trials of a search, and compare it with the one in this process."""
    numbers = [trial["number"] for trial in trials]
    return {
        "trials": len(trials),
        "lost": len({trial["number"] for trial in wanted} - set(numbers)),
        "twice": len(numbers) - len(set(numbers)),
        "failed": sum(trial["failed"] is not None for trial in trials),
        "as in this process": trials == wanted,
        "workers lost": [text.partition("(")[2].partition(")")[0] for text in watcher.losses],
    }


def overhead(table: Path, plan: WorkerPlan, batches: int) -> dict[str, float]:
    """Time trials whose evaluation takes almost no time."""
    space = make_space("nasbench201")
    evaluator = TableEvaluator(space, table, column="acc")
    archs = list(dict.fromkeys(space.sample(BATCH * (batches + 1), np.random.default_rng(0))))
    taken = []
    with make_workers(plan, PortableEvaluators(evaluator, table.parent), lambda text: None) as workers:
        for start in range(0, len(archs) - BATCH + 1, BATCH):
            jobs = [EvaluationJob(start + i, arch) for i, arch in enumerate(archs[start : start + BATCH])]
            began = time.perf_counter()
            results = list(workers.evaluate(jobs))
            taken.append((time.perf_counter() - began) / len(results))
    return {"ms a trial": round(1000 * statistics.median(taken[1:]), 4), "first batch, s": round(BATCH * taken[0], 3)}


def check(place: Path, samples: int, batches: int) -> dict[str, Any]:
    """Run all searches and all timings."""
    table = place / "cells.csv"
    write_cells(table)
    local, middle = WorkerPlan(count=2), samples // 2 // BATCH * BATCH + 2
    wanted = search(table, place / "alone", samples)
    searches, times = {}, {"this process": overhead(table, WorkerPlan(), batches)}
    watcher = Saboteur({middle: kill_local})
    searches["local"] = account(search(table, place / "local", samples, local, watcher), wanted, watcher)
    times["local"] = overhead(table, local, batches)
    with cluster() as (address, remove_node):
        times["ray"] = overhead(table, WorkerPlan(ray_address=address), batches)
        watcher = Saboteur({middle: kill_on_ray, middle + 2 * BATCH: remove_node})
        trials = search(table, place / "ray", samples, WorkerPlan(ray_address=address), watcher)
        searches["ray"] = account(trials, wanted, watcher)
    return {"samples": samples, "workers": 2, "searches": searches, "overhead": times}


def main() -> int:
    """Check, print, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=40, help="trials of a search (default 40)")
    parser.add_argument("--batches", type=int, default=60, help="number of timed batches of five (default 60)")
    parser.add_argument("--json", type=Path, help="file for the result")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = check(Path(folder), options.samples, options.batches)
    for name, result in report["searches"].items():
        print(f"{name}: {result}")
    for name, result in report["overhead"].items():
        print(f"{name}: {result}")
    if options.json:
        write_atomic(options.json, json.dumps(report, indent=1) + "\n")
    good = all(
        search["trials"] == options.samples
        and search["as in this process"]
        and not search["lost"]
        and not search["twice"]
        for search in report["searches"].values()
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
