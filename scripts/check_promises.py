"""Check that delivered networks keep what was said of them, by timing them again later.

    python scripts/check_promises.py retime runs/photos runs/cells -o again.json
    python scripts/check_promises.py budgets runs/budgets --csv nasbench201.csv --column cifar10_test_acc --table t.json
    python scripts/check_promises.py budgets runs/budgets --again

``retime`` times the networks of finished runs beside the references of their tables. ``budgets`` runs 20 searches: with
budgets at the 20th and the 60th percentile of the space's prices, for the median and for p99, with 5 seeds each. With
``--again`` it times the networks of all of them once more. Both write JSON, and print how often a value lies within the
half-width that its run stated, and which networks that a run says to be within its budget exceed it by more than that.
The exit code is 1 where there is one.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import hwnas
from hwnas.costs import SpaceCosts
from hwnas.run_directories import Run, retime_run
from hwnas.tables import space_of
from latency_tables import load_table, write_atomic
from profilers import STATISTICS

LATENCY = "latency_ms"
PERCENTILES = (20, 60)
BOUND = ("median", "p99")
DRAWN = 2000
"""Networks whose prices the percentiles come from."""


def again(path: Path, seed: int) -> dict[str, Any]:
    """Time the networks of a run again, and compare them with what the run says.

    Args:
        path: The run directory.
        seed: Seeds the orders of loading and timing.
    """
    run = Run.open(path)
    timed = retime_run(path, seed=seed, progress=print)
    networks = [_compared(network, timed[network["id"]]) for network in run.pareto()]
    upper = run.settings.budgets.get(LATENCY)
    for network in networks:
        stated = network["times"][network["statistic"]]
        network["over_by_more_than_stated"] = bool(
            upper is not None and network["within_budget"] and stated["again_ms"] - stated["half_width_ms"] > upper
        )
    return {"run": str(path), "budget_ms": upper, "networks": networks, "when": time.time()}


def _compared(network: Mapping[str, Any], timed: Any) -> dict[str, Any]:
    """Return a network's times by statistic: stated, again, and how far these are apart in stated half-widths."""
    latency = network[LATENCY]
    times = {}
    for name in STATISTICS:
        stated, half_width = latency.get("at_table_speed", latency["raw"])[name], latency["half_widths"][name]
        value = timed.time.at_table_speed[name]
        times[name] = {
            "stated_ms": stated,
            "half_width_ms": half_width,
            "again_ms": value,
            "deviation": (value - stated) / half_width,
        }
    return {
        "id": network["id"],
        "statistic": latency["statistic"],
        "within_budget": network["within_budget"],
        "slowness_then": latency["slowness"],
        "slowness_now": timed.slowness,
        "times": times,
    }


def report(results: Sequence[Mapping[str, Any]]) -> int:
    """Print how often values lie within stated half-widths; return the number of broken promises."""
    networks = [network for result in results for network in result["networks"]]
    for name in STATISTICS:
        deviations = [abs(network["times"][name]["deviation"]) for network in networks]
        changes = [abs(math.log(n["times"][name]["again_ms"] / n["times"][name]["stated_ms"])) for n in networks]
        widths = [n["times"][name]["half_width_ms"] / n["times"][name]["stated_ms"] for n in networks]
        share = sum(deviation <= 1 for deviation in deviations) / len(deviations)
        print(
            f"{name:6s} {share:.0%} of {len(deviations)} values within the stated half-width; it is "
            f"{statistics.median(widths):.1%} in the median, the difference {statistics.median(changes):.1%}"
        )
    broken = [
        f"{result['run']} {network['id']}"
        for result in results
        for network in result["networks"]
        if network["over_by_more_than_stated"]
    ]
    within = sum(network["within_budget"] for network in networks)
    print(f"{len(broken)} of {within} networks that were within the budget exceed it by more than was stated")
    for name in broken:
        print(f"broken: {name}")
    return len(broken)


def run_searches(options: argparse.Namespace) -> None:
    """Run the searches whose folders do not hold a finished one yet."""
    table = load_table(options.table)
    space = space_of(table)
    archs = space.sample(DRAWN, np.random.default_rng(0))
    prices = SpaceCosts(space, table).latency_ms(np.array([space.encode(arch) for arch in archs]))
    for percentile in PERCENTILES:
        for statistic in BOUND:
            for seed in range(options.seeds):
                out = options.folder / f"p{percentile}-{statistic}-{seed}"
                if (out / "report.html").exists():
                    continue
                result = hwnas.search(
                    space.name,
                    out=out,
                    evaluator=f"table:{options.csv}",
                    accuracy_column=options.column,
                    table=options.table,
                    budgets={"latency": float(np.percentile(prices, percentile))},
                    latency_statistic=statistic,
                    measure=options.measure,
                    strategy=options.strategy,
                    samples=options.samples,
                    seed=seed,
                    **{"space_settings": dict(space.settings)},
                )
                kept = sum(network["within_budget"] for network in result.networks)
                print(f"{out}: {kept} of {len(result.networks)} networks within the budget", flush=True)


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    retime = commands.add_parser("retime", help="time the networks of finished runs again")
    retime.add_argument("runs", nargs="+", type=Path)
    budgets = commands.add_parser("budgets", help="run 20 searches with budgets, or time their networks again")
    budgets.add_argument("folder", type=Path)
    budgets.add_argument("--csv", type=Path, help="benchmark table with a column of accuracies")
    budgets.add_argument("--column", help="its column of accuracies")
    budgets.add_argument("--table", type=Path, help="latency table of nasbench201 on this device")
    budgets.add_argument("--measure", default="winners")
    budgets.add_argument("--strategy", default="lamoo")
    budgets.add_argument("--samples", type=int, default=35)
    budgets.add_argument("--seeds", type=int, default=5)
    budgets.add_argument("--again", action="store_true", help="time the networks of the searches again")
    for command in (retime, budgets):
        command.add_argument("--seed", type=int, default=int(time.time()) % 10**6, help="seed of the timing")
        command.add_argument("-o", "--out", type=Path, help="JSON file of the result")
    options = parser.parse_args()
    if options.command == "budgets" and not options.again:
        if None in (options.csv, options.column, options.table):
            parser.error("searches need --csv, --column and --table")
        run_searches(options)
        return 0
    runs = options.runs if options.command == "retime" else sorted(options.folder.glob("p*-*-*"))
    results = [again(path, options.seed) for path in runs]
    if options.out is not None:
        write_atomic(options.out, json.dumps(results, indent=1) + "\n")
    return 1 if report(results) else 0


if __name__ == "__main__":
    sys.exit(main())
