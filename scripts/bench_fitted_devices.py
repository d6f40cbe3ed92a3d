"""Search for several devices that others have measured, with one training, and hold the fronts against each other.

    scripts/bench_fitted_devices.py FILE --data CIFAR10 --runs FOLDER -o fitted-devices.json

FILE holds latencies of NAS-Bench-201's networks on many devices. The table of each device is fitted to a few random
networks (`hwnas.fit`). One supernet is trained and searched for all devices (`--tables`). Each device's front follows
from its fitted table; what the networks of all fronts really take on each device is looked up in FILE. The hypervolume
of each front on each device is that of the metric of the validation part and the logarithm of the latency, each scaled
to the range of all networks on that device. An interrupted search continues.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from _fronts import hypervolumes
from _progress import say

import hwnas
from hwnas.run_directories import read_trials
from hwnas.spaces import make_space
from latency_tables import write_atomic
from search import nondominated

SPACE = "nasbench201"
COLUMN = "_latency_ms"
MOST = 200
"""Rows that are looked at for each row to fit: some networks have no path from input to output."""


def main() -> None:
    """Fit, search, compare and write."""
    options = _options()
    with gzip.open(options.file, "rt", encoding="utf-8", newline="") as stream:
        rows = {row["arch"]: row for row in csv.DictReader(stream)}
    tables = {device: fitted(rows, device, options) for device in options.devices}
    hwnas.search(
        SPACE,
        out=options.runs / "run",
        tables=list(tables.values()),
        data=str(options.data),
        data_limit=options.limit,
        epochs=options.epochs,
        samples=options.samples,
        seed=options.seed,
        progress=say,
    )
    fronts = {device: front(options.runs / "run" / "devices" / device) for device in options.devices}
    volumes = {device: compared(fronts, rows, device) for device in options.devices}
    facts = {name: getattr(options, name) for name in ("devices", "fit", "limit", "epochs", "samples", "seed")}
    write_atomic(options.output, json.dumps({**facts, "fronts": fronts, "hypervolumes": volumes}, indent=1) + "\n")
    for device, others in volumes.items():
        say(f"on {device}: {', '.join(f'front of {name} {volume:.4f}' for name, volume in others.items())}")


def fitted(rows: Mapping[str, Mapping[str, str]], device: str, options: argparse.Namespace) -> Path:
    """Fit the table of a device to random networks, if there is none yet; return its file."""
    source, table = options.runs / f"{device}.csv", options.runs / f"{device}.json"
    if table.exists():
        return table
    space, rng = make_space(SPACE), np.random.default_rng(options.seed)
    lines = ["arch,latency_ms"]
    for number in rng.permutation(len(rows))[:MOST].tolist():
        arch = list(rows)[number]
        if has_path(arch) and len(lines) <= options.fit:
            lines.append(f"{arch},{rows[arch][device + COLUMN]}")
    options.runs.mkdir(parents=True, exist_ok=True)
    source.write_text("\n".join(lines) + "\n", encoding="utf-8")
    hwnas.fit(source, space, latency_column="latency_ms", device=device, out=table, seed=options.seed)
    return table


def has_path(arch: str) -> bool:
    """Return whether a cell computes anything."""
    space = make_space(SPACE)
    try:
        space.graph(space.parse(arch))
    except hwnas.HwnasError:
        return False
    return True


def front(run: Path) -> list[dict[str, Any]]:
    """Return the front of a device by its table."""
    trials = [record for record in read_trials(run / "trials.jsonl") if record.failed is None]
    points = np.array([[trial.values["accuracy"], -trial.values["latency_ms"]] for trial in trials])
    kept = [trial for trial, on_front in zip(trials, nondominated(points), strict=True) if on_front]
    return [{"arch": t.arch, "value": t.values["accuracy"], "predicted_ms": t.values["latency_ms"]} for t in kept]


def compared(
    fronts: Mapping[str, Sequence[Mapping[str, Any]]], rows: Mapping[str, Mapping[str, str]], device: str
) -> dict[str, float]:
    """Return the hypervolume of each front on a device."""
    return hypervolumes(
        {name: [(n["value"], float(rows[n["arch"]][device + COLUMN])) for n in part] for name, part in fronts.items()}
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="NAS-Bench-201 with latencies, .csv.gz")
    parser.add_argument("--data", type=Path, required=True, help="colour images as of hwnas search")
    parser.add_argument("--runs", type=Path, required=True, help="folder for tables and search")
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON file for the result")
    parser.add_argument("--devices", nargs="+", default=["samsung_s7", "eyeriss"], help="columns before _latency_ms")
    parser.add_argument("--fit", type=int, default=100, help="networks that a table is fitted to (default 100)")
    parser.add_argument("--limit", type=int, default=4000, help="images to train and validate on (default 4000)")
    parser.add_argument("--epochs", type=int, default=8, help="epochs of the supernet (default 8)")
    parser.add_argument("--samples", type=int, default=200, help="trials (default 200)")
    parser.add_argument("--seed", type=int, default=0, help="random seed (default 0)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
