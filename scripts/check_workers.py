"""Does a search lose or repeat a trial when it loses its workers, and what does a worker cost a trial?

    python scripts/check_workers.py --json docs/results/workers.json

Searches a made-up table of cells in this process, in two local worker processes, and on a Ray cluster of two nodes that
it starts on this machine. One worker process is killed in the middle of an evaluation each time; on the cluster a whole
node is, ten trials later. A search passes where every trial is in its journal once and all are those of the search in
this process. Then the evaluations themselves are timed, on the table as it is: what is left is what workers add to
a trial. Leaves with exit code 1 where a search does not pass.
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
"""Architectures that a search proposes at once; ten the first time."""


class Saboteur(Watcher):
    """Does its deeds when the trials before them are finished.

    Args:
        deeds: By number of finished trials.
    """

    def __init__(self, deeds: Mapping[int, Callable[[], None]]) -> None:
        self._deeds, self._done = dict(deeds), 0
        self.losses: list[str] = []

    def line(self, text: str) -> None:
        """Keep the lines about lost workers."""
        if text.startswith("a worker was lost"):
            self.losses.append(text)

    def trial(self, record: TrialRecord, status: Callable[[], object]) -> None:
        """Count."""
        self._done += 1
        if self._done in self._deeds:
            time.sleep(SLOW_S / 10)  # the next evaluations are under way
            self._deeds[self._done]()


def kill_local() -> None:
    """Kill a worker process of this one; in the middle of a batch all of them are evaluating."""
    workers = [one for one in psutil.Process().children() if "spawn_main" in " ".join(one.cmdline())]
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
    """A Ray cluster of two nodes with a core each: its address, and what takes the second node away."""
    from ray.cluster_utils import Cluster

    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "scripts")])
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    second = found.add_node(num_cpus=1)
    try:
        yield found.address, lambda: found.remove_node(second, allow_graceful=False)
    finally:
        found.shutdown()


def search(
    table: Path, out: Path, samples: int, plan: WorkerPlan | None = None, watcher: Watcher | None = None
) -> list[dict[str, Any]]:
    """The trials of one search, without the times that they took; with workers, every evaluation takes a while."""
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
    """What became of the trials of a search."""
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
    """What a trial takes whose evaluation takes next to nothing."""
    space = make_space("nasbench201")
    evaluator = TableEvaluator(space, table, column="acc")
    archs = list(dict.fromkeys(space.sample(BATCH * (batches + 1), np.random.default_rng(0))))
    taken = []
    with make_workers(plan, PortableEvaluators(evaluator, table.parent), lambda text: None) as workers:
        for start in range(0, len(archs) - BATCH + 1, BATCH):
            jobs = [EvaluationJob(start + i, arch) for i, arch in enumerate(archs[start : start + BATCH])]
            began = time.perf_counter()
            found = list(workers.evaluate(jobs))
            taken.append((time.perf_counter() - began) / len(found))
    return {"ms a trial": round(1000 * statistics.median(taken[1:]), 4), "first batch, s": round(BATCH * taken[0], 3)}


def check(place: Path, samples: int, batches: int) -> dict[str, Any]:
    """All searches and all times."""
    table = place / "cells.csv"
    write_cells(table)
    local, middle = WorkerPlan(count=2), samples // 2 // BATCH * BATCH + 2
    wanted = search(table, place / "alone", samples)
    searches, times = {}, {"this process": overhead(table, WorkerPlan(), batches)}
    watcher = Saboteur({middle: kill_local})
    searches["local"] = account(search(table, place / "local", samples, local, watcher), wanted, watcher)
    times["local"] = overhead(table, local, batches)
    with cluster() as (address, take_node_away):
        times["ray"] = overhead(table, WorkerPlan(ray_address=address), batches)
        watcher = Saboteur({middle: kill_on_ray, middle + 2 * BATCH: take_node_away})
        trials = search(table, place / "ray", samples, WorkerPlan(ray_address=address), watcher)
        searches["ray"] = account(trials, wanted, watcher)
    return {"samples": samples, "workers": 2, "searches": searches, "overhead": times}


def main() -> int:
    """Check, print, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=40, help="trials of a search (default 40)")
    parser.add_argument("--batches", type=int, default=60, help="batches of five that are timed (default 60)")
    parser.add_argument("--json", type=Path, help="file for the result")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = check(Path(folder), options.samples, options.batches)
    for name, result in found["searches"].items():
        print(f"{name}: {result}")
    for name, result in found["overhead"].items():
        print(f"{name}: {result}")
    if options.json:
        write_atomic(options.json, json.dumps(found, indent=1) + "\n")
    good = all(
        one["trials"] == options.samples and one["as in this process"] and not one["lost"] and not one["twice"]
        for one in found["searches"].values()
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
