"""Compare search strategies on a benchmark table (NAS-Bench-201 cells with accuracies and latencies).

For every strategy, over the same seeds and initial samples: the share of the maximal hypervolume that is
missing after 50 to 300 evaluations, the evaluations to 99 % of it, the share of the true front found, and
the seconds that a proposal takes.

    scripts/bench_search.py --table FILE --maximize cifar10_test_acc --minimize 2080ti_1_latency_ms
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np  # noqa: E402
from _bench_search_problem import Benchmark, load_benchmark  # noqa: E402
from _benchmark_numbers import TARGET, evaluations_to_target, geometric, padded, paired_p  # noqa: E402

from hwnas import HwnasError  # noqa: E402
from latency_tables import write_atomic  # noqa: E402
from search import SearchError, Study, make_strategy, strategy_names  # noqa: E402

CHECKPOINTS = (50, 100, 150, 200, 300)


@dataclass(frozen=True)
class Run:
    """One strategy at one seed.

    Attributes:
        strategy: Name of the strategy.
        seed: The seed.
        rows: The table's rows in the order (fully) evaluated.
        overhead_s: Seconds per proposal.
        costs: Cost after each evaluation, low-fidelity ones included, in full evaluations.
    """

    strategy: str
    seed: int
    rows: list[int]
    overhead_s: float
    costs: list[float]


_benchmark: Benchmark | None = None


def _prepare(*setup: Any) -> None:
    global _benchmark
    _benchmark = load_benchmark(*setup)


def _run(task: tuple[str, int, int, int, int, bool]) -> Run:
    """Run one study on the benchmark of this process."""
    assert _benchmark is not None
    name, seed, samples, initial, batch, to_target = task
    study = Study(_benchmark.problem, make_strategy(name), seed=seed, initial=initial, batch=batch)
    names = [objective.name for objective in _benchmark.problem.objectives]
    rows: list[int] = []
    costs: list[float] = []
    spent = cost = 0.0
    while len(rows) < samples:
        start = time.perf_counter()
        proposals = study.ask()
        spent += time.perf_counter() - start
        if not proposals:
            break
        for proposal in proposals if proposals[0].low_fidelity else proposals[: samples - len(rows)]:
            row = _benchmark.row(proposal.codes)
            if proposal.low_fidelity:
                assert _benchmark.cheap is not None
                study.tell(proposal.number, {names[0]: float(_benchmark.cheap[row])})
                cost += _benchmark.cheap_cost
                continue
            study.tell(proposal.number, dict(zip(names, _benchmark.values[row].tolist(), strict=True)))
            rows.append(row)
            cost += 1.0
            costs.append(cost)
        if to_target and rows and _benchmark.gap(rows) <= TARGET:
            break
    return Run(name, seed, rows, spent / max(1, len(study.trials)), costs)


def _run_all(args: argparse.Namespace, names: list[str]) -> list[Run]:
    tasks = [
        (name, args.first_seed + seed, args.samples, args.initial, args.batch, args.to_target)
        for name in names
        for seed in range(args.seeds)
    ]
    setup = _setup(args)
    if args.jobs == 1:
        _prepare(*setup)
        return [_run(task) for task in tasks]
    with ProcessPoolExecutor(args.jobs, mp_context=get_context("spawn"), initializer=_prepare, initargs=setup) as pool:
        return list(pool.map(_run, tasks))


def _setup(args: argparse.Namespace) -> tuple[Any, ...]:
    return args.table, args.maximize, args.minimize, _cheap(args), args.reference, args.every_row


def _cheap(args: argparse.Namespace) -> tuple[str, float] | None:
    return (args.cheap, args.cheap_cost) if args.cheap else None


def report(benchmark: Benchmark, runs: list[Run], samples: int) -> None:
    """Print one line for each strategy."""
    points = [k for k in CHECKPOINTS if k <= samples] or [samples]
    final = max(k for k in points if k <= 200) if points[0] <= 200 else points[0]
    names = list(dict.fromkeys(run.strategy for run in runs))
    print("missing hypervolume (mean over seeds) after n evaluations; evaluations to 99 %: geometric mean and")
    print(f"median, runs that never reach it counted as {samples}, and the share that do; p: Wilcoxon")
    print(f"over seeds against {names[0]}, evaluations to 99 % / gap at {final}; cost99: with low-fidelity evaluations")
    head = "".join(f"{'n=' + str(k):>8}" for k in points)
    named = f"{'log10':>7}{'geo99':>7}{'cost99':>7}{'med99':>7}{'share':>6}{'front':>7}{'s/prop':>8}"
    print(f"{'strategy':<16}{head}{named}  p")
    ours: tuple[np.ndarray, np.ndarray] | None = None
    for name in names:
        mine = sorted((run for run in runs if run.strategy == name), key=lambda run: run.seed)
        gaps = np.array([padded(benchmark.gaps(run.rows), samples) for run in mine])
        reached = [evaluations_to_target(g) for g in gaps]
        counts = np.array([samples if r is None else r for r in reached], dtype=float)
        costs = np.array([run.costs[-1 if r is None else r - 1] for run, r in zip(mine, reached, strict=True)])
        share = np.mean([r is not None for r in reached])
        front = np.mean([len(benchmark.front & set(run.rows)) / len(benchmark.front) for run in mine])
        cells = "".join(f"{gaps[:, k - 1].mean():>8.4f}" for k in points)
        log = np.log10(np.maximum(gaps[:, final - 1], 1e-6)).mean()
        seconds = np.mean([run.overhead_s for run in mine])
        current = (counts, gaps[:, final - 1])
        ours = ours or current
        p = "" if current is ours else " / ".join(f"{paired_p(a, b):.3f}" for a, b in zip(ours, current, strict=True))
        print(
            f"{name:<16}{cells}{log:>7.2f}{geometric(counts):>7.0f}{geometric(costs):>7.0f}{np.median(counts):>7.0f}"
            f"{share:>6.2f}{front:>7.2f}{seconds:>8.4f}  {p}"
        )


def _write(path: Path, args: argparse.Namespace, benchmark: Benchmark, runs: list[Run]) -> None:
    trials: dict[str, dict[str, list[str]]] = {}
    overhead: dict[str, dict[str, float]] = {}
    for run in runs:
        trials.setdefault(run.strategy, {})[str(run.seed)] = [benchmark.archs[row] for row in run.rows]
        overhead.setdefault(run.strategy, {})[str(run.seed)] = run.overhead_s
    settings = {
        "table": args.table.name,
        "maximize": args.maximize,
        "minimize": args.minimize,
        "samples": args.samples,
        "seeds": args.seeds,
        "first_seed": args.first_seed,
        "initial": args.initial,
        "batch": args.batch,
        "to_target": args.to_target,
        "maximum": benchmark.maximum,
        "maximum_of_all_rows": benchmark.everything,
        "notes": benchmark.notes,
        "cheap": _cheap(args),
        "reference": args.reference,
        "every_row": args.every_row,
        "cost_of_each_evaluation": {
            run.strategy + "/" + str(run.seed): [round(c, 6) for c in run.costs] for run in runs if args.cheap
        },
        "overhead_s_per_proposal": overhead,
    }
    write_atomic(path, json.dumps({"settings": settings, "trials": trials}, indent=1))


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--table", type=Path, required=True, help="CSV (or .csv.gz) with a column arch")
    parser.add_argument("--maximize", action="append", required=True, help="expensive column to maximise")
    parser.add_argument(
        "--minimize", action="append", required=True, help="column of a cost to minimise, which is not learned"
    )
    parser.add_argument("--strategies", default="lamoo,nsga2,random", help=f"names: {', '.join(strategy_names())}")
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--initial", type=int, default=10)
    parser.add_argument("--batch", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument(
        "--to-target",
        action="store_true",
        help="end each run at 99 %% of the maximum (for slow strategies; the last gap is repeated)",
    )
    parser.add_argument("--cheap", help="column of low-fidelity values of the first maximised column")
    parser.add_argument(
        "--cheap-cost", type=float, default=0.06, help="cost of a low-fidelity evaluation, in full ones (default 0.06)"
    )
    parser.add_argument(
        "--reference",
        type=lambda text: [float(word) for word in text.split(",")],
        help="reference point in standard deviations from the mean (--reference=-1,-4); default: the worst values",
    )
    parser.add_argument(
        "--every-row", action="store_true", help="filter nothing; isomorphic cells are separate candidates"
    )
    parser.add_argument("--json", type=Path, help="JSON file for settings and trials")
    args = parser.parse_args(argv)
    if not 0 < args.cheap_cost < 1:
        parser.error("--cheap-cost must be between 0 and 1")
    if min(args.samples, args.seeds, args.initial, args.batch, args.jobs) < 1:
        parser.error("--samples, --seeds, --initial, --batch and --jobs must be 1 or more")
    return args


def main() -> int:
    """Run the comparison."""
    args = parse()
    names = [name.strip() for name in args.strategies.split(",") if name.strip()]
    try:
        for name in names:
            make_strategy(name)
        benchmark = load_benchmark(*_setup(args))
    except (SearchError, HwnasError) as error:
        print(f"bench_search: {error}", file=sys.stderr)
        return 2
    print(f"{', '.join(args.maximize)} (max) x {', '.join(args.minimize)} (min), {args.seeds} seeds,", end=" ")
    print(f"{args.initial} initial samples, batches of {args.batch}")
    for note in benchmark.notes:
        print(note)
    runs = _run_all(args, names)
    report(benchmark, runs, args.samples)
    if args.json:
        _write(args.json, args, benchmark, runs)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
