"""Compare a search for the best network within a budget with a search for the front, on NAS-Bench-201.

Both evaluate architectures of one table with the same strategy, the same seeds and the same first batch, under the same
latency budget, as `hwnas search` states the problem. The best accuracy within the budget is known, so the question is
how many evaluations they need until they have evaluated a network with it, or one within a tolerance of it.

    scripts/bench_goal.py --table FILE --json goal.json
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from statistics import mean, median
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np  # noqa: E402
from _bench_search_problem import Benchmark, load_benchmark  # noqa: E402

from latency_tables import write_atomic  # noqa: E402
from search import Constraint, FirstObjective, Study, make_strategy  # noqa: E402

ACCURACY = "cifar10_test_acc"
DEVICES = ("2080ti_1_latency_ms", "gold_6240_latency_ms", "samsung_a50_latency_ms", "silver_4114_latency_ms")
QUANTILES = (0.25, 0.5, 0.75)
"""Budgets: quantiles of the latencies of the table's networks."""
TOLERANCE = 0.1
"""Points of accuracy."""
GOALS = ("front", "best")
MARGIN = 0.1
"""The latency's worst value lies this share of its range above the budget, as in `hwnas search`."""

_loaded: dict[str, Benchmark] = {}


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, required=True, help="CSV file with accuracies and latencies")
    parser.add_argument("--strategies", default="lamoo,random", help="strategies (default lamoo,random)")
    parser.add_argument("--seeds", type=int, default=10, help="searches of each kind (default 10)")
    parser.add_argument("--samples", type=int, default=200, help="evaluations of each (default 200)")
    parser.add_argument("--workers", type=int, default=1, help="processes (default 1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there, too")
    return parser.parse_args()


def searched(
    table: Path, device: str, quantile: float, strategy: str, goal: str, seed: int, samples: int
) -> list[float]:
    """Return what is missing to the best accuracy within the budget after each evaluation, in points."""
    if device not in _loaded:
        _loaded[device] = load_benchmark(table, [ACCURACY], [device])
    benchmark = _loaded[device]
    places = np.flatnonzero(benchmark.rows >= 0)
    accuracies, latencies = benchmark.values[benchmark.rows[places]].T
    budget = float(np.quantile(latencies, quantile))
    inside = latencies <= budget
    best, least, most = float(accuracies[inside].max()), float(latencies[inside].min()), float(latencies[inside].max())
    ends = [int(places[inside & (latencies == end)][0]) for end in (least, most)]
    accuracy, cost = benchmark.problem.objectives
    assert cost.cost_function is not None
    domain = benchmark.problem.domain
    problem = replace(
        benchmark.problem,
        objectives=(
            replace(accuracy, worst=None, best=None, ceiling=100.0),
            replace(cost, worst=most * (most / least) ** MARGIN, best=least, log=True),
        ),
        constraints=(Constraint(device, cost.cost_function, budget),),
        anchors=tuple(tuple(int(code) for code in np.unravel_index(end, domain.cardinalities)) for end in ends),
    )
    made = make_strategy(strategy)
    study = Study(problem, FirstObjective(made) if goal == "best" else made, seed=seed)
    missing: list[float] = []
    while len(missing) < samples and (proposals := study.ask()):
        for proposal in proposals:
            reached = float(benchmark.values[benchmark.row(proposal.codes), 0])
            study.tell(proposal.number, {ACCURACY: reached})
            missing.append(min(best - reached, *missing[-1:], 100.0))
    return missing[:samples]


def evaluations(missing: list[float], tolerance: float) -> float:
    """Return the number of evaluations until no more than a tolerance was missing; all and one where it always was."""
    return next((n for n, points in enumerate(missing, 1) if points <= tolerance), len(missing) + 1)


def summary(curves: list[list[float]]) -> dict[str, Any]:
    """Return medians over searches."""
    return {
        f"evaluations_to_{TOLERANCE:g}": median(evaluations(curve, TOLERANCE) for curve in curves),
        "evaluations_to_best": median(evaluations(curve, 1e-9) for curve in curves),
        **{f"missing_at_{n}": mean(curve[n - 1] for curve in curves) for n in (50, 100) if n <= len(curves[0])},
    }


def main() -> None:
    """Search, print a line for each case, and write the results."""
    options = parse()
    names = options.strategies.split(",")
    cases = [
        (d, q, s, g) for d in DEVICES for q in QUANTILES for s in names for g in GOALS if (s, g) != ("random", "best")
    ]
    results = []
    with ProcessPoolExecutor(options.workers, mp_context=get_context("spawn")) as pool:
        futures = [
            [pool.submit(searched, options.table, *case, seed, options.samples) for seed in range(options.seeds)]
            for case in cases
        ]
        for (device, quantile, strategy, goal), runs in zip(cases, futures, strict=True):
            facts = summary([run.result() for run in runs])
            results.append({"device": device, "quantile": quantile, "strategy": strategy, "goal": goal, **facts})
            print(f"{device}, quantile {quantile}: {strategy}, {goal}: {facts}", flush=True)
    for strategy in names:
        for goal in GOALS:
            rows = [row for row in results if (row["strategy"], row["goal"]) == (strategy, goal)]
            if rows:
                means = {name: mean(row[name] for row in rows) for name in rows[0] if name.startswith(("eval", "miss"))}
                print(f"mean of {len(rows)} cases: {strategy}, {goal}: {means}")
    if options.json is not None:
        facts = {"table": options.table.name, "accuracy": ACCURACY, "seeds": options.seeds, "samples": options.samples}
        write_atomic(options.json, json.dumps({**facts, "tolerance": TOLERANCE, "cases": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
