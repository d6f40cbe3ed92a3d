"""How well latency tables predict whole networks, compared with simpler predictions.

scripts/bench_latency.py TABLE.json [TABLE.json ...] [-o docs/results/latency.json] [--as-measured]

Each table must be from this device. Its held-out networks and each of its operators, alone in its own session, are
measured now in the same interleaved rounds. Predictions from operators measured alone are compared with these
measurements; predictions from the table are compared with its own measurements of the same networks, taken in the same
rounds as its prices. "ours, later" compares the table with the networks as measured now:

    ours, nothing fitted           the table's prices and its cache curve
    ours, corrected                the same, corrected with ten other networks
    ours, later                    the same, compared with the networks measured now
    alone                          operators measured alone, summed
    alone minus dispatch           the same, minus the cost of an empty session for each
    MACs                           multiply-accumulates times a factor fitted to the ten networks of the correction
    additive fit                   prices fitted to the ten networks of the correction alone (hwnas fit)

With --as-measured nothing is measured: rows that need new measurements are left out.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from hwnas.spaces import Space
from hwnas.tables import backend_of, describe, fit_model, space_of
from latency_tables import OVERHEADS, LatencyTable, Op, OpGraph, agreement, load_table, noise_floor, write_atomic
from profilers import (
    Backend,
    SamplingSettings,
    Timer,
    at_one_speed,
    first_pass_name,
    graph_macs,
    network_label,
    ops,
    second_pass_name,
)

SETTINGS = SamplingSettings(min_rounds=20, max_rounds=40)


def main() -> None:
    """Compare the predictions of each table and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="+", type=Path, help="latency tables of this device")
    parser.add_argument("-o", "--output", type=Path, help="JSON file; results of other tables are kept")
    parser.add_argument("--as-measured", action="store_true", help="measure nothing and use only what the tables hold")
    options = parser.parse_args()
    results: dict[str, Any] = {}
    if options.output and options.output.exists():
        results = json.loads(options.output.read_text(encoding="utf-8"))
    for path in options.tables:
        results[path.stem] = result = compare(load_table(path), say, measuring=not options.as_measured)
        print(f"{path.stem}: {result['networks']} networks")
        for name, row in result["predictions"].items():
            print(
                f"  {name:22s} Spearman {row['spearman']:.4f}  MAPE {row['mape']:7.2%}  "
                f"within 5 % {row['within_5']:4.0%}  within 10 % {row['within_10']:4.0%}"
            )
        if options.output:
            options.output.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(options.output, json.dumps(results, indent=1) + "\n")


def say(text: str) -> None:
    """Print a progress line."""
    print(text, file=sys.stderr)


def compare(table: LatencyTable, progress: Callable[[str], None], *, measuring: bool = True) -> dict[str, Any]:
    """Measure networks and operators where `measuring`, and compare several predictions."""
    space = space_of(table)
    graphs = {n.arch: space.graph(space.parse(n.arch)) for n in table.networks}
    held = [n.arch for n in table.networks if n.split == "held-out"]
    fitting = {n.arch: n.latency_ms for n in table.networks if n.split == "calibration"}
    macs = np.array([graph_macs(graphs[arch]) for arch in held])
    factor = np.exp(np.median([np.log(ms / graph_macs(graphs[arch])) for arch, ms in fitting.items()]))
    unfitted = np.array([table.unfitted_graph_ms(graphs[arch]) for arch in held])
    then = np.array([n.latency_ms for n in table.networks if n.split == "held-out"])
    held_graphs = [graphs[arch] for arch in held]
    corrected = table.correction.apply(unfitted)
    predictions = {"ours, nothing fitted": (unfitted, then), "ours, corrected": (corrected, then)}
    floor = None
    if measuring:
        backend = backend_of(table, space)
        table.require_identity(backend.identity())
        alone, empty, measured, repeat = measure(backend, table, held_graphs, progress)
        now, floor = np.sqrt(measured * repeat), asdict(noise_floor(measured, repeat))
        predictions["ours, later"] = (corrected, now)
        predictions["alone"] = (summed(alone, 0.0, held_graphs), now)
        predictions["alone minus dispatch"] = (empty + summed(alone, empty, held_graphs), now)
    predictions["MACs"] = (factor * macs, then)
    predictions["additive fit"] = (fitted(space, fitting, held), then)
    return {
        "space": dict(table.space),
        "identity": dict(table.identity),
        "networks": len(held),
        "noise_floor": floor,
        "table_validation": table.validation.as_dict() if table.validation else None,
        "predictions": {
            name: {**asdict(agreement(x, y)), "predicted_ms": rounded(x), "measured_ms": rounded(y)}
            for name, (x, y) in predictions.items()
        },
    }


def fitted(space: Space, fitting: dict[str, float], held: Sequence[str]) -> Any:
    """Predict as `hwnas fit` does from the networks of the correction alone."""
    networks = describe(space, [space.parse(arch) for arch in [*fitting, *held]])
    rows = np.arange(len(fitting))
    model = fit_model(networks, np.array([*fitting.values(), *np.ones(len(held))]), rows, 0.0, "removed")
    return model.predict(networks, np.arange(len(fitting), len(fitting) + len(held)))


def measure(
    backend: Backend, table: LatencyTable, networks: Sequence[OpGraph], progress: Callable[[str], None]
) -> tuple[dict[Op, float], float, Any, Any]:
    """Measure ops alone, an empty session, and the networks twice with their own sessions; milliseconds."""
    measured = [op for op in table.entries if op.kind not in OVERHEADS]
    runnables = {op.key: backend.load(OpGraph.single(op)) for op in measured}
    runnables["empty"] = backend.load(OpGraph.single(ops.activation((8, 1, 1), "relu")))
    names = [network_label(i) for i in range(len(networks))]
    for number, named in ((1, str), (2, second_pass_name)):
        runnables |= {named(n): backend.load(graph, seed=number) for n, graph in zip(names, networks, strict=True)}
    progress(f"measuring {len(runnables)} graphs")
    samples = at_one_speed(Timer(runnables, SETTINGS).run(), first_pass_name).samples
    ms = {name: sample_set.quantile() * 1e3 for name, sample_set in samples.items()}
    first, second = (np.array([ms[named(name)] for name in names]) for named in (str, second_pass_name))
    return {op: ms[op.key] for op in measured}, ms["empty"], first, second


def summed(prices: dict[Op, float], less: float, graphs: Sequence[OpGraph]) -> Any:
    """Sum the prices of each graph, each minus `less` but not below zero."""
    return np.array([sum(max(0.0, prices[op] - less) * n for op, n in graph.op_counts.items()) for graph in graphs])


def rounded(values: Any) -> list[float]:
    """Round values to five significant digits."""
    return [float(f"{value:.5g}") for value in values]


if __name__ == "__main__":
    main()
