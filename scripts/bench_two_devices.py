"""Search for two devices at once, one and two threads of this machine, and hold both fronts against each other.

    python scripts/bench_two_devices.py tables runs/two
    python scripts/bench_two_devices.py search runs/two
    python scripts/bench_two_devices.py measure runs/two -o docs/results/two-devices.json

``tables`` measures a latency table of a part of `mobilenetv3` (tiny) with one and with two threads. ``search`` trains
one supernet (on the digits of scikit-learn, or on ``--data``) and searches it for both devices. ``measure`` times the
networks of both fronts on both devices, in several sessions each, and writes the hypervolume of each front on each
device: in the metric of the validation part and the logarithm of measured latency, each scaled to the range of all
networks on that device.
All three continue what was interrupted.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from _fronts import compared_fronts, front_of

import hwnas
from hwnas.run_directories import read_trials
from hwnas.tables import backend_of, references_of, space_of
from latency_tables import load_table, write_atomic
from profilers import ReferenceTimer, executed_graph, fixed_rounds, fusion_of

NAMES = {"one-thread": 1, "two-threads": 2}
"""Devices, and their threads."""
DIGITS = "digits"
STATISTIC = "median"


def measure_tables(folder: Path, data: str) -> None:
    """Measure the table of each device that there is none of yet."""
    space = _space(data)
    for name, threads in NAMES.items():
        hwnas.profile("mobilenetv3", threads=threads, out=_table(folder, name), networks=20, progress=print, **space)


def _space(data: str) -> dict[str, Any]:
    """Return the options of the space: small digits, or colour images, which take longer to train."""
    if data == DIGITS:
        return {"preset": "tiny", "resolution": [16, 32], "width": [1.0], "image_channels": 1}
    return {"preset": "tiny", "resolution": [16, 24], "width": [0.5, 0.75, 1.0], "image_channels": 3}


def search(folder: Path, data: str, limit: int | None, samples: int, epochs: int, seed: int) -> None:
    """Search for both devices."""
    hwnas.search(
        "mobilenetv3",
        out=folder / "run",
        tables=[_table(folder, name) for name in NAMES],
        data=data,
        data_limit=limit,
        image_size=32,
        epochs=epochs,
        samples=samples,
        seed=seed,
        progress=print,
        **_space(data),
    )


def measure(folder: Path, passes: int) -> dict[str, Any]:
    """Time both fronts on both devices.

    Args:
        folder: Holds the tables and the run.
        passes: Sessions on each device; each loads everything anew.

    Returns:
        The networks of each front with the latencies of each pass, and the hypervolumes by pass and of the means.
    """
    fronts = {name: _front(folder / "run" / "devices" / name) for name in NAMES}
    archs = list(dict.fromkeys(n["arch"] for networks in fronts.values() for n in networks))
    times: dict[str, list[dict[str, float]]] = {name: [] for name in NAMES}
    for device in NAMES:  # one thread first: a process keeps the pool of threads that it makes
        for number in range(passes):
            times[device].append(_session(folder, device, archs, number))
            print(f"pass {number + 1} of {passes} on {device}: {len(archs)} networks", flush=True)
    by_pass = [compared_fronts(fronts, {device: times[device][number] for device in NAMES}) for number in range(passes)]
    means = {d: {arch: float(np.exp(np.mean([np.log(t[arch]) for t in times[d]]))) for arch in archs} for d in NAMES}
    shown = {
        front: [{**n, "measured_ms": {d: means[d][n["arch"]] for d in NAMES}} for n in networks]
        for front, networks in fronts.items()
    }
    return {"statistic": STATISTIC, "fronts": shown, "hypervolumes": compared_fronts(fronts, means), "passes": by_pass}


def _front(run: Path) -> list[dict[str, Any]]:
    """Return the whole front of a device by its table: a delivery holds ten networks of it at most."""
    trials = [record for record in read_trials(run / "trials.jsonl") if record.failed is None]
    return front_of({trial.arch: (trial.values["accuracy"], trial.values["latency_ms"]) for trial in trials})


def _session(folder: Path, device: str, archs: list[str], number: int) -> dict[str, float]:
    """Time networks once on a device, at the speed of its table; milliseconds by architecture."""
    table = load_table(_table(folder, device))
    space = space_of(table)
    backend = backend_of(table, space)
    timer = ReferenceTimer(backend, references_of(table, space))
    timer.reload(number)
    order = np.random.default_rng(number).permutation(len(archs)).tolist()
    graphs = {archs[i]: executed_graph(space.graph(space.parse(archs[i])), fusion_of(backend)) for i in order}
    loaded = {arch: backend.load(graph, seed=number) for arch, graph in graphs.items()}
    settings = fixed_rounds(100, max_seconds=20, inner_seconds=0.0)
    taken = timer.measure(loaded, settings, seed=number).times
    return {arch: taken[arch].at_table_speed[STATISTIC] for arch in archs}


def _table(folder: Path, name: str) -> Path:
    return folder / f"{name}.json"


def report(result: Mapping[str, Any]) -> int:
    """Print the hypervolumes; return on how many devices its own front is not the better one."""
    lost = 0
    for device, volumes in result["hypervolumes"].items():
        other = next(name for name in volumes if name != device)
        passes = [each[device][device] - each[device][other] for each in result["passes"]]
        lost += volumes[device] <= volumes[other]
        print(
            f"on {device}: its own front {volumes[device]:.4f}, the front of {other} {volumes[other]:.4f}; "
            f"ahead by {min(passes):+.4f} to {max(passes):+.4f} in {len(passes)} sessions"
        )
    return lost


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("tables", "search", "measure"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", default=DIGITS, help="colour images as of hwnas search (default: digits)")
    parser.add_argument("--limit", type=int, help="images to train and validate on, at most")
    parser.add_argument("--samples", type=int, default=150)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--passes", type=int, default=4)
    parser.add_argument("-o", "--out", type=Path, help="JSON file of the result")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    if options.step == "tables":
        measure_tables(options.folder, options.data)
        return 0
    if options.step == "search":
        search(options.folder, options.data, options.limit, options.samples, options.epochs, options.seed)
        return 0
    facts = {
        "space": _space(options.data),
        "data": Path(options.data).name,
        "limit": options.limit,
        "samples": options.samples,
        "epochs": options.epochs,
        "seed": options.seed,
    }
    result = {**facts, **measure(options.folder, options.passes), "when": time.time()}
    if options.out is not None:
        write_atomic(options.out, json.dumps(result, indent=1) + "\n")
    return 1 if report(result) else 0


if __name__ == "__main__":
    sys.exit(main())
