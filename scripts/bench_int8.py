"""Compare a search with int8 metrics with an fp32 search whose networks are quantised at the end.

    scripts/bench_int8.py --runs FOLDER -o FILE.json [--data digits] [--seeds 3] [--samples 120]

For each seed, two searches with the same space, data, training and number of samples measure every trial: one with
``--precision int8``, whose trials have the latency and the metric of int8 networks, and one with ``--precision fp32``.
Each delivers at most ten networks of its front. Those of the fp32 search are quantised with the same train samples as
every int8 network. Then all files are timed in the same interleaved rounds, and three fronts are compared by their
hypervolume (test accuracy, logarithm of the latency): the int8 files of both searches, and, for comparison, the fp32
files of the fp32 search.

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
import onnx
from _fronts import hypervolumes
from _timed_files import timed_files

import hwnas
from hwnas.run_directories import read_run
from hwnas.tasks import Task, make_task
from hwnas.training import quantized, score_onnx
from latency_tables import write_atomic

VARIANTS = ("int8 search", "fp32 search, quantised", "fp32 search, fp32 files")
_SETTINGS = ("data", "image_size", "data_limit", "resolution", "width", "samples", "epochs", "evaluator", "threads")


def main() -> None:
    """Search, quantise and compare, seed by seed."""
    options = _options()
    settings = {name: getattr(options, name) for name in _SETTINGS}
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
    parser.add_argument("--resolution", type=whole_list, help="sizes to choose from, like 16,32 (default: by the data)")
    parser.add_argument("--width", type=number_list, help="widths to choose from, like 0.5,1.0")
    parser.add_argument("--samples", type=int, default=120, help="trials of each search (default 120)")
    parser.add_argument("--epochs", type=int, help="epochs of training (default: by the size of the data)")
    parser.add_argument("--evaluator", default="supernet", help="supernet or train (default supernet)")
    parser.add_argument("--threads", type=int, default=1, help="threads of an inference (default 1)")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds (default 3)")
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
    runs = {precision: searched(settings, precision, seed, options.runs) for precision in ("int8", "fp32")}
    task = make_task(None, settings["data"], image_size=settings["image_size"], seed=seed, limit=settings["data_limit"])
    folder = options.runs / f"quantised-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    fp32 = files_of(runs["fp32"])
    files = {
        "int8 search": files_of(runs["int8"]),
        "fp32 search, quantised": {name: quantised_file(file, folder / file.name, task) for name, file in fp32.items()},
        "fp32 search, fp32 files": fp32,
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


def searched(settings: Mapping[str, Any], precision: str, seed: int, runs: Path) -> hwnas.SearchResult:
    """Make one search, or continue it."""
    given = {name: settings[name] for name in _SETTINGS if settings[name] is not None}
    return hwnas.search(
        **{**given, "space": "mobilenetv3", "preset": "tiny"},
        precision=precision,
        seed=seed,
        measure="trials",
        out=runs / f"{precision}-{seed}",
        progress=lambda text: print(text, file=sys.stderr, flush=True),
    )


def files_of(result: hwnas.SearchResult) -> dict[str, Path]:
    """Return the delivered ONNX files by architecture."""
    return {network["arch"]: result.path / network["onnx"] for network in result.networks}


def trial_seconds(result: hwnas.SearchResult) -> float:
    """Return the median duration of an evaluation."""
    return float(np.median([trial.seconds or 0.0 for trial in read_run(result.path).trials]))


def quantised_file(source: Path, target: Path, task: Task) -> Path:
    """Quantise an fp32 file as a search with ``--precision int8`` quantises what it delivers."""
    model = onnx.load(source)
    shape = tuple(dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim[1:])
    write_atomic(target, quantized(model, task, shape).SerializeToString())
    return target


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
