"""Compare a search with int8 metrics with an fp32 search whose networks are quantised at the end.

    scripts/bench_int8.py --runs FOLDER -o FILE.json [--data digits] [--seeds 3] [--samples 120]
    scripts/bench_int8.py --runs FOLDER -o FILE.json --data CIFAR10 --bases bases --elastic derived

For each seed, two searches with the same space, data, shared weights and number of samples measure every trial: one
with ``--precision int8``, whose trials have the latency and the metric of int8 networks, and one with ``--precision
fp32``. Each delivers at most ten networks of its front. Those of the fp32 search are quantised with the same train
samples as every int8 network. Then all files are timed in the same interleaved rounds, and three fronts are compared by
their hypervolume (test accuracy, logarithm of the latency): the int8 files of both searches, and, for comparison, the
fp32 files of the fp32 search.

The space is `mobilenetv3`, and each seed trains a supernet for both searches. With ``--elastic`` it is the space around
a trained ResNet-20: `bench_derived.py` trained the elastic model, and seeds differ by their searches alone.

Finished seeds are in the JSON file and are not repeated; an interrupted search continues.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from _derived_jobs import Job, Scale
from _derived_work import Bench, bases_in
from _fronts import hypervolumes
from _jobs import Results
from _progress import say
from _quantised_file import FP32, INT8, LATER, VARIANTS, quantised_file
from _shared_supernet import SharedSupernet
from _timed_files import timed_files

import hwnas
from hwnas.run_directories import read_run
from hwnas.spaces import make_space
from hwnas.tasks import Task, make_task
from hwnas.training import default_recipe, score_onnx
from latency_tables import write_atomic

BASE = "resnet20"
_OWN = ("image_size", "resolution", "width", "epochs")
"""Options of a supernet that is trained here."""
_SETTINGS = ("data", "image_size", "data_limit", "resolution", "width", "samples", "epochs", "threads")


def main() -> None:
    """Search, quantise and compare, seed by seed."""
    options = _options()
    given = [name for name in _OWN if getattr(options, name) is not None]
    if options.elastic is not None and given:
        sys.exit(f"--{given[0].replace('_', '-')} belongs to a supernet that is trained here; leave it out")
    settings = {name: getattr(options, name) for name in _SETTINGS} | {"space": "mobilenetv3", "preset": "tiny"}
    if options.elastic is not None:
        own = {"base": BASE, "sha256": bases_in(options.bases)[BASE]["sha256"], "elastic_seed": options.elastic_seed}
        settings = {name: settings[name] for name in ("data_limit", "samples", "threads")} | own
    os.environ.setdefault("HWNAS_TABLES", str(options.runs / "tables"))
    result: dict[str, Any] = {"settings": settings, "seeds": {}}
    if options.output.exists():
        result = json.loads(options.output.read_text(encoding="utf-8"))
        if result["settings"] != settings:
            sys.exit(f"{options.output} has the settings {result['settings']}; choose another -o")
    for seed in range(options.seeds):
        if str(seed) not in result["seeds"]:
            result["seeds"][str(seed)] = compared(settings, seed, options)
            write_atomic(options.output, json.dumps(result, indent=1) + "\n")
        print(line_of(seed, result["seeds"][str(seed)]), flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits", help="as of hwnas search, such as a folder of CIFAR-10")
    parser.add_argument("--image-size", type=int, help="size to load images at")
    parser.add_argument("--data-limit", type=int, help="at most this many samples of each part")
    parser.add_argument(
        "--resolution", type=whole_list, help="sizes to choose from, like 16,32 (default: that of the data)"
    )
    parser.add_argument("--width", type=number_list, help="widths to choose from, like 0.5,1.0")
    parser.add_argument("--samples", type=int, default=120, help="trials of each search (default 120)")
    parser.add_argument("--epochs", type=int, help="epochs of training (default: by the size of the data)")
    parser.add_argument("--threads", type=int, default=1, help="threads of an inference (default 1)")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds (default 3)")
    parser.add_argument("--elastic", type=Path, metavar="FOLDER", help=f"folder of bench_derived.py, with {BASE}")
    parser.add_argument("--elastic-seed", type=int, default=0, help="seed of its elastic model (default 0)")
    parser.add_argument("--bases", type=Path, default=Path("bases"), help="folder of train_bases.py (default: bases)")
    parser.add_argument("--rounds", type=int, default=60, help="rounds of the last measurement (default 60)")
    parser.add_argument("--runs", type=Path, required=True, help="folder for runs and tables")
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON file for the result")
    return parser.parse_args()


def whole_list(text: str) -> list[int]:
    """Read whole numbers like ``16,32``."""
    return [int(part) for part in text.split(",")]


def number_list(text: str) -> list[float]:
    """Read numbers like ``0.5,1.0``."""
    return [float(part) for part in text.split(",")]


def compared(settings: Mapping[str, Any], seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Make both searches of a seed; return every network's accuracy and latency, and the hypervolumes."""
    shared = 0 if options.elastic is not None else seed  # the split that the shared weights were trained on
    task = make_task(None, options.data, image_size=options.image_size, seed=shared, limit=options.data_limit)
    runs = {precision: searched(settings, precision, seed, task, options) for precision in ("int8", "fp32")}
    folder = options.runs / f"quantised-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    fp32 = files_of(runs["fp32"])
    files = {
        INT8: files_of(runs["int8"]),
        LATER: {name: quantised_file(file, folder / file.name, task) for name, file in fp32.items()},
        FP32: fp32,
    }
    names = {f"{variant}: {name}": file for variant, named in files.items() for name, file in named.items()}
    times = timed_files(names, threads=settings["threads"], rounds=options.rounds, seed=seed)
    networks = {
        variant: [
            {
                "arch": name,
                "median_ms": times[f"{variant}: {name}"]["median"],
                **{part: score_onnx(file, task, part) for part in ("validation", "test")},  # type: ignore[arg-type]
            }
            for name, file in named.items()
        ]
        for variant, named in files.items()
    }
    seconds = {precision: trial_seconds(result) for precision, result in runs.items()}
    points = {
        variant: [(network["test"], network["median_ms"]) for network in part] for variant, part in networks.items()
    }
    return {"networks": networks, "hypervolume": hypervolumes(points), "evaluation_s_a_trial": seconds}


def searched(
    settings: Mapping[str, Any], precision: str, seed: int, task: Task, options: argparse.Namespace
) -> hwnas.SearchResult:
    """Make one search, or continue it."""
    evaluator = (supernet if options.elastic is None else elastic)(precision, seed, task, options)
    return hwnas.search(
        evaluator.space,
        data=task,
        evaluator=evaluator,
        precision=precision,
        threads=settings["threads"],
        samples=settings["samples"],
        seed=seed,
        measure="trials",
        out=options.runs / f"{precision}-{seed}",
        progress=lambda text: print(text, file=sys.stderr, flush=True),
    )


def supernet(precision: str, seed: int, task: Task, options: argparse.Namespace) -> SharedSupernet:
    """Return the supernet of both searches of a seed."""
    given = {"preset": "tiny", "resolution": options.resolution, "width": options.width}
    chosen = {name: value for name, value in given.items() if value is not None}
    facts = {"classes": task.outputs[0].size, "image_channels": task.input_shape[0]}
    chosen.setdefault("resolution", [max(task.input_shape[1:])])
    space = make_space("mobilenetv3", **facts, **chosen)
    recipe = default_recipe(task, **({} if options.epochs is None else {"epochs": options.epochs}))
    folder = options.runs / f"supernet-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    return SharedSupernet(folder, space, task, recipe, seed=seed, precision=precision)


def elastic(precision: str, seed: int, task: Task, options: argparse.Namespace) -> SharedSupernet:
    """Return the elastic model that `bench_derived.py` trained, whatever the seed of the search."""
    facts = json.loads((options.elastic / "settings.json").read_text(encoding="utf-8"))
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in facts["scale"].items()}
    scale = Scale(**given)
    results = Results(options.elastic, facts, "--elastic")
    bench = Bench(options.data, task, options.bases, results, scale, os.cpu_count() or 1, "cpu", say)
    return bench.elastic(Job("search", BASE, scale.shares[0], options.elastic_seed), precision)


def files_of(result: hwnas.SearchResult) -> dict[str, Path]:
    """Return the delivered ONNX files by architecture."""
    return {network["arch"]: result.path / network["onnx"] for network in result.networks}


def trial_seconds(result: hwnas.SearchResult) -> float:
    """Return the median duration of an evaluation."""
    return float(np.median([trial.seconds or 0.0 for trial in read_run(result.path).trials]))


def line_of(seed: int, result: Mapping[str, Any]) -> str:
    """Return a seed's result in one line."""
    texts = []
    for variant in VARIANTS:
        part = result["networks"][variant]
        best = max(network["test"] for network in part)
        fastest, slowest = (pick(network["median_ms"] for network in part) for pick in (min, max))
        texts.append(
            f"{variant}: hypervolume {result['hypervolume'][variant]:.4f}, best test accuracy {best:.2%}, "
            f"{fastest:.3g}-{slowest:.3g} ms"
        )
    return f"seed {seed}: " + "; ".join(texts)


if __name__ == "__main__":
    main()
