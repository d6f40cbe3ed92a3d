"""Compare dilated kernels that DASH finds with kernels of 3 and with those of LaMOO, where networks must see far.

    scripts/bench_long_range.py --runs FOLDER -o FILE.json [--samples 3000] [--channels 16] [--seeds 3]
    scripts/bench_long_range.py --task fields --runs FOLDER -o FILE.json

The task ``pulses`` is that of `write_long_range.py`: two pulses, 50 to 200 samples from each other; networks that do
not look that far are at chance. The task ``fields`` is that of `write_fields.py`: the potential that charges make
everywhere, judged by the relative error (lower is better). Both searches choose among the same networks (space
``dash1d``, or ``dash2d`` with maps as outputs) with the same budget: the latency of the network of kernels of 3 without
dilation, measured, times `factor`. Both train a supernet on the same number of samples. For each seed the
searches run anew, and the networks found are trained from scratch beside the network of kernels of 3 and a random
network within the budget. In the end all are timed in the same interleaved rounds.

Finished trainings are in the JSON file and are not repeated; an interrupted search continues. A greater number of seeds
adds to a file.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import write_fields
import write_long_range
from _compared_networks import latencies, resumed, save, trained
from _npz import write_npz
from _progress import say

import hwnas
from hwnas.spaces import Architecture, Dash1d, Dash2d
from hwnas.tasks import Task, make_task
from latency_tables import LatencyTable

_SETTINGS = (
    "task", "count", "noise", "channels", "epochs", "train_epochs", "factor", "dash_samples", "lamoo_samples"
)  # fmt: skip
_INPUTS, _LENGTH, _SIZE, _CHARGES = 4, 1000, 32, 6
PLAIN = "kernels of 3, no dilation"
SEARCHES = ("dash", "lamoo")


def main() -> None:
    """Search, train and compare."""
    options = _options()
    options.runs.mkdir(parents=True, exist_ok=True)
    settings = {name: getattr(options, name) for name in _SETTINGS}
    result = resumed(options.output, {"settings": settings, "searches": {}, "trainings": {}})
    data = options.runs / f"{options.task}.npz"
    task, space = TASKS[options.task](data, options)
    result["metric"] = {"name": task.metric.name, "direction": task.metric.direction}
    table = hwnas.profile(space, out=options.runs / "table.json", networks=20, progress=say)
    plain = space.everywhere("k3d1")
    if "limit_ms" not in result:
        result["limit_ms"] = options.factor * latencies(space, {PLAIN: plain})[PLAIN]
        save(options.output, result)
    for seed in range(options.seeds):
        for name in SEARCHES:
            label = f"{name} #{seed}"
            if label not in result["searches"]:
                result["searches"][label] = searched(space, data, name, seed, result["limit_ms"], options)
                save(options.output, result)
        for name, arch in compared(space, table, result, seed).items():
            label = f"{name} #{seed}"
            if label not in result["trainings"]:
                training = trained(space, arch, task, options.train_epochs, seed)
                result["trainings"][label] = {"network": space.format(arch), **training}
                say(f"{label}: {space.format(arch)}, test accuracy {result['trainings'][label]['test']:.2%}")
                save(options.output, result)
    texts = {training["network"] for training in result["trainings"].values()}
    result["latency_ms"] = latencies(space, {text: space.parse(text) for text in sorted(texts)})
    save(options.output, result)
    for line in summary(result):
        say(line)


def pulses(data: Path, options: argparse.Namespace) -> tuple[Task, Dash1d | Dash2d]:
    """Return the task of signals with two pulses, and its space."""
    if not data.exists():
        noisy = {"length": _LENGTH, "noise": options.noise, "seed": 0}
        write_npz(data, write_long_range.make_parts(options.count, channels=_INPUTS, **noisy))
    return make_task("signal", str(data)), Dash1d(len(write_long_range.RANGES), _INPUTS, _LENGTH, options.channels)


def fields(data: Path, options: argparse.Namespace) -> tuple[Task, Dash1d | Dash2d]:
    """Return the task of potentials, and its space."""
    if not data.exists():
        write_npz(data, write_fields.make_parts(options.count, size=_SIZE, charges=_CHARGES, seed=0))
    return make_task("dense", str(data)), Dash2d(1, 1, _SIZE, options.channels, blocks=1, outputs="map")


TASKS = {"pulses": pulses, "fields": fields}


def searched(
    space: Dash1d | Dash2d, data: Path, strategy: str, seed: int, limit_ms: float, options: argparse.Namespace
) -> dict[str, Any]:
    """Search within the budget; return the best network on the validation part, and what it took."""
    began = time.perf_counter()
    found = hwnas.search(
        space,
        data=data,
        table=options.runs / "table.json",
        out=options.runs / f"{strategy}-{seed}",
        strategy=strategy,
        budgets={"latency": limit_ms},
        samples=options.dash_samples if strategy == "dash" else options.lamoo_samples,
        epochs=options.epochs,
        finalize="none",
        seed=seed,
        progress=say,
    )
    best = found.pick("best", allow_over_budget=True)
    return {"network": str(best["arch"]), "trials": len(found.trials), "seconds": time.perf_counter() - began}


def compared(space: Dash1d | Dash2d, table: LatencyTable, result: dict[str, Any], seed: int) -> dict[str, Architecture]:
    """Return the networks that are trained for a seed, by name."""
    networks = {name: space.parse(result["searches"][f"{name} #{seed}"]["network"]) for name in SEARCHES}
    rng = np.random.default_rng([seed, 1])
    within = (
        arch
        for _ in range(10_000)
        for arch in space.sample(1, rng)
        if table.price(space.graph(arch)).value_ms <= result["limit_ms"]
    )
    drawn = next(within, None)
    return {PLAIN: space.everywhere("k3d1"), **({"random": drawn} if drawn is not None else {}), **networks}


def summary(result: dict[str, Any]) -> list[str]:
    """Return a line for each kind of network: its accuracies and latencies over the seeds."""
    lines = []
    for name in (PLAIN, "random", *SEARCHES):
        own = [training for label, training in result["trainings"].items() if label.rpartition(" #")[0] == name]
        if not own:
            continue
        each = ", ".join(f"{training['test']:.2%}" for training in own)
        ms = [result["latency_ms"][training["network"]] for training in own]
        mean = np.mean([training["test"] for training in own])
        took = [s["seconds"] for label, s in result["searches"].items() if label.rpartition(" #")[0] == name]
        cost = f", searches of {np.mean(took):.0f} s" if took else ""
        lines.append(f"{name}: test {each} (mean {mean:.2%}), {', '.join(f'{m:.3g}' for m in ms)} ms{cost}")
    return [f"budget {result['limit_ms']:.3g} ms, {result['metric']['name']} as shares", *lines]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=sorted(TASKS), default="pulses", help="the task (default pulses)")
    parser.add_argument(
        "--samples", dest="count", type=int, default=3000, help="samples to train and validate on (default 3000)"
    )
    parser.add_argument("--noise", type=float, default=1.0, help="pulses: deviation of the noise (default 1)")
    parser.add_argument("--channels", type=int, default=16, help="channels of the first stage (default 16)")
    parser.add_argument("--epochs", type=int, default=10, help="epochs of the supernet (default 10)")
    parser.add_argument("--train-epochs", type=int, default=30, help="epochs of each training (default 30)")
    parser.add_argument("--seeds", type=int, default=3, help="searches and trainings (default 3)")
    parser.add_argument(
        "--factor", type=float, default=1.25, help="budget, as a share of the latency of kernels of 3 (default 1.25)"
    )
    parser.add_argument("--dash-samples", type=int, default=8, help="trials behind DASH's training (default 8)")
    parser.add_argument("--lamoo-samples", type=int, default=60, help="trials of LaMOO (default 60)")
    parser.add_argument("--runs", type=Path, required=True, help="folder for data, searches and the table")
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON file for the result")
    return parser.parse_args()


if __name__ == "__main__":
    main()
