"""Summarises JSON files of bench_search over several pairs of columns.

    python scripts/_bench_search_summary.py --table FILE RUN.json [RUN.json ...]

Files of the same pair are merged. For every strategy: evaluations to 99 % of the maximal hypervolume as
geometric mean over all pairs and seeds and over each pair, the ratio to the first strategy's, the mean gap
at the last checkpoint, and a Wilcoxon signed-rank test over the seeds of each pair (how many pairs the
first strategy wins or loses at p < 0.05).
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from _bench_search_problem import load_benchmark
from bench_search import _padded, _paired_p, evaluations_to_target

Pair = tuple[tuple[str, ...], tuple[str, ...]]
Gaps = dict[str, dict[int, np.ndarray]]


def collect(table: Path, files: list[Path]) -> tuple[dict[Pair, Gaps], int]:
    """Gap curves by pair, strategy and seed, and the fewest samples of any file."""
    pairs: dict[Pair, Gaps] = {}
    samples = 10**9
    for file in files:
        data = json.loads(file.read_text())
        settings = data["settings"]
        samples = min(samples, settings["samples"])
        key = (tuple(settings["maximize"]), tuple(settings["minimize"]))
        benchmark = load_benchmark(table, list(key[0]), list(key[1]))
        row = {arch: index for index, arch in enumerate(benchmark.archs)}
        for name, seeds in data["trials"].items():
            for seed, archs in seeds.items():
                curve = benchmark.gaps([row[arch] for arch in archs])
                pairs.setdefault(key, {}).setdefault(name, {})[int(seed)] = curve
    return pairs, samples


def _counts(curves: dict[int, np.ndarray], samples: int) -> dict[int, float]:
    reached = {seed: evaluations_to_target(curve[:samples]) for seed, curve in curves.items()}
    return {seed: float(samples if value is None else value) for seed, value in reached.items()}


def _geometric(values: list[float]) -> float:
    return float(np.exp(np.log(values).mean()))


def summarise(pairs: dict[Pair, Gaps], samples: int, order: list[str] | None) -> None:
    """Prints one line for each strategy."""
    names = order or list(dict.fromkeys(name for gaps in pairs.values() for name in gaps))
    first = names[0]
    for number, pair in enumerate(pairs, start=1):
        print(f"pair {number}: {' '.join(pair[0])} x {' '.join(pair[1])}")
    print(f"{'strategy':<16}{'geo99':>7}{'ratio':>7}{'gap':>9}{'won':>5}{'lost':>5}{'runs':>6}   geo99 of each pair")
    for name in names:
        each, ratios, gap, won, lost, runs = [], [], [], 0, 0, 0
        for gaps in pairs.values():
            if name not in gaps or first not in gaps:
                continue
            mine, ours = _counts(gaps[name], samples), _counts(gaps[first], samples)
            seeds = sorted(set(mine) & set(ours))
            runs += len(seeds)
            a, b = np.array([ours[s] for s in seeds]), np.array([mine[s] for s in seeds])
            each.append(_geometric(b.tolist()))
            ratios.append(each[-1] / _geometric(a.tolist()))
            gap.append(np.mean([_padded(gaps[name][s], samples)[samples - 1] for s in seeds]))
            significant = name != first and _paired_p(a, b) < 0.05
            won += int(significant and ratios[-1] > 1)
            lost += int(significant and ratios[-1] < 1)
        if each:
            cells = " ".join(f"{value:4.0f}" for value in each)
            print(
                f"{name:<16}{_geometric(each):>7.1f}{_geometric(ratios):>7.2f}{np.mean(gap):>9.5f}"
                f"{won:>5}{lost:>5}{runs:>6}   {cells}"
            )


def main() -> int:
    """Reads the files and prints the summary."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--strategies", help="which, the first one being compared against")
    parser.add_argument("files", type=Path, nargs="+")
    args = parser.parse_args()
    pairs, samples = collect(args.table, args.files)
    summarise(pairs, samples, args.strategies.split(",") if args.strategies else None)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
