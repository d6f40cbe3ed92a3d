"""Compare a searched network for clips with 3-D and 2-D convolutions everywhere, on moving digits.

    scripts/bench_moving_digits.py --runs FOLDER -o FILE.json [--clips 3000] [--samples 40] [--seeds 3]
    scripts/bench_moving_digits.py --strategy pvnas --search-epochs 12 --samples 8 --runs FOLDER -o FILE.json

A search with a supernet (measured trials) gets a budget: a share of the measured latency of the largest network of
3x3x3 convolutions. Its best network, that network of 3-D convolutions, a 3-D one of the searched network's width,
depths and expansions, and the 2-D twins of both (each frame alone, averaged at the end) are trained from scratch with
one recipe, tested, and timed in the same interleaved rounds. By construction of the data, 2-D networks are at chance.
With `pvnas` there is a searched network of each cycle, the most probable one within the budget, and no 2-D network.

Finished trainings are in the JSON file and are not repeated; an interrupted search continues.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch
from _compared_networks import latencies, resumed, save, trained
from _npz import write_npz
from _progress import say
from write_moving_digits import DIRECTIONS, make_parts

import hwnas
from hwnas.oneshot import ExpectedCost, read_training, solve
from hwnas.spaces import Video
from hwnas.tasks import make_task
from latency_tables import LatencyTable

_WITHIN = 0.97
"""Share of the budget that prices may take, so that the measured latency keeps it."""
_SETTINGS = ("strategy", "clips", "frames", "size", "width", "samples", "search_epochs", "epochs", "share", "seeds")


def main() -> None:
    """Search, train and compare."""
    options = _options()
    options.runs.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("HWNAS_TABLES", str(options.runs / "tables"))
    settings = {name: getattr(options, name) for name in _SETTINGS}
    result = resumed(options.output, {"settings": settings, "chance": 1 / len(DIRECTIONS), "trainings": {}})
    data = options.runs / "moving.npz"
    if not data.exists():
        write_npz(data, make_parts(options.clips, frames=options.frames, size=options.size, seed=0))
    task = make_task("video", str(data))
    space = Video(len(DIRECTIONS), 1, options.frames, options.size, options.width)
    solid = space.everywhere("3x3x3")
    if "limit_ms" not in result:
        result["limit_ms"] = options.share * latencies(space, {"3-D": solid})["3-D"]
        save(options.output, result)
    if "searched" not in result:
        result["searched"] = searched(space, data, result["limit_ms"], options)
        save(options.output, result)
    found = [space.parse(text) for text in result["searched"]]
    names = ["searched"] if len(found) == 1 else [f"searched, cycle {number}" for number in range(1, len(found) + 1)]
    networks = {**dict(zip(names, found, strict=True)), "3-D, largest": solid}
    if options.strategy == "lamoo":
        networks |= {
            "3-D, shape of the searched": space.everywhere("3x3x3", found[0]),
            "2-D, largest": space.still(solid),
            "2-D, shape of the searched": space.still(found[0]),
        }
    result["networks"] = {name: space.format(arch) for name, arch in networks.items()}
    for seed in range(options.seeds):
        for name, arch in networks.items():
            label = f"{name} #{seed}"
            if label not in result["trainings"]:
                result["trainings"][label] = trained(space, arch, task, options.epochs, seed)
                say(f"{label}: test accuracy {result['trainings'][label]['test']:.2%}")
                save(options.output, result)
    result["latency_ms"] = latencies(space, networks)
    save(options.output, result)
    for line in summary(result):
        say(line)


def searched(space: Video, data: Path, limit_ms: float, options: argparse.Namespace) -> list[str]:
    """Search within the budget; return the text of the best network on the validation part, or of each cycle's."""
    table = hwnas.profile(space, out=options.runs / "table.json", progress=say)
    found = hwnas.search(
        space,
        data=data,
        table=options.runs / "table.json",
        out=options.runs / "search",
        budgets={"latency": limit_ms},
        samples=options.samples,
        epochs=options.search_epochs,
        strategy=options.strategy,
        progress=say,
    )
    if options.strategy == "pvnas":
        return of_cycles(space, found.path / "evaluator" / "oneshot.json", table, limit_ms)
    return [str(found.pick("best")["arch"])]


def of_cycles(space: Video, record: Path, table: LatencyTable, limit_ms: float) -> list[str]:
    """Return the most probable network within the budget of each cycle of `pvnas`, each of them once."""
    costs = ExpectedCost(space, table).costs
    snapshots = [
        [torch.tensor(vector, dtype=torch.float64) for vector in own] for own in read_training(record).snapshots
    ]
    found = [solve(own, {"latency": _WITHIN * limit_ms}, costs).architecture for own in snapshots]
    return list(dict.fromkeys(space.format(arch) for arch in found))


def summary(result: dict[str, Any]) -> list[str]:
    """Return a line for each network: accuracy over seeds, latency, and latency against the largest 3-D network."""
    lines = []
    for name, text in result["networks"].items():
        tests = [run["test"] for label, run in result["trainings"].items() if label.rpartition(" #")[0] == name]
        ms = result["latency_ms"][name]
        share = ms / result["latency_ms"]["3-D, largest"]
        each = ", ".join(f"{test:.2%}" for test in tests)
        lines.append(f"{name}: test {each} (mean {np.mean(tests):.2%}), {ms:.4g} ms ({share:.0%}), {text}")
    return lines


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strategy", choices=("lamoo", "pvnas"), default="lamoo", help="what searches (default lamoo)")
    parser.add_argument("--clips", type=int, default=3000, help="clips to train and validate on (default 3000)")
    parser.add_argument("--frames", type=int, default=8, help="frames of a clip (default 8)")
    parser.add_argument("--size", type=int, default=24, help="height and width of the frames (default 24)")
    parser.add_argument("--width", type=float, default=0.5, help="width of the space's networks (default 0.5)")
    parser.add_argument("--samples", type=int, default=40, help="trials of the search (default 40)")
    parser.add_argument("--search-epochs", type=int, default=5, help="epochs of the supernet (default 5)")
    parser.add_argument("--epochs", type=int, default=8, help="epochs of each training (default 8)")
    parser.add_argument("--share", type=float, default=0.6, help="budget as a share of the 3-D latency (default 0.6)")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each network (default 3)")
    parser.add_argument("--runs", type=Path, required=True, help="folder for data, search and tables")
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON file for the result")
    return parser.parse_args()


if __name__ == "__main__":
    main()
