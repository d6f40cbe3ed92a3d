"""Search once for several devices that others have measured, and hold the fronts against each other.

    scripts/bench_fitted_devices.py FILE --runs FOLDER -o fitted-devices.json [--seeds 3]
    scripts/bench_fitted_devices.py FILE --data CIFAR10 --runs FOLDER -o fitted-supernet.json

FILE holds NAS-Bench-201's networks: accuracies, and latencies on many devices. The table of each device is fitted to a
few random networks (`hwnas.fit`). One search serves all devices (`--tables`), with the accuracies of FILE, or with
those of a supernet that is trained on ``--data``. Each device's front follows from its fitted table, as `hwnas.predict`
tells latencies: FILE's networks execute zeros and dead branches, which the networks that hwnas delivers do not have.
What the networks of all fronts really take on each device is looked up in FILE. The hypervolume of each front on each
device is that of the accuracy and the logarithm of the latency, each scaled to the range of all networks on that
device. An interrupted search continues.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import sys
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from _fronts import compared_fronts, front_of
from _progress import say

import hwnas
from hwnas.run_directories import read_trials
from hwnas.spaces import Space, make_space
from latency_tables import load_table, write_atomic

SPACE = "nasbench201"
COLUMN = "_latency_ms"


def main() -> None:
    """Fit, search, compare and write."""
    options = _options()
    if options.data is None:
        source: dict[str, Any] = {"evaluator": f"table:{options.file}", "accuracy_column": options.accuracy_column}
    else:
        source = {"data": str(options.data), "data_limit": options.limit, "epochs": options.epochs}
    with gzip.open(options.file, "rt", encoding="utf-8", newline="") as stream:
        rows = {row["arch"]: row for row in csv.DictReader(stream)}
    times = {name: {arch: float(row[name + COLUMN]) for arch, row in rows.items()} for name in options.devices}
    results = []
    for seed in range(options.seeds):
        runs = options.runs / f"seed{seed}"
        tables = [fitted(rows, device, runs, options.fit, seed) for device in options.devices]
        hwnas.search(SPACE, out=runs / "run", tables=tables, samples=options.samples, seed=seed, progress=say, **source)
        trials = [record for record in read_trials(runs / "run" / "trials.jsonl") if record.failed is None]
        values = {trial.arch: trial.values["accuracy"] for trial in trials}
        prices = {device: load_table(table) for device, table in zip(options.devices, tables, strict=True)}
        fronts = {
            device: front_of({arch: (value, hwnas.predict(read, arch).latency_ms) for arch, value in values.items()})
            for device, read in prices.items()
        }
        volumes = compared_fronts(fronts, times)
        results.append({"fronts": fronts, "hypervolumes": volumes})
        for device, others in volumes.items():
            say(f"seed {seed}, {device}: {', '.join(f'front of {name} {v:.4f}' for name, v in others.items())}")
    facts = {name: getattr(options, name) for name in ("devices", "fit", "samples")}
    trained = None if options.data is None else {"limit": options.limit, "epochs": options.epochs}
    write_atomic(options.output, json.dumps({**facts, "trained": trained, "seeds": results}, indent=1) + "\n")


def fitted(rows: Mapping[str, Mapping[str, str]], device: str, runs: Path, networks: int, seed: int) -> Path:
    """Fit the table of a device to random networks, if there is none yet; return its file."""
    source, table = runs / f"{device}.csv", runs / f"{device}.json"
    if table.exists():
        return table
    space, archs = make_space(SPACE), list(rows)
    drawn = (archs[number] for number in np.random.default_rng(seed).permutation(len(archs)).tolist())
    connected = islice((arch for arch in drawn if has_path(space, arch)), networks)
    lines = ["arch,latency_ms", *(f"{arch},{rows[arch][device + COLUMN]}" for arch in connected)]
    runs.mkdir(parents=True, exist_ok=True)
    write_atomic(source, "\n".join(lines) + "\n")
    hwnas.fit(source, space, latency_column="latency_ms", device=device, out=table, seed=seed)
    return table


def has_path(space: Space, arch: str) -> bool:
    """Return whether a cell computes anything."""
    try:
        space.graph(space.parse(arch))
    except hwnas.HwnasError:
        return False
    return True


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="NAS-Bench-201 with latencies, .csv.gz")
    parser.add_argument("--data", type=Path, help="images to train a supernet on (default: accuracies of the file)")
    parser.add_argument("--runs", type=Path, required=True, help="folder for tables and search")
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON file for the result")
    parser.add_argument("--devices", nargs="+", default=["samsung_s7", "eyeriss"], help="columns before _latency_ms")
    parser.add_argument("--fit", type=int, default=100, help="networks that a table is fitted to (default 100)")
    parser.add_argument("--limit", type=int, default=4000, help="images to train and validate on (default 4000)")
    parser.add_argument("--epochs", type=int, default=8, help="epochs of the supernet (default 8)")
    parser.add_argument("--samples", type=int, default=200, help="trials (default 200)")
    parser.add_argument("--seeds", type=int, default=1, help="searches, each with tables of its own (default 1)")
    parser.add_argument("--accuracy-column", default="cifar10_test_acc", help="column (default cifar10_test_acc)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
