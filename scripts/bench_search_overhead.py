"""Seconds and memory of a strategy for each proposed architecture, on the space mobilenetv3.

    python scripts/bench_search_overhead.py [--strategies lamoo] [--trials 100,300,600,1000,2000]

Accuracy and costs are synthetic (smooth functions of the codes), because only the strategy's own work is timed.
Random search provides the trials; then the median over a few batches of five is taken.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from hwnas.spaces import make_space
from latency_tables import write_atomic
from search import Domain, Objective, Problem, Study, make_strategy

REPEATS = 5
BATCH = 5


def make_problem(objectives: int) -> tuple[Problem, np.ndarray]:
    """Make a problem with one expensive objective and costs with cost functions, and return it with their weights."""
    space = make_space("mobilenetv3", preset="tiny")
    cards = tuple(space.cardinalities)
    weights = np.random.default_rng(0).random((objectives, len(cards)))

    def cost(k: int):  # type: ignore[no-untyped-def]
        return lambda codes: codes @ weights[k]

    costs = [Objective(f"cost{k}", "min", cost_function=cost(k)) for k in range(1, objectives)]
    domain = Domain(cards, space.canonical_codes, space.features)
    return Problem(domain, (Objective("accuracy", "max"), *costs)), weights


def measure(name: str, objectives: int, sizes: list[int]) -> list[dict[str, object]]:
    """Print a line for each number of trials, and return the rows."""
    rows: list[dict[str, object]] = []
    problem, weights = make_problem(objectives)
    strategy = make_strategy(name)
    study = Study(problem, make_strategy("random"), seed=0)
    for size in sizes:
        while len(study.trials) < size:
            for proposal in study.ask():
                codes = np.array(proposal.codes)
                value = float(np.sin(codes @ weights[0]) + codes @ weights[0])
                study.tell(proposal.number, {"accuracy": value})
        spent = []
        for repeat in range(REPEATS):
            start = time.perf_counter()
            strategy.propose(study.context(), BATCH, np.random.default_rng(repeat))
            spent.append((time.perf_counter() - start) / BATCH)
        peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{name:<16}{objectives:>4}{len(study.trials):>8}{np.median(spent):>12.4f}{peak_mib:>10.0f}", flush=True)
        row = {"strategy": name, "objectives": objectives, "trials": len(study.trials)}
        rows.append({**row, "s_per_proposal": float(np.median(spent)), "peak_mib": peak_mib})
    return rows


def main() -> int:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--strategies", default="lamoo")
    parser.add_argument("--objectives", default="2,4")
    parser.add_argument("--trials", default="100,300,600,1000,2000")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rows: list[dict[str, object]] = []
    print(f"{'strategy':<16}{'objs':>4}{'trials':>8}{'s/proposal':>12}{'peak MiB':>10}")
    for name in args.strategies.split(","):
        for objectives in args.objectives.split(","):
            rows += measure(name, int(objectives), [int(size) for size in args.trials.split(",")])
    if args.json:
        write_atomic(args.json, json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
