"""How well `hwnas fit` predicts a device from ten whole networks: NAS-Bench-201 latencies of many devices.

For every column of latencies: the table fitted to a few random rows, compared with all other connected rows, none
trimmed; means over the draws. In addition the column's noise floor (isomorphic cells with the same choices, over the
whole column), and simpler fits to the same rows.

    scripts/bench_fit.py FILE [--samples 10] [--draws 30] [--json OUT]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np  # noqa: E402

from hwnas import HwnasError  # noqa: E402
from hwnas.evaluators import BenchmarkTable  # noqa: E402
from hwnas.spaces import Space, make_space  # noqa: E402
from hwnas.tables import DEAD_CODE, Networks, describe, fit_model, left_out_ms, twins  # noqa: E402
from latency_tables import NoiseFloor, fit_correction, noise_floor, predictive_spread, write_atomic  # noqa: E402
from latency_tables.fitting import clock_quantum  # noqa: E402

ENDING = "_latency_ms"
SHOWN = ("spearman", "mape", "within_5", "within_10")
PUBLISHED = "HELP (Lee et al. 2021) publishes a mean Spearman of .932 with 10 samples, over six devices"


def subset(networks: Networks, rows: np.ndarray) -> Networks:
    """Select some of the networks."""
    _, classes = np.unique(networks.classes[rows], return_inverse=True)
    return replace(
        networks,
        counts=networks.counts[rows],
        chosen=networks.chosen[rows],
        wasteful=networks.wasteful[rows],
        classes=classes.reshape(-1),
    )


def statistics(predicted: np.ndarray, measured: np.ndarray) -> dict[str, float]:
    """Compute rank correlation, mean absolute relative error, shares of rows within 5 and 10 %."""
    from scipy.stats import rankdata

    errors = np.abs(predicted / measured - 1.0)
    ranks = np.corrcoef(rankdata(predicted), rankdata(measured))
    return {
        "spearman": float(ranks[0, 1]) if np.ptp(predicted) > 0 else 0.0,
        "mape": float(errors.mean()),
        "within_5": float((errors <= 0.05).mean()),
        "within_10": float((errors <= 0.10).mean()),
    }


def by_table(
    networks: Networks, latency: np.ndarray, rows: np.ndarray, dead_code: str
) -> tuple[np.ndarray, float, bool]:
    """Return predictions ``(n,)``, the half-width of intervals in log latency, and whether graphs run as written."""
    few, everyone = subset(networks, rows), np.arange(len(latency))
    quantum = clock_quantum(latency[rows])
    model = fit_model(few, latency[rows], np.arange(len(rows)), quantum, dead_code)
    left_out = left_out_ms(few, latency[rows], quantum, dead_code)
    corrected = fit_correction(left_out, latency[rows]).apply(model.predict(networks, everyone))
    return corrected, predictive_spread(left_out, latency[rows]), model.written


def by_macs(amounts: np.ndarray, latency: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Predict multiply-accumulates times the median ratio."""
    scaled: np.ndarray = amounts * np.median(latency[rows] / amounts[rows])
    return scaled


def by_nnls(counts: np.ndarray, latency: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Predict by plain non-negative least squares of relative errors on counts, with a constant."""
    from scipy.optimize import nnls

    columns = np.hstack([np.ones((len(counts), 1)), counts])
    prices, _ = nnls(columns[rows] / latency[rows, None], np.ones(len(rows)), maxiter=100 * columns.shape[1])
    predicted: np.ndarray = columns @ prices
    return predicted


def bench_column(networks: Networks, latency: np.ndarray, draws: list[np.ndarray], dead_code: str) -> dict[str, Any]:
    """Average every method's statistics over the draws; add coverage and worst case of the fitted tables."""
    work = networks.choice_work[:, :, 0].sum(axis=1)
    macs = networks.chosen @ work
    others: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "macs": lambda rows: by_macs(macs, latency, rows),
        "nnls_ops": lambda rows: by_nnls(networks.counts, latency, rows),
        "nnls_choices": lambda rows: by_nnls(networks.chosen[:, 1:], latency, rows),
    }
    by_method: dict[str, list[dict[str, float]]] = {name: [] for name in ("fit", *others)}
    coverage, written = [], []
    for rows in draws:
        rest = np.setdiff1d(np.arange(len(latency)), rows)
        predicted, spread, executed = by_table(networks, latency, rows, dead_code)
        by_method["fit"].append(statistics(predicted[rest], latency[rest]))
        coverage.append(float((np.abs(np.log(latency[rest] / predicted[rest])) <= spread).mean()))
        written.append(executed)
        for name, predict in others.items():
            by_method[name].append(statistics(predict(rows)[rest], latency[rest]))
    means = {name: {key: float(np.mean([s[key] for s in rows])) for key in SHOWN} for name, rows in by_method.items()}
    worst = {"worst_spearman": float(min(s["spearman"] for s in by_method["fit"]))}
    return {**means, **worst, "interval_coverage": float(np.mean(coverage)), "as_written": float(np.mean(written))}


def floor_of(networks: Networks, latency: np.ndarray) -> NoiseFloor:
    """Compute the column's noise floor."""
    pairs = np.array(twins(networks.classes))
    return noise_floor(latency[pairs[:, 0]], latency[pairs[:, 1]])


def load(path: Path, space: Space) -> tuple[BenchmarkTable, np.ndarray, Networks]:
    """Load the table, its connected rows, and those networks."""
    table = BenchmarkTable.load(path)
    archs = [space.parse(text) for text in table.archs]
    valid = np.flatnonzero(space.valid_codes(np.array([space.encode(arch) for arch in archs])))
    return table, valid, describe(space, [archs[row] for row in valid])


def line(name: str, cells: dict[str, Any], floor: dict[str, float]) -> str:
    """Format one row of the printed table."""
    ours = cells["fit"]
    others = "".join(f"{cells[key]['spearman']:>9.3f}" for key in ("macs", "nnls_ops", "nnls_choices"))
    return (
        f"{name:<18}{ours['spearman']:>9.3f}{ours['mape']:>8.1%}{ours['within_5']:>7.0%}{ours['within_10']:>7.0%}"
        f"{floor['median']:>9.1%}{floor['p90']:>8.1%}{cells['interval_coverage']:>9.0%}{others}"
    )


def average(columns: list[dict[str, Any]]) -> dict[str, Any]:
    """Average the columns; the result is nested as they are."""
    first = columns[0]
    return {
        key: average([c[key] for c in columns])
        if isinstance(value, dict)
        else float(np.mean([c[key] for c in columns]))
        for key, value in first.items()
    }


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("file", type=Path, help=f"CSV (or .csv.gz) with a column arch and columns ending in {ENDING}")
    parser.add_argument("--samples", type=int, default=10, help="number of rows that a table is fitted to")
    parser.add_argument("--draws", type=int, default=30)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--dead-code", choices=DEAD_CODE, default="auto")
    parser.add_argument("--json", type=Path, help="JSON file for the results")
    args = parser.parse_args(argv)
    if args.samples < 5 or args.draws < 1 or args.first_seed < 0:
        parser.error("--samples must be 5 or more, --draws 1 or more, --first-seed 0 or more")
    return args


def main() -> int:
    """Run the benchmark."""
    args = parse()
    try:
        table, connected, networks = load(args.file, make_space("nasbench201"))
        names = [name for name in table.columns if name.endswith(ENDING)]
        latencies = {name: table.column(name)[connected] for name in names}
    except HwnasError as error:
        print(f"bench_fit: {error}", file=sys.stderr)
        return 2
    if not names:
        print(f"bench_fit: {args.file} needs a column that ends in {ENDING}", file=sys.stderr)
        return 2
    seeds = range(args.first_seed, args.first_seed + args.draws)
    draws = [np.random.default_rng(s).choice(len(connected), args.samples, replace=False) for s in seeds]
    print(f"fitted to {args.samples} rows, tested on the other {len(connected) - args.samples} connected rows,")
    print(
        f"means over {args.draws} draws; noise floor: isomorphic cells with the same choices; intervals: share of test"
    )
    print("rows inside their 90 % interval; on the right, the Spearman of simpler fits to the same rows")
    print(f"{'':<18}{'Spearman':>9}{'MAPE':>8}{'5 %':>7}{'10 %':>7}{'floor':>9}{'p90':>8}{'interval':>9}", end="")
    print(f"{'MACs':>9}{'NNLS ops':>9}{'choices':>9}")
    columns: dict[str, dict[str, Any]] = {}
    for name in names:
        cells = bench_column(networks, latencies[name], draws, args.dead_code)
        columns[name] = {**cells, "noise_floor": asdict(floor_of(networks, latencies[name]))}
        print(line(name.removesuffix(ENDING), cells, columns[name]["noise_floor"]), flush=True)
    mean = average(list(columns.values()))
    print(line("mean", mean, mean["noise_floor"]))
    print(PUBLISHED)
    if args.json:
        settings = {"file": args.file.name, "samples": args.samples, "draws": args.draws, "dead_code": args.dead_code}
        record = {**settings, "first_seed": args.first_seed, "test_rows": len(connected) - args.samples}
        write_atomic(args.json, json.dumps({"settings": record, "mean": mean, "columns": columns}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
