"""Compare one-shot methods on NAS-Bench-201 with its known accuracies in place of training.

    scripts/bench_oneshot_tabular.py --table nasbench201.csv.gz          # all parts, some minutes
    scripts/bench_oneshot_tabular.py --table FILE --part sweep           # one part; the others keep their results
    scripts/bench_oneshot_tabular.py                                     # write the section of the page again

The script writes docs/results/oneshot-tabular.json and the section of docs/oneshot.md.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np  # noqa: E402
from _page import wrapped  # noqa: E402

from latency_tables import write_atomic  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "oneshot.md"
RESULT = ROOT / "docs" / "results" / "oneshot-tabular.json"
BEGIN, END = "<!-- written by scripts/bench_oneshot_tabular.py -->", "<!-- end -->"
PARTS = ("drnas", "sweep", "conditioned", "ddpnas", "budgets")
NAMES = {
    "nasbench201-32px-1-thread-intel-xeon": "CPU, 1 thread",
    "nasbench201-32px-2-threads-intel-xeon": "CPU, 2 threads",
    "nasbench201-32px-host-nvidia-h200": "GPU",
}


def run(path: Path, parts: list[str], result: dict[str, Any], seeds: int) -> None:
    """Run parts; each result is kept as soon as it is there."""
    from _oneshot_tabular import DEVICES, Known, conditioned, ddpnas, ddpnas_budgets, drnas, sweep

    known = Known.load(path)
    result["table"] = path.name
    for part in parts:
        if part == "drnas":
            result[part] = drnas(known, seeds)
        elif part == "sweep":
            for device in DEVICES:
                result.setdefault(part, {})[device] = sweep(known, max(1, seeds // 4), device)
                keep(result)
        elif part == "conditioned":
            result[part] = conditioned(known, max(1, seeds // 4))
        elif part == "ddpnas":
            result[part] = ddpnas(known, seeds)
        else:
            for name in NAMES:
                result.setdefault(part, {})[name] = ddpnas_budgets(known, max(1, seeds // 2), name)
                keep(result)
        keep(result)
        print(f"{part}: done")


def keep(result: dict[str, Any]) -> None:
    """Write the results file."""
    write_atomic(RESULT, json.dumps(rounded(result), indent=1) + "\n")


def rounded(value: Any) -> Any:
    """Round every float in nested data to 7 digits."""
    if isinstance(value, dict):
        return {key: rounded(own) for key, own in value.items()}
    if isinstance(value, list):
        return [rounded(own) for own in value]
    return float(f"{value:.7g}") if isinstance(value, float) else value


def passage(result: dict[str, Any]) -> str:
    """Write the section."""
    lines = wrapped(
        """A method knows neither weights nor data, so known accuracies can take the place of training. With the 15,625
        accuracies of NAS-Bench-201 (CIFAR-10, test, after 200 epochs) the expected accuracy of a distribution is exact:
        `TabularExpectation` contracts the table with the six vectors of probabilities, with gradients. The loss is one
        minus that expectation. What follows tests the rule by which a method learns, without what weight sharing does
        to it: no figure here says how well a method works where it trains."""
    )
    lines += [*drnas_passage(result["drnas"]), *sweep_passage(result), *ddpnas_passage(result)]
    return "\n".join(lines).rstrip()


def drnas_passage(part: dict[str, Any]) -> list[str]:
    """Write what DrNAS finds without costs."""
    rows = [
        f"| {name} | {own['published']} of {part['seeds']} | {np.mean(own['accuracies']):.2f} | "
        f"{min(own['accuracies']):.2f} | {own['seconds']:.1f} s |"
        for name, own in ((name, part[name]) for name in ("default", "one stage", "KL"))
    ]
    return [
        *wrapped(
            f"""**DrNAS without costs**, {part["epochs"]} epochs of {part["steps"]} steps, {part["seeds"]} seeds. The
            published cell is the one that the paper's runs found on this benchmark; the table's best accuracy is
            {part["best"]:.2f} %."""
        ),
        "| variant | published cell | mean accuracy (%) | worst | a run took |",
        "|---|---|---|---|---|",
        *rows,
        "",
    ]


def sweep_passage(result: dict[str, Any]) -> list[str]:
    """Write how much of the true front a sweep of weights reaches, and the conditioned network beside it."""
    sweeps, one = result["sweep"], result["conditioned"]
    rows = []
    for device, own in sweeps.items():
        cells = [own["shares"], one["shares"][device], one["shares_of_64_weights"][device]]
        listed = " | ".join(f"{np.mean(part):.3f} ({min(part):.3f})" for part in cells)
        rows.append(f"| `{device}` | {own['front']} | {listed} |")
    first = next(iter(sweeps.values()))
    weights = first["weights"]
    return [
        *wrapped(
            f"""**A front by DrNAS**: {len(weights)} weights of the latency from {weights[0]:g} to {weights[-1]:g} (as a
            share of the median latency), `goal=weight`, each a training of {first["epochs"]} epochs of {first["steps"]}
            steps. The latency is the expectation of the device's published column. The share is that of the true
            front's hypervolume (reference and isomorphic cells as in [benchmarks](benchmarks.md)): mean and worst of
            {len(first["shares"])} seeds. Beside it *one network* that maps the weight and the device's latencies to the
            concentrations (the idea of MODNAS, arXiv 2402.18213), trained for all four devices in as many steps as the
            sweeps take together; afterwards it gives a distribution for any weight
            ({len(next(iter(one["shares"].values())))} seed; its settings were hardly tuned)."""
        ),
        f"| device | cells of the front | sweep | one network, {len(weights)} weights | one network, 64 weights |",
        "|---|---|---|---|---|",
        *rows,
        "",
        *wrapped(verdict(sweeps, one)),
    ]


def verdict(sweeps: dict[str, Any], one: dict[str, Any]) -> str:
    """Say which of the two reaches more at equal steps."""
    mean = {
        "sweep": float(np.mean([own["shares"] for own in sweeps.values()])),
        "one": float(np.mean(list(one["shares"].values()))),
        "dense": float(np.mean(list(one["shares_of_64_weights"].values()))),
    }
    best = max(mean["one"], mean["dense"])
    kept = (
        "It is not part of the package." if best <= mean["sweep"] + 0.005 else "It needs one training in place of many."
    )
    return f"""On average over devices the sweep reaches {mean["sweep"]:.3f}, the one network {mean["one"]:.3f} with the
        same weights and {mean["dense"]:.3f} with 64. {kept}"""


def ddpnas_passage(result: dict[str, Any]) -> list[str]:
    """Write what DDPNAS finds without and with budgets."""
    part, rows = result["ddpnas"], []
    for name, own in result["budgets"].items():
        trials = own["rows"]
        over = sum(row["latency_ms"] > row["budget_ms"] or row["constrained_ms"] > row["budget_ms"] for row in trials)
        apart = max(abs(row["accuracy"] - row["enumerated"]) for row in trials)
        cells = [
            np.mean([row["best"] - row[key] for row in trials]) for key in ("accuracy", "constrained", "random_of_42")
        ]
        regrets = " | ".join(f"{cell:.2f}" for cell in cells)
        rows.append(f"| {NAMES[name]} | {over} of {2 * len(trials)} | {apart:.2f} | {regrets} |")
    trials = next(iter(result["budgets"].values()))["rows"]
    seeds, budgets = len({row["seed"] for row in trials}), len({row["quantile"] for row in trials})
    return [
        *wrapped(
            f"""**DDPNAS**, {part["epochs"]} draws, {part["seeds"]} seeds: {np.mean(part["accuracies"]):.2f} %
            (standard deviation {np.std(part["accuracies"]):.2f}). The best of {part["epochs"]} random cells has
            {np.mean(part["best_of_42_random"]):.2f} % ({np.std(part["best_of_42_random"]):.2f}): with true accuracies
            the method does not beat random draws; what it learns is a distribution from few draws of shared
            weights."""
        ),
        *wrapped(
            f"""Under {budgets} latency budgets (10 to 90 % of all cells are within) on three devices by their
            [measured tables](tables.md), {seeds} seeds. *One theta*: learned without a budget, solved for each budget
            and device. *Within the budget*: drawn and pruned within it. Both, and the best of 42 random cells within
            the budget, are compared with the most accurate cell within the budget."""
        ),
        "| device | over budget | one theta: from its most probable cell by enumeration | missing: one theta | "
        "within the budget | best of 42 random |",
        "|---|---|---|---|---|---|",
        *rows,
        "",
        "The last four columns are percentage points of accuracy: the second the largest difference, the others means.",
        "",
    ]


def with_passage(page: str, text: str) -> str:
    """Replace the passage between the two comments of the page."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END, 1)
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"


def main(arguments: list[str] | None = None) -> int:
    """Run the parts and write the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, help="CSV (or .csv.gz) with a column arch; without it nothing is run")
    parser.add_argument("--part", action="append", choices=PARTS, help="part to run (default: all)")
    parser.add_argument("--seeds", type=int, default=20, help="seeds; sweeps take a quarter of them, budgets half")
    args = parser.parse_args(arguments)
    if args.seeds < 1:
        parser.error(f"--seeds must be 1 or more, got {args.seeds}")
    result = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {}
    if args.table is not None:
        run(args.table, args.part or list(PARTS), result, args.seeds)
    missing = [part for part in PARTS if part not in result]
    if missing:
        print(f"bench_oneshot_tabular: no results of {', '.join(missing)} yet; run these parts", file=sys.stderr)
        return 2
    write_atomic(PAGE, with_passage(PAGE.read_text(encoding="utf-8"), passage(result)))
    print(f"wrote {RESULT} and the section in {PAGE}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
