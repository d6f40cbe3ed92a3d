"""Images a second of trainings, in float32 and as they are by default, beside PyTorch written by hand.

    python scripts/bench_training.py --json docs/results/training.json
    python scripts/bench_training.py --data CIFAR10 --accuracy resnet8 --json docs/results/training.json

Before: float32, each batch made when the one before is done, and freed memory returned to the system, as in earlier
versions. After: the number format that the processor multiplies (bfloat16, or float32 again), batches made ahead, and
memory kept. All trainings are those of `hwnas.training`, with augmentation, gradient clipping and schedule, on random
data of the shapes of CIFAR-10, of a second of speech and of small pictures. They and PyTorch by hand take turns in one
process; the median step of each round counts, and ratios are medians over rounds.

With ``--accuracy NETWORK`` the script trains that network with some seeds as before, as now, and as now with smaller
images in the first epochs (``--small-first``, for ``--small-epochs`` in all), and compares durations and accuracies on
the test part. The three ways take turns. A file that exists keeps what the other call wrote.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch
from _cifar_baselines import resnet
from _progress import say
from _training_rivals import HandWritten

from hwnas import make_task
from hwnas.spaces import Space, make_space
from hwnas.tasks import Task
from hwnas.training import (
    Subnet,
    Supernet,
    default_recipe,
    native_precision,
    score_network,
    train_network,
    train_supernet,
)
from latency_tables import OpGraph, write_atomic
from profilers import cpu_identity, graph_macs

ROUTES = ("before", "after")
STEPS = {"supernet": 5}
"""Steps of a round, and samples a step, where they are not the usual ones."""
BATCHES = {"unet": 16}
USUAL_STEPS, USUAL_BATCH, CLASSES = 12, 64, 10
NETWORKS = ("resnet8", "inverted", "dscnn", "unet", "supernet")
TITLES = {
    "resnet8": "ResNet-8",
    "inverted": "inverted residuals (mobilenetv3, tiny)",
    "dscnn": "DS-CNN with log-mel front end",
    "unet": "U-Net",
    "supernet": "supernet (mobilenetv3, tiny), four networks a step",
}


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS), help="default: all")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of all that is compared (default 5)")
    parser.add_argument("--accuracy", choices=NETWORKS[:2], help="compare final accuracies of this network instead")
    parser.add_argument("--data", help="images for --accuracy, as of hwnas search")
    parser.add_argument("--limit", type=int, default=5000, help="images of each part for --accuracy (default 5000)")
    parser.add_argument("--epochs", type=int, default=8, help="epochs for --accuracy (default 8)")
    parser.add_argument(
        "--small-first",
        type=float,
        default=0.6,
        help="share of the epochs of smaller images for --accuracy (default 0.6)",
    )
    parser.add_argument("--small-epochs", type=int, help="epochs of trainings with smaller images (default: --epochs)")
    parser.add_argument("--seeds", type=int, default=3, help="seeds for --accuracy (default 3)")
    parser.add_argument("--json", type=Path, help="file for the figures")
    return parser.parse_args()


def median_network(space: Space) -> OpGraph:
    """Return the network with the median multiply-accumulates of a fixed sample of a space."""
    graphs = [space.graph(arch) for arch in space.sample(31, np.random.default_rng(0))]
    return sorted(graphs, key=graph_macs)[len(graphs) // 2]


def space_of(name: str) -> Space:
    """Return the space that a network is from."""
    if name == "dscnn":
        return make_space("dscnn")
    return make_space("unet") if name == "unet" else make_space("mobilenetv3", preset="tiny", classes=CLASSES)


def random_task(name: str, graph: OpGraph, samples: int, folder: Path) -> Task:
    """Return a task with random samples for a network."""
    rng, shape = np.random.default_rng(0), graph.input_shape
    arrays: dict[str, Any] = {}
    for part, count in (("train", samples), ("val", 32), ("test", 32)):
        if name == "dscnn":
            arrays[f"x_{part}"] = rng.standard_normal((count, *shape)).astype(np.float32)
        elif name == "unet":
            arrays[f"x_{part}"] = rng.random((count, *shape)).astype(np.float32)
        else:
            arrays[f"x_{part}"] = rng.integers(0, 256, (count, *shape[1:], shape[0]), dtype=np.uint8)
        if name == "unet":
            classes = graph.output_shape[0]
            arrays[f"y_{part}"] = rng.integers(0, classes, (count, *graph.output_shape[1:]))
        else:
            arrays[f"y_{part}"] = np.arange(count) % graph.output_shape[0]
    file, buffer = folder / f"{name}.npz", io.BytesIO()
    np.savez(buffer, **arrays)
    write_atomic(file, buffer.getvalue())
    return make_task({"dscnn": "signal", "unet": "dense"}.get(name, "image"), str(file))


class Bench:
    """Steps of one network's training, by route.

    Args:
        name: The network.
        folder: Where its random data are written.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.batch, self.steps = name, BATCHES.get(name, USUAL_BATCH), STEPS.get(name, USUAL_STEPS)
        self._supernet = Supernet(space_of(name)) if name == "supernet" else None
        if self._supernet is not None:
            self.graph = self._supernet.space.graph(self._supernet.largest)
        else:
            self.graph = resnet(8, 1.0) if name == "resnet8" else median_network(space_of(name))
        self._task = random_task(name, self.graph, self.batch * self.steps, folder)

    def seconds(self, route: str) -> list[float]:
        """Return the duration of each step but the first of a short training."""
        precision = native_precision("cpu") if route == "after" else "fp32"
        recipe = default_recipe(
            self._task, epochs=1, batch_size=self.batch, train_precision=precision, learning_rate=0.01
        )
        ends: list[float] = []

        def note(done: int, total: int, text: str) -> None:
            """Note when a step ended."""
            ends.append(time.perf_counter())

        with as_before() if route == "before" else nullcontext():
            if self._supernet is not None:
                train_supernet(self._supernet, self._task, recipe, threads=1, progress=note)
            else:
                train_network(self.graph, self._task, recipe, threads=1, progress=note)
        return list(np.diff(ends))


@contextmanager
def as_before() -> Iterator[None]:
    """Let trainings make each batch when it is needed, and leave memory to the C library."""
    with (
        patch("hwnas.training._loop.made_ahead", lambda batches: batches),
        patch("hwnas.training._loop.kept_memory", nullcontext),
    ):
        yield


def throughput(name: str, rounds: int) -> dict[str, Any]:
    """Return images a second of the routes of a network, and their ratios."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(name, Path(folder))
        routes: dict[str, Callable[[], list[float]]] = {route: _bound(bench, route) for route in ROUTES}
        if name == "resnet8":
            for label, half in (("by hand, float32", False), ("by hand, bfloat16", True)):
                routes[label] = _by_hand(HandWritten(bench.batch, half=half), bench.steps)
        for run in routes.values():
            run()  # the first runs fill caches
        steps: dict[str, list[float]] = {label: [] for label in routes}
        for number in range(rounds):
            order = list(routes) if number % 2 == 0 else list(routes)[::-1]
            for label in order:
                steps[label].append(float(np.median(routes[label]())))
    rates = {label: round(bench.batch / float(np.median(times)), 1) for label, times in steps.items()}
    ratios = np.array(steps["before"]) / np.array(steps["after"])
    row = {"network": TITLES[name], "macs": graph_macs(bench.graph), "batch": bench.batch, "images_per_second": rates}
    return {**row, "ratio": round(float(np.median(ratios)), 3), "ratios": [round(float(r), 3) for r in ratios]}


def _bound(bench: Bench, route: str) -> Callable[[], list[float]]:
    return lambda: bench.seconds(route)


def _by_hand(training: HandWritten, steps: int) -> Callable[[], list[float]]:
    return lambda: training.seconds(steps)


def accuracies(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return durations and test accuracies of short trainings in three ways, with some seeds each."""
    task = make_task(None, options.data, limit=options.limit)
    graph = resnet(8, 1.0) if name == "resnet8" else median_network(space_of(name))
    native = native_precision("cpu")
    ways: dict[str, dict[str, Any]] = {
        "fp32": {"train_precision": "fp32"},
        native: {"train_precision": native},
        f"{native}, small images first": {
            "train_precision": native,
            "small_first": options.small_first,
            "epochs": options.small_epochs or options.epochs,
        },
    }
    rows: dict[str, list[float]] = {way: [] for way in ways}
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for seed in range(options.seeds):
        for way, settings in ways.items():
            recipe = default_recipe(task, **{"epochs": options.epochs, "batch_size": 64, **settings})
            began = time.perf_counter()
            with as_before() if way == "fp32" else nullcontext():
                network = train_network(graph, task, recipe, seed=seed, threads=1)
            seconds[way].append(round(time.perf_counter() - began, 1))
            subnet = Subnet.of_arrays(graph, network.arrays())
            rows[way].append(round(score_network(subnet, task, "test", graph.input_shape), 4))
            say(f"{name}, seed {seed}, {way}: {rows[way][-1]:.2%}, {seconds[way][-1]:.0f} s")
    before = np.array(seconds["fp32"])
    faster = {way: round(float(np.median(before / np.array(own))), 3) for way, own in seconds.items() if way != "fp32"}
    sizes = {part: task.size(part) for part in ("train", "test")}  # type: ignore[arg-type]
    about = {"network": TITLES[name], "epochs": options.epochs, "images": sizes}
    small = {"share": options.small_first, "epochs": options.small_epochs or options.epochs}
    return {**about, "small_first": small, "test": rows, "seconds": seconds, "times_as_fast": faster}


def main() -> None:
    """Measure, print, and write the file."""
    options = parse()
    torch.set_num_threads(1)
    kept: dict[str, Any] = {}
    if options.json is not None and options.json.exists():
        kept = json.loads(options.json.read_text(encoding="utf-8"))
    kept["machine"] = {"cpu": cpu_identity()["cpu"], "torch": torch.__version__, "format": native_precision("cpu")}
    if options.accuracy is not None:
        if options.data is None:
            raise SystemExit("--accuracy needs images; give --data FOLDER")
        kept.setdefault("accuracy", {})[options.accuracy] = accuracies(options.accuracy, options)
    else:
        for name in options.networks:
            row = kept.setdefault("throughput", {})[name] = throughput(name, options.rounds)
            rates = ", ".join(f"{label} {rate:.0f}" for label, rate in row["images_per_second"].items())
            say(f"{row['network']}: {rates} images a second; {row['ratio']:.2f} times as fast")
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(options.json, json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
