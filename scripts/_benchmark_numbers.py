"""Numbers of search benchmarks: curves, comparisons, and the runs behind docs/benchmarks.md condensed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

FIRST = "lamoo"
TARGET = 0.01

Row = dict[str, Any]


def condense(table: Path, files: list[Path]) -> dict[str, Any]:
    """Compute evaluations to 99 %, final gaps and mean curves, by pair and strategy, and for the other settings."""
    from _bench_search_problem import load_benchmark

    results: dict[str, Any] = {"pairs": {}, "cheap": {}, "paper": {}}
    for file in files:
        data = json.loads(file.read_text())
        settings = data["settings"]
        best, least = settings["maximize"], settings["minimize"]
        scaled = settings.get("reference"), settings.get("every_row", False)
        benchmark = load_benchmark(table, best, least, None, *scaled)
        row_of = {arch: index for index, arch in enumerate(benchmark.archs)}
        kind = "cheap" if settings.get("cheap") else "paper" if settings.get("reference") else "pairs"
        fresh = {"notes": benchmark.notes, "maximum": benchmark.maximum * benchmark.unit, "rows": {}}
        pair = results[kind].setdefault(f"{' '.join(best)} x {' '.join(least)}", fresh)
        for name, seeds in data["trials"].items():
            curves = {seed: benchmark.gaps([row_of[arch] for arch in archs]) for seed, archs in seeds.items()}
            costs = {seed: settings.get("cost_of_each_evaluation", {}).get(f"{name}/{seed}") for seed in seeds}
            _take_in(pair["rows"].setdefault(name, {}), curves, costs, settings)
    return results


def _take_in(row: Row, curves: dict[str, np.ndarray], costs: dict[str, Any], settings: dict[str, Any]) -> None:
    """Add the runs of one file to a strategy's row; the first file that has a seed decides its evaluations to 99 %."""
    cap, whole = settings["samples"], not settings.get("to_target")
    reached = row.setdefault("evaluations_to_99", {})
    for seed, curve in curves.items():
        if seed not in reached:
            reached[seed] = evaluations_to_target(curve)
            row.setdefault("caps", {})[seed] = cap
            if costs[seed] is not None:
                row.setdefault("cost_to_99", {})[seed] = costs[seed][(reached[seed] or len(curve)) - 1]
        if whole:
            row.setdefault("gap_at_end", {})[seed] = float(f"{curve[-1]:.4g}")
    if whole and "mean_gap" not in row:
        mean = np.mean([padded(curve, cap) for curve in curves.values()], axis=0)
        row["mean_gap"] = [float(f"{value:.4g}") for value in mean]


def evaluations_to_target(gaps: np.ndarray) -> int | None:
    """Count the evaluations until 99 % of the maximal hypervolume; `None` when a run never reaches it."""
    there = np.flatnonzero(gaps <= TARGET)
    return int(there[0]) + 1 if len(there) else None


def paired_p(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Return the p-value of a two-sided Wilcoxon signed-rank test over seeds; 1 where all seeds are equal."""
    from scipy.stats import wilcoxon

    if (ours == theirs).all():
        return 1.0
    return float(wilcoxon(ours, theirs).pvalue)


def padded(gaps: np.ndarray, samples: int) -> np.ndarray:
    """Repeat the last gap where a run ended early because no candidates were left."""
    return np.concatenate([gaps, np.repeat(gaps[-1:], max(0, samples - len(gaps)))])


def geometric(values: list[float] | np.ndarray) -> float:
    """Return the geometric mean."""
    return float(np.exp(np.mean(np.log(values))))


def counts(row: Row) -> dict[str, float]:
    """Return the evaluations to 99 % by seed; a run that never reaches it counts with all its evaluations."""
    return {s: float(row["caps"][s] if v is None else v) for s, v in row["evaluations_to_99"].items()}


def is_bound(row: Row) -> bool:
    """Return whether runs were stopped before they reached 99 %, so that the counts are lower bounds."""
    return "mean_gap" not in row and any(v is None for v in row["evaluations_to_99"].values())


def compared(pairs: dict[str, Any], ours: str, theirs: str) -> tuple[float, int, int, int, int]:
    """Return the ratio of evaluations to 99 % (theirs to ours), pairs won and lost by `ours` (p < .05), pairs, runs."""
    ratios, won, lost, runs = [], 0, 0, 0
    for pair in pairs.values():
        if ours not in pair["rows"] or theirs not in pair["rows"]:
            continue
        a, b = counts(pair["rows"][ours]), counts(pair["rows"][theirs])
        seeds = sorted(set(a) & set(b))
        mine, other = np.array([a[s] for s in seeds]), np.array([b[s] for s in seeds])
        ratios.append(geometric(other) / geometric(mine))
        clear = paired_p(mine, other) < 0.05
        won += int(clear and ratios[-1] > 1)
        lost += int(clear and ratios[-1] < 1)
        runs += len(seeds)
    return geometric(ratios), won, lost, len(ratios), runs


def gap_at_end(pairs: dict[str, Any], name: str) -> float | None:
    """Return the mean gap after all evaluations; None where no run continued to the end."""
    rows = [pair["rows"].get(name, {}).get("gap_at_end", {}) for pair in pairs.values()]
    means = [np.mean(list(row.values())) for row in rows if row]
    return float(np.mean(means)) if means else None


def strategies_of(pairs: dict[str, Any]) -> list[str]:
    """List all strategies, fewest evaluations first."""
    names = {name for pair in pairs.values() for name in pair["rows"]}
    return sorted(names, key=lambda name: compared(pairs, FIRST, name)[0])
