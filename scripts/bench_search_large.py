"""Compare search strategies on a space that cannot be enumerated: mobilenetv3 with a measured latency table.

Accuracy is synthetic, so that the true front is known: it saturates in a sum over the parts of a network, and latency
is a sum of measured prices over them. The front then follows from merging the parts' own trade-offs one by one.
Budgets are percentiles of the latencies of random networks.

    scripts/bench_search_large.py --json OUT
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

from hwnas.costs import SpaceCosts, make_problem  # noqa: E402
from hwnas.spaces import Space, Term  # noqa: E402
from hwnas.tables import space_of  # noqa: E402
from latency_tables import SESSION, LatencyTable, load_table, write_atomic  # noqa: E402
from profilers import graph_macs  # noqa: E402
from search import Problem, Study, hypervolume, make_strategy, nondominated  # noqa: E402

TABLE = ROOT / "latency_tables" / "data" / "mobilenetv3-imagenet-1-thread-intel-xeon.json"
CHECKPOINTS = (50, 100, 150, 200, 300)
PERCENTILES = (10, 50, 90)
FLOOR, TOP = 0.10, 0.80
_MOST = 3000


class Large:
    """The space, its table, and an accuracy whose front is known.

    Args:
        table: Latency table of a `mobilenetv3` space, without a cache curve (latency is then a sum).
    """

    def __init__(self, table: LatencyTable) -> None:
        self.space: Space = space_of(table)
        self.session_ms = table.op_ms(SESSION)
        self.costs = SpaceCosts(self.space, table)
        self.latency = self.costs.unfitted_ms
        rng = np.random.default_rng(0)
        self.parts = []
        for term in map(self._with_depth, self.space.terms):
            shape = tuple(self.space.cardinalities[c] for c in term.choices)
            ms, worth = np.zeros(shape), np.zeros(shape)
            appetite, saturation = rng.uniform(0.5, 1.5), rng.uniform(3e6, 3e7)
            taste = 1 + 0.2 * rng.standard_normal(shape[-2:]) if len(shape) > 2 else np.ones(1)
            for index in np.ndindex(*shape):
                row = np.zeros(len(self.space.choices), dtype=np.int64)
                row[list(term.choices)] = index
                graph = self.space.term_graph(term, self.space.decode(row))
                if graph is not None:
                    ms[index] = table.pricing.part_costs(graph).ops_ms
                    worth[index] = 0.2 * appetite * (1 - np.exp(-graph_macs(graph) / saturation))
                    worth[index] *= taste[index[-2:]] if len(shape) > 2 else 1.0
            self.parts.append((term, ms, np.maximum(worth, 0.0)))

    def _with_depth(self, term: Term) -> Term:
        """Return a term with the depth of its stage among its choices, also for blocks that every depth has."""
        stage, _, block = term.name.partition(".")
        if not block:
            return term
        names = [choice.name for choice in self.space.choices]
        own = (f"{stage}.depth", f"{term.name}.kernel", f"{term.name}.expansion")
        return Term(term.name, (0, 1, *map(names.index, own)))

    def accuracy(self, codes: np.ndarray) -> np.ndarray:
        """Compute the synthetic accuracy ``(n,)`` of canonical codes ``(n, d)``."""
        total = sum(worth[tuple(codes[:, c] for c in term.choices)] for term, _, worth in self.parts)
        return np.asarray(TOP - (TOP - FLOOR) * np.exp(-total))

    def front(self) -> np.ndarray:
        """Compute latency and accuracy ``(k, 2)`` of the true front; merged lists are thinned to 3,000 points each."""
        shared = self.space.cardinalities[0], self.space.cardinalities[1]
        fronts = []
        for width, resolution in np.ndindex(*shared):
            whole = np.array([[self.session_ms, 0.0]])
            stages: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
            for term, ms, worth in self.parts:
                here, there = ms[width, resolution], worth[width, resolution]
                if len(term.choices) == 2:
                    whole = whole + np.array([[here, there]])
                else:
                    stages.setdefault(term.choices[2], []).append((here, there))
            for blocks in stages.values():
                depths = []
                for depth in range(len(blocks[0][0])):
                    options = np.zeros((1, 2))
                    for here, there in blocks:
                        options = _sums(options, np.stack([here[depth].ravel(), there[depth].ravel()], axis=1))
                    depths.append(options)
                whole = _sums(whole, np.concatenate(depths))
            fronts.append(whole)
        best = _prune(np.concatenate(fronts))
        return np.stack([best[:, 0], TOP - (TOP - FLOOR) * np.exp(-best[:, 1])], axis=1)

    def problem(self, budget: float) -> Problem:
        """Make the problem of maximising this accuracy under a latency budget in milliseconds."""
        costs = {"latency_ms": self.latency}
        return make_problem(self.space, costs, ["latency"], {"latency_ms": budget})

    def budgets(self) -> dict[int, float]:
        """Compute latency budgets in milliseconds by percentile of random networks."""
        archs = self.space.sample(2000, np.random.default_rng(1))
        ms = self.latency(np.array([self.space.encode(arch) for arch in archs]))
        return {p: float(np.percentile(ms, p)) for p in PERCENTILES}


def _sums(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the non-dominated sums of a row (latency, worth) of each."""
    return _prune((left[:, None, :] + _prune(right)[None, :, :]).reshape(-1, 2))


def _prune(rows: np.ndarray) -> np.ndarray:
    rows = rows[np.lexsort((-rows[:, 1], rows[:, 0]))]
    best = np.maximum.accumulate(rows[:, 1])
    rows = rows[np.concatenate([[True], rows[1:, 1] > best[:-1]])]
    if len(rows) > _MOST:
        rows = rows[np.unique(np.linspace(0, len(rows) - 1, _MOST).astype(np.int64))]
    return rows


def volume(points: np.ndarray, budget: float) -> float:
    """Compute the hypervolume of (latency, accuracy) rows below a budget, both scaled to 0-1."""
    scaled = np.stack([1 - points[:, 0] / budget, (points[:, 1] - FLOOR) / (TOP - FLOOR)], axis=1)
    return float(hypervolume(scaled[nondominated(scaled)], np.zeros(2)))


_large: Large | None = None


def _prepare(path: Path) -> None:
    global _large
    _large = Large(load_table(path))


def _run(task: tuple[str, int, float, float, int]) -> tuple[list[float], float]:
    """Return the shares of the true hypervolume missing after each evaluation, and seconds per proposal."""
    assert _large is not None
    name, seed, budget, best, samples = task
    study = Study(_large.problem(budget), make_strategy(name), seed=seed)
    points: list[list[float]] = []
    gaps: list[float] = []
    spent = 0.0
    while len(points) < samples:
        start = time.perf_counter()
        proposals = study.ask()
        spent += time.perf_counter() - start
        for proposal in proposals:
            codes = np.array([proposal.codes])
            latency, accuracy = float(_large.latency(codes)[0]), float(_large.accuracy(codes)[0])
            if latency > budget:
                raise AssertionError(f"{name} proposed a network of {latency} ms, above the budget of {budget} ms")
            study.tell(proposal.number, {"accuracy": accuracy})
            points.append([latency, accuracy])
            gaps.append(1 - volume(np.array(points), budget) / best)
    return gaps[:samples], spent / len(points)


def main() -> int:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--strategies", default="lamoo,qehvi,lamoo-mutation,mutation,nsga2,random")
    parser.add_argument("--samples", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    table = load_table(args.table)
    large = Large(table)
    front, budgets, names = large.front(), large.budgets(), args.strategies.split(",")
    points = [k for k in CHECKPOINTS if k <= args.samples]
    results: dict[str, dict[str, dict[str, object]]] = {}
    with ProcessPoolExecutor(
        args.jobs, mp_context=get_context("spawn"), initializer=_prepare, initargs=(args.table,)
    ) as pool:
        for percentile, budget in budgets.items():
            best = volume(front, budget)
            print(
                f"budget {budget:.3f} ms (percentile {percentile}), {int((front[:, 0] <= budget).sum())} on the front"
            )
            for name in names:
                tasks = [(name, seed, budget, best, args.samples) for seed in range(args.seeds)]
                runs = list(pool.map(_run, tasks))
                gaps = np.array([run[0] for run in runs])
                seconds = float(np.mean([run[1] for run in runs]))
                means = {str(k): float(gaps[:, k - 1].mean()) for k in points}
                print(f"  {name:<16}" + "".join(f"{value:8.4f}" for value in means.values()) + f"{seconds:9.4f} s")
                last = gaps[:, args.samples - 1].tolist()
                results.setdefault(str(percentile), {})[name] = {
                    "missing": means,
                    "last": last,
                    "s_per_proposal": seconds,
                }
    if args.json:
        record = {
            "table": args.table.name,
            "table_created": table.created[:10],
            "samples": args.samples,
            "seeds": args.seeds,
            "networks": str(large.space.size),
            "budgets_ms": {str(p): b for p, b in budgets.items()},
            "results": results,
        }
        write_atomic(args.json, json.dumps(record, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
