"""Writes docs/benchmarks.md and its picture from results of bench_search.

scripts/write_benchmarks.py --table FILE RUN.json [RUN.json ...]   # condense runs into docs/results/search.json first
scripts/write_benchmarks.py                                        # write the page from docs/results/search.json
"""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs" / "results" / "search.json"
PAGE = ROOT / "docs" / "benchmarks.md"
PICTURE = ROOT / "docs" / "benchmarks-search.png"
FIRST = "lamoo"
_PROTOCOL = """
NAS-Bench-201: test accuracy after 200 epochs (to maximise) against the latency measured on a device (known before
evaluation, to minimise). 10 initial samples, the same for every strategy of a seed, then batches of 5, {samples}
evaluations in all. Cells without a path from input to output are left out, isomorphic cells count once. The maximum is
that of the true front of all remaining cells; objectives are scaled to 0-1 over them. *Missing* is the share of the
maximal hypervolume still missing at the end. *To 99 %* is the geometric mean of the evaluations after which 1 % is
missing (runs that never get there count as all their evaluations); *ratio* is that of the same pairs and seeds to the
default strategy. Where fewer pairs or runs stand in a
row, the others were not run; rows with fewer than 20 seeds were measured somewhat earlier in the development.
"""
_READING = """
What comes from where: `qehvi` is the default's accuracy model and its exact latency without the partition. It is as
good as `lamoo` here: with a model this good, the tree has little left to do. Where the inner sampler has no model, the
partition helps: `lamoo-random` against `random`, `lamoo-cmaes` against `cmaes`, a little `lamoo-mutation` against
`mutation`.
`lamoo-faithful` has the published settings, done correctly.
"""
SHOWN = ("lamoo", "qehvi", "lamoo-mutation", "mutation", "nsga2", "tpe", "random")


def condense(table: Path, files: list[Path]) -> dict[str, Any]:
    """Mean gap curves and evaluations to 99 %, by pair and strategy."""
    from _bench_search_summary import collect
    from bench_search import _padded, evaluations_to_target

    pairs, samples = collect(table, files)
    found: dict[str, Any] = {"samples": samples, "pairs": {}}
    for (best, least), gaps in pairs.items():
        rows = {}
        for name, curves in sorted(gaps.items()):
            padded = {seed: _padded(curve, samples)[:samples] for seed, curve in curves.items()}
            reached = {str(seed): evaluations_to_target(curve) for seed, curve in sorted(padded.items())}
            mean = np.mean(list(padded.values()), axis=0)
            rows[name] = {"evaluations_to_99": reached, "mean_gap": [float(f"{value:.4g}") for value in mean]}
        found["pairs"][f"{' '.join(best)} x {' '.join(least)}"] = {
            "strategies": rows,
        }
    return found


def wrapped(text: str) -> list[str]:
    """A paragraph in lines of at most 118 characters."""
    return textwrap.wrap(" ".join(text.split()), 118, break_on_hyphens=False)


def geometric(values: list[float]) -> float:
    """Geometric mean."""
    return float(np.exp(np.mean(np.log(values))))


def counts(row: dict[str, Any], samples: int) -> dict[str, float]:
    """Evaluations to 99 % by seed; a run that never gets there counts as all its samples."""
    return {seed: float(samples if value is None else value) for seed, value in row["evaluations_to_99"].items()}


def rows_of(results: dict[str, Any]) -> list[tuple[str, float, float, float, float, int, int]]:
    """For each strategy: evaluations to 99 %, ratio to the default, share that got there, gap, pairs, runs."""
    samples, pairs = results["samples"], results["pairs"]
    rows = []
    for name in sorted({name for pair in pairs.values() for name in pair["strategies"]}):
        geo, ratio, share, gap, runs = [], [], [], [], 0
        for pair in pairs.values():
            row, ours = pair["strategies"].get(name), pair["strategies"].get(FIRST)
            if row is None or ours is None:
                continue
            mine, theirs = counts(row, samples), counts(ours, samples)
            seeds = sorted(set(mine) & set(theirs))
            geo.append(geometric([mine[s] for s in seeds]))
            ratio.append(geo[-1] / geometric([theirs[s] for s in seeds]))
            share.append(float(np.mean([value is not None for value in row["evaluations_to_99"].values()])))
            gap.append(row["mean_gap"][samples - 1])
            runs += len(seeds)
        rows.append(
            (name, geometric(geo), geometric(ratio), float(np.mean(share)), float(np.mean(gap)), len(geo), runs)
        )
    return sorted(rows, key=lambda row: row[2])


def draw(results: dict[str, Any]) -> None:
    """Mean gap over evaluations, one panel a pair."""
    from matplotlib.figure import Figure

    pairs = results["pairs"]
    figure = Figure(figsize=(11, 2.6 * ((len(pairs) + 1) // 2)), dpi=110, layout="constrained")
    panels = figure.subplots((len(pairs) + 1) // 2, 2, sharex=True, squeeze=False)
    for axes, (title, pair) in zip(panels.flat, sorted(pairs.items()), strict=False):
        for name in SHOWN:
            if name in pair["strategies"]:
                curve = np.maximum(pair["strategies"][name]["mean_gap"], 1e-5)
                axes.plot(np.arange(1, len(curve) + 1), curve, label=name, linewidth=2.0 if name == FIRST else 1.1)
        axes.set_yscale("log")
        axes.set_title(title, fontsize=9)
        axes.grid(color="#e6e9ec", linewidth=0.6)
        axes.axhline(0.01, color="black", linewidth=0.7, linestyle=":")
    for axes in panels[-1]:
        axes.set_xlabel("evaluated architectures")
    for axes in panels[:, 0]:
        axes.set_ylabel("missing hypervolume")
    panels[0][0].legend(fontsize=7, ncols=2, frameon=False)
    figure.savefig(PICTURE)


def page(results: dict[str, Any]) -> str:
    """The page as Markdown."""
    lines = [
        "# Benchmarks",
        "",
        "Written by `scripts/write_benchmarks.py` from `docs/results/search.json`; do not edit by hand.",
        "",
        "## Search",
        "",
        *wrapped(_PROTOCOL.format(samples=results["samples"])),
        "",
        "| strategy | to 99 % | ratio | got there | missing at the end | pairs | runs |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, geo, ratio, share, gap, pairs, runs in rows_of(results):
        lines.append(f"| `{name}` | {geo:.0f} | {ratio:.2f} | {share:.0%} | {gap:.5f} | {pairs} | {runs} |")
    lines += [
        "",
        "Evaluations to 99 % for each pair:",
        "",
        "| pair | " + " | ".join(f"`{name}`" for name in SHOWN) + " |",
        "|---|" + "---|" * len(SHOWN),
    ]
    for title, pair in sorted(results["pairs"].items()):
        cells = []
        for name in SHOWN:
            row = pair["strategies"].get(name)
            cells.append(f"{geometric(list(counts(row, results['samples']).values())):.0f}" if row else "-")
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    lines += [
        "",
        *wrapped(_READING),
    ]
    lines += ["", f"![Missing hypervolume over evaluations]({PICTURE.name})", ""]
    return "\n".join(lines)


def main() -> int:
    """Condenses runs, if any are given, and writes the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--table", type=Path, help="the benchmark table that the runs were made on")
    parser.add_argument("files", type=Path, nargs="*", help="files that bench_search wrote with --json")
    args = parser.parse_args()
    if args.files:
        if args.table is None:
            parser.error("--table is needed to condense runs")
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(condense(args.table, args.files)) + "\n", encoding="utf-8")
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    draw(results)
    PAGE.write_text(page(results), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
