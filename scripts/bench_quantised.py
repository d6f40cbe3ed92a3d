"""Quantise the networks that `bench_derived.py` compares: which of them int8 makes faster, and what it costs.

    scripts/bench_quantised.py --data CIFAR10 --bases bases --derived derived [derived2 ...] -o FILE.json

Each base and each trained network is quantised as hwnas delivers int8 networks: static QDQ, ranges from train samples.
All files, float32 and int8, are timed in the same interleaved rounds, and judged on the whole test part.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import onnx
from _derived_jobs import TRAININGS
from _derived_training import sizes_of
from _derived_work import bases_in
from _quantised_file import quantised_file
from _timed_files import timed_files

from hwnas.tasks import make_task
from hwnas.training import score_onnx
from latency_tables import write_atomic
from profilers import cpu_identity


def main() -> None:
    """Quantise, measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="CIFAR-10, as of hwnas search: its files or a folder of images")
    parser.add_argument("--bases", type=Path, nargs="+", required=True, help="folders of train_bases.py")
    parser.add_argument("--derived", type=Path, nargs="+", required=True, help="folders of bench_derived.py")
    parser.add_argument("--work", type=Path, default=Path("quantised"), help="folder for the files (default quantised)")
    parser.add_argument("--rounds", type=int, default=60, help="rounds of the measurement (default 60)")
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON file for the result")
    options = parser.parse_args()
    task = make_task(None, options.data)
    networks = [*bases_of(options.bases), *networks_of(options.derived)]
    files: dict[str, Path] = {}
    options.work.mkdir(parents=True, exist_ok=True)
    for number, network in enumerate(networks):
        files[f"fp32 {number}"] = source = Path(network.pop("file"))
        files[f"int8 {number}"] = quantised_file(source, options.work / f"{number}.onnx", task)
        network |= facts_of(source.read_bytes())
    times = timed_files(files, threads=1, rounds=options.rounds)
    for number, network in enumerate(networks):
        for precision in ("fp32", "int8"):
            name = f"{precision} {number}"
            network[precision] = {"ms": times[name]["median"], "test": score_onnx(files[name], task, "test")}
        print(f"{network['base']} {network['method']} {network['share'] or ''}: {told(network)}", flush=True)
    result = {"cpu": cpu_identity()["cpu"], "rounds": options.rounds, "networks": networks}
    write_atomic(options.output, json.dumps(result, indent=1) + "\n")


def bases_of(folders: list[Path]) -> list[dict[str, Any]]:
    """Return an entry for each base that has a file in the folders."""
    found = {name: folder for folder in folders for name in bases_in(folder)}
    return [
        {"base": name, "method": "base", "share": None, "seed": None, "file": str(folder / f"{name}.onnx")}
        for name, folder in found.items()
    ]


def networks_of(folders: list[Path]) -> list[dict[str, Any]]:
    """Return an entry for each network that was trained in the folders, in the order of their names."""
    found = []
    for file in sorted(file for folder in folders for file in folder.glob("*.json")):
        job = json.loads(file.read_text(encoding="utf-8")).get("job", {})
        if job.get("kind") in TRAININGS:
            facts = {"base": job["base"], "method": job["kind"], "share": job["share"], "seed": job["seed"]}
            found.append({**facts, "file": str(file.with_suffix("") / "network.onnx")})
    return found


def facts_of(model: bytes) -> dict[str, int]:
    """Return multiply-accumulates, parameters, and the number of convolutions of a network."""
    nodes = onnx.load_model_from_string(model).graph.node
    return {**sizes_of(model), "convolutions": sum(node.op_type == "Conv" for node in nodes)}


def told(network: dict[str, Any]) -> str:
    """Return a network's figures in one line."""
    parts = [f"{network[p]['ms']:.3f} ms, {network[p]['test']:.2%} in {p}" for p in ("fp32", "int8")]
    return "; ".join(parts)


if __name__ == "__main__":
    main()
