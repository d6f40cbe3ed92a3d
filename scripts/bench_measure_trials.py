"""Compare searches whose trials are measured with searches that trust the table until the winners are measured.

scripts/bench_measure_trials.py --csv nasbench201.csv.gz --runs FOLDER -o FILE.json [--cases nasbench201:1,tiny:2]
scripts/bench_measure_trials.py --again FILE.json

For each case (a space and a number of threads) and seed, the same search is made with ``--measure trials`` and with
``--measure winners``. Then all networks that the two delivered are timed again beside the table's references, each in
two sessions that are loaded anew, and the two fronts are compared by their hypervolume with the latencies of these
later sessions. With --again, the networks in a result are timed once more, an hour later, say, and the comparison is
added to the file.

The accuracies of nasbench201 come from its table (--csv), those of tiny (mobilenetv3, digits) from a supernet that is
trained once, for all seeds: seeds differ by their searches alone.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from _fronts import hypervolumes

import hwnas
from hwnas.data import load_data
from hwnas.evaluators import SupernetEvaluator
from hwnas.run_directories import read_run
from hwnas.spaces import make_space
from hwnas.tables import backend_of, references_of, space_of
from hwnas.tasks import as_task
from hwnas.training import default_recipe
from latency_tables import LatencyTable, load_table, write_atomic
from profilers import ReferenceTimer, executed_graph, fixed_rounds, fusion_of, merge_times

VARIANTS = ("trials", "winners")
ROUNDS, SESSIONS, MOST_S = 60, 2, 120.0


def main() -> None:
    """Search and compare, or time the networks of an earlier comparison again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default="nasbench201:1,nasbench201:2,tiny:1,tiny:2", help="SPACE:THREADS,...")
    parser.add_argument("--trials", type=int, default=60, help="trials of each search (default 60)")
    parser.add_argument("--seeds", type=int, default=1, help="number of seeds (default 1)")
    parser.add_argument("--first-seed", type=int, default=0, help="the first of them (default 0)")
    parser.add_argument("--csv", type=Path, help="the table of NAS-Bench-201")
    parser.add_argument("--accuracy-column", default="cifar10_val_acc_12ep", help="its column of accuracies")
    parser.add_argument("--tiny-epochs", type=int, default=4, help="epochs of the supernet of tiny (default 4)")
    parser.add_argument("--statistic", default="median", help="--latency-statistic (default median)")
    parser.add_argument("--runs", type=Path, help="folder for the runs and tables")
    parser.add_argument("--again", type=Path, metavar="FILE", help="time the networks of this result again")
    parser.add_argument("-o", "--output", type=Path, help="JSON file for the result")
    options = parser.parse_args()
    if options.again:
        result = json.loads(options.again.read_text(encoding="utf-8"))
        output = options.output or options.again
    elif options.runs and options.output:
        output, result = options.output, {"statistic": options.statistic, "cases": []}
        os.environ["HWNAS_TABLES"] = str(options.runs / "tables")
        for case in options.cases.split(","):
            for seed in range(options.first_seed, options.first_seed + options.seeds):
                result["cases"].append(searched(case, seed, options))
                write_atomic(output, json.dumps(result, indent=1) + "\n")
    else:
        parser.error("give --runs and -o, or --again")
    for case in result["cases"]:
        case["later"] = [*case.get("later", []), timed_again(case, result["statistic"])]
        write_atomic(output, json.dumps(result, indent=1) + "\n")
        print(line_of(case), flush=True)


def searched(case: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Make both searches of a case; return the networks that they delivered and how long a trial took."""
    name, threads = case.split(":")
    if name == "nasbench201":
        if options.csv is None:
            sys.exit("nasbench201 needs --csv, its table of accuracies")
        given = {"space": name, "evaluator": f"table:{options.csv}", "accuracy_column": options.accuracy_column}
    else:
        evaluator = TrainedOnce(options.runs / "supernet", options.tiny_epochs)
        given = {"space": evaluator.space, "data": evaluator.task, "evaluator": evaluator}
    common = {**given, "threads": int(threads), "samples": options.trials, "seed": seed, "finalize": "none"}
    summary: dict[str, Any] = {"case": case, "seed": seed, "table": None, "variants": {}}
    for variant in VARIANTS:
        out, lines = options.runs / f"{name}-{threads}-{seed}-{variant}", list[tuple[float, str]]()
        result = hwnas.search(
            **common, measure=variant, latency_statistic=options.statistic, out=out, progress=heard(lines)
        )
        summary["table"] = str(out / "table.json")
        summary["variants"][variant] = {
            "seconds_a_trial": sampling_s(lines, options.trials),
            "said": [line for _, line in lines if "measuring took" in line or "when the table was made" in line],
            "evaluation_s_a_trial": float(np.mean([trial.seconds or 0.0 for trial in read_run(out).trials])),
            "front": delivered(result),
        }
    return summary


class TrainedOnce(SupernetEvaluator):
    """The supernet of tiny `mobilenetv3` on digits, which all searches share.

    Args:
        folder: Where its weights are kept.
        epochs: Epochs of its training.
    """

    def __init__(self, folder: Path, epochs: int) -> None:
        task = as_task(load_data("digits"))
        space = make_space("mobilenetv3", preset="tiny", classes=10, image_channels=1, resolution=(8, 16))
        super().__init__(space, task, default_recipe(task, epochs=epochs), seed=0, threads=1)
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder

    def prepare(self, workdir: Path, progress: Any = None) -> None:
        """Train the supernet, or load what an earlier search trained."""
        super().prepare(self._folder, progress)


def sampling_s(lines: Sequence[tuple[float, str]], trials: int) -> float | None:
    """Return the seconds of one trial, without what comes before and after; None for a search that was continued."""
    ready = [when for when, line in lines if line.startswith(("preparing evaluator", "supernet: "))]
    last = [when for when, line in lines if line.startswith(f"{trials} of {trials} samples")]
    whole = ready and last and not any(line.startswith("continuing after") for _, line in lines)
    return (last[-1] - ready[-1]) / trials if whole else None


def heard(lines: list[tuple[float, str]]) -> Any:
    """Return a receiver of progress that keeps the lines with their moments and prints them."""

    def receive(text: str) -> None:
        """Keep and print a line."""
        lines.append((time.monotonic(), text))
        print(text, file=sys.stderr, flush=True)

    return receive


def delivered(result: hwnas.SearchResult) -> list[dict[str, Any]]:
    """Return the delivered networks: architecture, the search's accuracy and latency."""
    by_number = {trial.number: trial for trial in result.trials}
    rows = []
    for network in result.networks:
        values = dict(by_number[network["trial"]].values)
        latency_ms = values.pop("latency_ms")
        rows.append({"arch": network["arch"], "value": next(iter(values.values())), "searched_ms": latency_ms})
    return rows


def timed_again(case: Mapping[str, Any], statistic: str) -> dict[str, Any]:
    """Time all networks of a case beside references; return times, and the hypervolume of each variant's front."""
    table = load_table(Path(case["table"]))
    archs = sorted({network["arch"] for part in case["variants"].values() for network in part["front"]})
    times, slowness = times_of(table, archs, statistic)
    points = {
        variant: [(network["value"], times[network["arch"]]) for network in part["front"]]
        for variant, part in case["variants"].items()
    }
    errors = {
        variant: float(np.median([abs(n["searched_ms"] / times[n["arch"]] - 1) for n in part["front"]]))
        for variant, part in case["variants"].items()
    }
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    volumes = hypervolumes(points)
    return {"when": when, "slowness": slowness, "times_ms": times, "hypervolume": volumes, "median_error": errors}


def times_of(table: LatencyTable, archs: Sequence[str], statistic: str) -> tuple[dict[str, float], list[float | None]]:
    """Return a statistic of each network's latency at the table's speed, and the machine's slowness by session."""
    space = space_of(table)
    backend = backend_of(table, space)
    sessions = []
    for session in range(SESSIONS):
        timer = ReferenceTimer(backend, references_of(table, space))
        graphs = {arch: executed_graph(space.graph(space.parse(arch)), fusion_of(backend)) for arch in archs}
        loaded = {arch: backend.load(graph, seed=session) for arch, graph in graphs.items()}
        sessions.append(timer.measure(loaded, fixed_rounds(ROUNDS, max_seconds=MOST_S), seed=session))
    merged = {arch: merge_times([session.times[arch] for session in sessions]) for arch in archs}
    times = {arch: network.at_table_speed[statistic] for arch, network in merged.items()}
    return times, [session.speed.slowness for session in sessions]


def line_of(case: Mapping[str, Any]) -> str:
    """Return a case in one line."""
    later, parts = case["later"][-1], case["variants"]
    texts = [
        f"{name}: hypervolume {later['hypervolume'][name]:.4f}, off by {100 * later['median_error'][name]:.2f} %, "
        f"{parts[name]['seconds_a_trial'] or float('nan'):.2f} s a trial"
        for name in parts
    ]
    return f"{case['case']} seed {case['seed']}: {'; '.join(texts)}"


if __name__ == "__main__":
    main()
