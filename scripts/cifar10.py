"""CIFAR-10 from end to end, at one of three scales.

``--scale small`` (hours of two CPU cores; its figures are in docs/cifar10.md):

1. Rank quality: networks spread over latency, trained alone, and cut out of supernets of both samplings.
2. Fronts of the same supernets, and their smallest and largest networks.
3. Networks of a search compared with scaled MobileNets and ResNets: same training, equal measured latency on this CPU.

``--scale full`` trains to the end, on all images: networks of searches on the same supernet (on measured latency, for a
front or for the best network within a limit; on MACs; random), against MLPerf Tiny's ResNets and narrowed MobileNets,
in float32 and int8. It takes about 14 core-hours, as estimated for a processor that multiplies bfloat16; ``--plan``
lists the jobs with estimated minutes. Searches see a validation part of the train set; what is compared is trained on
the whole train set, found networks and baselines with the same recipe and number of epochs; the last job judges all on
the whole test set, once. Jobs that measure run alone; trainings run in ``--workers`` processes with one thread each.
With ``--device cuda`` supernets and networks are trained on a GPU, and networks of a search judged there; latencies are
still the CPU's.

``--scale smoke`` does all that scale full does, on a few images: a test, no result.

Every training is kept in the work directory: the script can be killed at any moment, and started again it continues
where it stopped; a training of scale full continues after its last epoch.

    scripts/cifar10.py --data CIFAR10 --scale small --workdir cifar10-small --json docs/results/cifar10-small.json
    scripts/cifar10.py --data CIFAR10 --scale full --plan
    scripts/cifar10.py --data CIFAR10 --scale full --so-far
    scripts/cifar10.py --data CIFAR10 --scale full --workers 2 --json docs/results/cifar10-full.json
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
for _name, _bytes in (("MMAP_THRESHOLD_", 1 << 32), ("TRIM_THRESHOLD_", 1 << 34), ("TOP_PAD_", 1 << 28)):
    os.environ.setdefault(f"MALLOC_{_name}", str(_bytes))  # the trainings' processes: glibc keeps freed activations
sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np  # noqa: E402
from _cifar_experiment import JOB_SCALES, changed, run_jobs  # noqa: E402
from _cifar_measure import matched_widths, measure  # noqa: E402
from _cifar_tasks import NETWORK, SUPERNET, Scale, Task, Worker, begin, do  # noqa: E402
from _progress import say  # noqa: E402

from hwnas import HwnasError  # noqa: E402
from hwnas.costs import SpaceCosts  # noqa: E402
from hwnas.spaces import Space  # noqa: E402
from hwnas.tables import build_table, find_table  # noqa: E402
from latency_tables import (  # noqa: E402
    LatencyTable,
    LatencyTableError,
    load_table,
    rank_correlations,
    save_table,
    write_atomic,
)
from profilers import OnnxRuntimeBackend, cpu_identity, graph_macs, graph_params  # noqa: E402
from search import hypervolume  # noqa: E402

SMALL = Scale(8000, 2, 4, 32, 0.1, 24, 60, 3, "cpu", (0.5,), (16, 24, 32))
SCALES = ("small", *JOB_SCALES)
SAMPLINGS = ("uniform", "bestup")
POINTS = (0.25, 0.5, 0.75)
"""Places on the front of a search, in log latency, at which baselines are compared."""
CHANCE = 0.1


def latency_table(space: Space, workdir: Path) -> LatencyTable:
    """Load the work directory's table; make it from a table of this device, or measure one."""
    path, backend = workdir / "table.json", OnnxRuntimeBackend(threads=1)
    if not path.exists():
        table = find_table(space, backend) or build_table(space, backend, path, progress=say)
        save_table(table, path)
    table = load_table(path)
    table.require_identity(backend.identity())
    return table


def spread_networks(space: Space, costs: SpaceCosts, count: int) -> list[str]:
    """Choose random networks whose table latencies are spread evenly, on a logarithmic scale."""
    codes = space.canonical_codes(np.stack([space.encode(a) for a in space.sample(5000, np.random.default_rng(1))]))
    logs = np.log(costs.latency_ms(codes))
    goals = np.linspace(*np.quantile(logs, (0.005, 0.995)), count)
    chosen: list[int] = []
    for goal in goals:
        order = np.argsort(np.abs(logs - goal))
        chosen.append(next(int(i) for i in order if int(i) not in chosen))
    return [space.format(space.decode(codes[i])) for i in chosen]


def run_tasks(tasks: list[Task], setup: tuple[Any, ...], jobs: int) -> dict[Task, dict[str, Any]]:
    """Run all tasks and return their results; the longest tasks should come first."""
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=begin, initargs=setup) as pool:
        results = {}
        for task, result in zip(tasks, pool.map(do, tasks), strict=True):
            results[task] = result
            say(f"{len(results)} of {len(tasks)}: {task.label}, {result['seconds']:.0f} s")
    return results


def taus(alone: list[float], shared: list[float]) -> dict[str, float]:
    """Compute Kendall's tau-b and its 90 % bootstrap interval over networks."""
    rng, pairs = np.random.default_rng(0), np.array([alone, shared])
    draws = [rank_correlations(*pairs[:, rng.integers(0, len(alone), len(alone))])[1] for _ in range(1000)]
    low, high = np.quantile(draws, (0.05, 0.95))
    return {"tau": rank_correlations(alone, shared)[1], "low": float(low), "high": float(high)}


def supernet_results(done: dict[Task, dict[str, Any]], ranked: list[str], seeds: int, span: Any) -> dict[str, Any]:
    """Compute rank quality, fronts, and smallest and largest networks for each sampling."""
    alone = [done[Task(NETWORK, f"space:{text}", 0)] for text in ranked]
    truth = [result["test"] for result in alone]  # more images than the validation part, so less noise
    results: dict[str, Any] = {
        "networks": [
            {"arch": text, **{k: result[k] for k in ("validation", "test")}}
            for text, result in zip(ranked, alone, strict=True)
        ]
    }
    for sampling in SAMPLINGS:
        runs = [done[Task(SUPERNET, sampling, seed)] for seed in range(seeds)]
        shared = [[run["ranked"][text] for text in ranked] for run in runs]
        results[sampling] = {
            "tau_by_seed": [taus(truth, values) for values in shared],
            "tau_of_mean": taus(truth, np.mean(shared, axis=0).tolist()),
            "shared": shared,
            "hypervolume": [front_volume(run["front"], span) for run in runs],
            "smallest": [run["ends"]["smallest"] for run in runs],
            "largest": [run["ends"]["largest"] for run in runs],
            "training_seconds": [run["training_seconds"] for run in runs],
            "fronts": [run["front"] for run in runs],
        }
    return results


def front_volume(front: list[dict[str, Any]], span: tuple[float, float]) -> float:
    """Compute the hypervolume of test accuracy above chance and log latency, each scaled to 0-1 over its range."""
    low, high = np.log(span)
    points = [
        [(network["test"] - CHANCE) / (1 - CHANCE), (high - math.log(network["latency_ms"])) / (high - low)]
        for network in front
    ]
    return hypervolume(np.array(points), np.zeros(2))


def chosen_networks(fronts: list[list[dict[str, Any]]]) -> list[list[str]]:
    """Return, for each latency point, the network within the latency that each seed's search ranks first."""
    low = max(min(network["latency_ms"] for network in front) for front in fronts)
    high = min(max(network["latency_ms"] for network in front) for front in fronts)
    limits = [math.exp((1 - p) * math.log(low) + p * math.log(high)) for p in POINTS]
    return [
        [
            max(
                (network for network in front if network["latency_ms"] <= limit * 1.0001),
                key=lambda network: network["validation"],
            )["arch"]
            for front in fronts
        ]
        for limit in limits
    ]


def trained_choice(rows: list[list[str]], results: dict[Task, dict[str, Any]], seed: int) -> list[str]:
    """Return, from each row, the network with the best validation accuracy after training with this seed."""
    return [
        max(row, key=lambda arch: float(results[Task(NETWORK, f"space:{arch}", seed)]["validation"])) for row in rows
    ]


def compare(worker: Worker, supernets: dict[str, Any], setup: tuple[Any, ...], jobs: int) -> list[dict[str, Any]]:
    """Compare networks of the searches with baselines of equal latency and the same training.

    Each search offers one network at a latency point. These are trained as by `hwnas search --finalize train`,
    with a separate seed; the best of them on the validation part represents hwnas, trained again with every seed.
    """
    scale = worker.scale
    rows = chosen_networks(supernets["bestup"]["fronts"])
    offered = sorted({arch for row in rows for arch in row})
    say(f"training {len(offered)} networks of the searches")
    trained = run_tasks([Task(NETWORK, f"space:{arch}", scale.seeds) for arch in offered], setup, jobs)
    best = trained_choice(rows, trained, scale.seeds)
    say("measuring the best of them, and baselines of all widths")
    first = measure({f"space:{arch}": worker.graph(f"space:{arch}") for arch in dict.fromkeys(best)})
    limits = [first[f"space:{arch}"]["ms"] for arch in best]
    widths = matched_widths(limits)
    rivals = [[f"{family}:{width}" for family, width in sorted(row.items())] for row in widths]
    names = [name for arch, row in zip(best, rivals, strict=True) for name in (f"space:{arch}", *row)]
    tasks = [Task(NETWORK, name, seed) for name in dict.fromkeys(names) for seed in range(scale.seeds)]
    results = run_tasks(tasks, setup, jobs)
    say("measuring all networks together once more")
    graphs = {task.name: worker.graph(task.name) for task in tasks}
    times = measure(graphs)
    points = []
    for limit, arch, row in zip(limits, best, rivals, strict=True):
        point: dict[str, Any] = {"limit_ms": limit, "families": {}}
        members = {"hwnas": f"space:{arch}"} | {name.partition(":")[0]: name for name in row}
        for family, name in members.items():
            point["families"][family] = [
                {
                    "network": name,
                    **times[name],
                    "macs": graph_macs(graphs[name]),
                    "params": graph_params(graphs[name]),
                    **{k: results[Task(NETWORK, name, seed)][k] for k in ("validation", "test")},
                }
                for seed in range(scale.seeds)
            ]
        points.append(point)
    return points


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="CIFAR-10: its own files, or a folder of images")
    parser.add_argument("--scale", choices=SCALES, default="small", help="how much is done (default small)")
    parser.add_argument("--smoke", action="store_const", const="smoke", dest="scale", help="the same as --scale smoke")
    parser.add_argument(
        "--change", action="append", default=[], metavar="NAME=VALUE", help="change a setting of the scale"
    )
    parser.add_argument("--workdir", type=Path, help="results and checkpoints (default: cifar10-SCALE)")
    parser.add_argument(
        "--workers", "--jobs", type=int, default=2, help="number of parallel trainings, one thread each (default 2)"
    )
    parser.add_argument("--json", type=Path, help="JSON file for the results")
    small = parser.add_argument_group("scale small")
    small.add_argument("--no-baselines", action="store_true", help="skip the comparison with baselines")
    full = parser.add_argument_group("scales full and smoke")
    full.add_argument("--device", default="cpu", help="what trainings run on: cpu or cuda (default cpu)")
    full.add_argument("--plan", action="store_true", help="list the jobs with estimated minutes, and do nothing")
    full.add_argument(
        "--so-far", action="store_true", help="measure and judge the networks that are trained, and write their table"
    )
    full.add_argument(
        "--only", action="append", default=[], metavar="TEXT", help="only jobs whose name contains it ($: its end)"
    )
    return parser.parse_args()


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Run the whole experiment."""
    scale, began = changed(SMALL, args.change), time.perf_counter()
    workdir = args.workdir or Path(f"cifar10-{args.scale}")
    workdir.mkdir(parents=True, exist_ok=True)
    space = scale.space()
    costs = SpaceCosts(space, latency_table(space, workdir))
    ranked = spread_networks(space, costs, scale.subnets)
    worker = Worker(scale, args.data, workdir, ranked)
    setup = (scale, args.data, workdir, ranked)
    tasks = [Task(SUPERNET, sampling, seed) for seed in range(scale.seeds) for sampling in reversed(SAMPLINGS)]
    tasks += [Task(NETWORK, f"space:{text}", 0) for text in reversed(ranked)]
    done = run_tasks(tasks, setup, args.workers)
    ends = [
        worker.costs.latency_ms(space.encode(a)[None])[0] for a in (space.parse(ranked[0]), space.parse(ranked[-1]))
    ]
    span = (0.5 * min(ends), 2.0 * max(ends))
    supernets = supernet_results(done, ranked, scale.seeds, span)
    result: dict[str, Any] = {
        "scale": args.scale,
        "settings": asdict(scale),
        "data": {part: len(getattr(worker.data, part)) for part in ("train", "validation", "test")},
        "device": {"cpu": cpu_identity()["cpu"]},
        "supernets": supernets,
        "baselines": [] if args.no_baselines else compare(worker, supernets, setup, args.workers),
    }
    result["seconds"] = round(time.perf_counter() - began)  # since the last start
    kept = [json.loads(file.read_text(encoding="utf-8")) for file in (workdir / "results").glob("*.json")]
    result["training_seconds"] = round(sum(result["seconds"] for result in kept))  # all trainings of all starts
    return result


def main() -> int:
    """Run the experiment and print a summary."""
    args = parse()
    if args.workers < 1:
        print(f"cifar10: --workers must be 1 or more, got {args.workers}", file=sys.stderr)
        return 2
    try:
        if args.scale in JOB_SCALES:
            run_jobs(args)
            return 0
        result = run(args)
    except (HwnasError, LatencyTableError) as error:
        print(f"cifar10: {error}", file=sys.stderr)
        return 2
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(args.json, json.dumps(result, indent=1) + "\n")
    for sampling in SAMPLINGS:
        row = result["supernets"][sampling]
        by_seed = ", ".join(f"{t['tau']:.2f} ({t['low']:.2f}-{t['high']:.2f})" for t in row["tau_by_seed"])
        print(f"{sampling}: tau {by_seed}; hypervolume {np.mean(row['hypervolume']):.4f};", end=" ")
        print(f"smallest {np.mean(row['smallest']):.2%}, largest {np.mean(row['largest']):.2%}")
    for point in result["baselines"]:
        print(f"at {point['limit_ms']:.3f} ms:")
        for family, rows in point["families"].items():
            mean = np.mean([row["test"] for row in rows])
            print(f"  {family:<18} {mean:.2%}  {np.mean([row['ms'] for row in rows]):.3f} ms  {rows[0]['network']}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
