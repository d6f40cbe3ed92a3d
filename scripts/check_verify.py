"""Count how often `hwnas verify` is wrong: on this machine unchanged, beside a busy process, and with planted changes.

    python scripts/check_verify.py --runs 100 --planted 20 --out verify.json tiny.json nasbench201.json

The arguments are tables of this machine. Half of the runs on the unchanged machine are beside a process of this script
that keeps a core busy. The planted changes are:

* ``dearer``: an op takes 20 % longer. It is drawn, by its share of their time, among convolutions and blocks of them
  that make up 1 % or more of the networks' time and that some networks lack. 20 % of the op's
  price is added to the measured time of every graph for each time that it stands there.
* ``threads``: another number of threads than the table says is forced in (2 for 1, else 1).
* ``level``: ONNX Runtime's optimisation level is "extended" in place of "all", so that other kernels run.
* ``runtime``: another ONNX Runtime, installed into the folder ``--runtime`` (`pip install --target`), with the table's
  identity. Without that option it is left out.

Every run of `verify` measures anew. The result holds counts with 95 % intervals (Wilson's), and each run.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from hwnas.spaces import named_graph
from hwnas.tables import Check, backend_of, space_of, verify_table
from latency_tables import LatencyTable, Op, OpGraph, load_table, write_atomic
from profilers import Backend, OnnxRuntimeBackend, Runnable, executed_graph, fusion_of, random_model

DEARER, LEAST_SHARE = 0.2, 0.01
BUSY = "import numpy as np\na = np.random.rand(700, 700)\nwhile True:\n    a @ a"


class Added:
    """A runnable that takes longer.

    Args:
        inner: What is run.
        seconds: What is added to the measured time of each execution.
    """

    def __init__(self, inner: Runnable, seconds: float) -> None:
        self.inner, self.seconds = inner, seconds

    def run(self, repeats: int) -> float:
        """Run and add."""
        return self.inner.run(repeats) + repeats * self.seconds


class AtLevel:
    """A session of ONNX Runtime with the optimisation level "extended", its inputs and outputs bound."""

    def __init__(self, model: bytes, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 4
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.binding, rng = self.session.io_binding(), np.random.default_rng(0)
        for tensor in self.session.get_inputs():
            self.binding.bind_cpu_input(tensor.name, rng.standard_normal(tensor.shape, dtype=np.float32))
        self.kept = []
        for tensor in self.session.get_outputs():
            self.kept.append(onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros(tensor.shape, dtype=np.float32)))
            self.binding.bind_ortvalue_output(tensor.name, self.kept[-1])

    def run(self, repeats: int) -> float:
        """Infer `repeats` times; return the seconds of all together."""
        start = time.perf_counter()
        for _ in range(repeats):
            self.session.run_with_iobinding(self.binding)
        return time.perf_counter() - start


class Planted(Backend):
    """The table's backend with a change that its identity does not show.

    Args:
        table: The table.
        change: One of the changes in the description above, or ``none``.
        dearer: The op that is made dearer.
    """

    def __init__(self, table: LatencyTable, change: str, dearer: Op | None) -> None:
        self.table, self.change, self.dearer = table, change, dearer
        inner = backend_of(table, space_of(table))
        for name in ("image_channels", "batch", "element_bytes", "fast_cache_bytes", "cores", "fusion"):
            setattr(self, name, getattr(inner, name))
        self.threads = int(str(table.identity["threads"]))
        if change == "threads":
            self.threads = 1 if self.threads > 1 else 2
            inner = OnnxRuntimeBackend(threads=self.threads, image_channels=inner.image_channels)
        self.inner = inner

    def identity(self) -> dict[str, object]:
        """Return the table's identity."""
        return dict(self.table.identity)

    def load(self, graph: OpGraph, *, seed: int = 0, tied: Collection[Op] = (), cold: bool = False) -> Runnable:
        """Load with the change."""
        if self.change == "level":
            return AtLevel(random_model(graph, seed, tied, batch=self.batch, precision="fp32"), self.threads)
        runnable = self.inner.load(graph, seed=seed, tied=tied, cold=cold)
        if self.dearer is None:
            return runnable
        added_ms = DEARER * self.table.entries[self.dearer].q10_ms * graph.op_counts.get(self.dearer, 0)
        return Added(runnable, added_ms / 1e3)


def draw_op(table: LatencyTable, seed: int) -> tuple[Op, float]:
    """Draw an op that networks are made of; return it with its share of the networks' time."""
    space = space_of(table)
    fusion = fusion_of(backend_of(table, space))
    graphs = [executed_graph(named_graph(space, n.arch), fusion) for n in table.networks]
    total = sum(n.latency_ms for n in table.networks)
    shares, holders = {}, {}
    for op in sorted({op for graph in graphs for op in graph.op_counts}, key=lambda op: op.key):
        holders[op] = sum(op in graph.op_counts for graph in graphs)
        shares[op] = table.entries[op].q10_ms * sum(graph.op_counts.get(op, 0) for graph in graphs) / total
    ops = [op for op, s in shares.items() if s >= LEAST_SHARE and holders[op] < len(graphs) and "conv" in op.kind]
    weights = np.array([shares[op] for op in ops])
    chosen = ops[int(np.random.default_rng(seed).choice(len(ops), p=weights / weights.sum()))]
    return chosen, shares[chosen]


def run_once(path: Path, change: str, seed: int) -> dict[str, Any]:
    """Verify a table once; return what came out."""
    table = load_table(path)
    dearer, share = draw_op(table, seed) if change == "dearer" else (None, None)
    backend = Planted(table, change, dearer)
    began = time.monotonic()
    result = verify_table(table, space_of(table), backend, seed=seed)
    record: dict[str, Any] = {
        "table": path.stem,
        "change": change,
        "seed": seed,
        "verdict": result.verdict,
        "seconds": time.monotonic() - began,
        "slowness": result.slowness,
        "covered": result.covered,
        "noise": result.noise,
        "sessions": result.sessions,
        "moved": [[check.names, check.change] for check in result.moved],
        "whole": {c.name: c.change for c in result.checks[:3]},
        "load_average": os.getloadavg()[0],
    }
    record["largest"] = [[c.name, c.change, c.relative_tolerance] for c in _by_change(result.checks[3:])[:4]]
    if dearer is not None:
        stated = {name: check for check in result.checks for name in check.names}.get(dearer.key)
        record |= {"op": dearer.key, "share": share, "sure": stated is not None and stated.sure}
        record["estimate"] = stated.change if stated is not None else None
    return record


def _by_change(checks: Sequence[Check]) -> list[Check]:
    """Return the checks by how far they deviate, relative to what is noise."""
    return sorted(checks, key=lambda check: -abs(check.change) / check.relative_tolerance)


def interval(count: int, runs: int) -> list[float]:
    """Return Wilson's 95 % interval of a rate."""
    if runs == 0:
        return [0.0, 1.0]
    z, p = 1.96, count / runs
    middle, half = p + z * z / (2 * runs), z * math.sqrt(p * (1 - p) / runs + z * z / (4 * runs * runs))
    return [(middle - half) / (1 + z * z / runs), (middle + half) / (1 + z * z / runs)]


def summary(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rates of each table, change and neighbour."""
    groups: dict[tuple[str, str, bool], list[dict[str, Any]]] = {}
    for record in records:
        groups.setdefault((record["table"], record["change"], record["busy"]), []).append(record)
    rows = []
    for (table, change, busy), of_group in groups.items():
        row: dict[str, Any] = {"table": table, "change": change, "busy": busy, "runs": len(of_group)}
        for verdict in ("holds", "changed", "too noisy to tell"):
            count = sum(r["verdict"] == verdict for r in of_group)
            row[verdict] = {"count": count, "rate": count / len(of_group), "interval": interval(count, len(of_group))}
        row["seconds_median"] = float(np.median([r["seconds"] for r in of_group]))
        if change == "dearer":
            row["named"] = sum(any(r["op"] in names for names, _ in r["moved"]) for r in of_group)
            row["stated_as_sure"] = sum(r["sure"] for r in of_group)
        rows.append(row)
    return rows


def child(path: Path, change: str, seed: int, runtime: str | None) -> dict[str, Any]:
    """Run once in a process of its own, because a process has one ONNX Runtime and one pool of threads."""
    command = [sys.executable, __file__, "--one", change, "--seed", str(seed), str(path)]
    paths = [*([runtime] if runtime and change == "runtime" else []), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in paths if p)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"table": path.stem, "change": change, "seed": seed, "error": done.stderr.strip().splitlines()[-1]}
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> int:
    """Run everything; write the result after each run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="+", type=Path, help="tables of this machine")
    parser.add_argument("--runs", type=int, default=100, help="runs on the unchanged machine, over all tables")
    parser.add_argument("--planted", type=int, default=20, help="runs with each change, for each table")
    parser.add_argument("--changes", default="dearer,threads,level,runtime", help="changes to plant, comma-separated")
    parser.add_argument("--runtime", help="folder that another ONNX Runtime is installed in")
    parser.add_argument("--out", type=Path, default=Path("verify.json"), help="JSON file to write")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(run_once(options.tables[0], options.one, options.seed)))
        return 0
    changes = [change for change in options.changes.split(",") if change != "runtime" or options.runtime]
    # interleaved, so that what the machine does for a while falls on all alike
    planned = [
        (i / options.runs, path, "none", i)
        for i in range(options.runs)
        for path in [options.tables[i // 2 % len(options.tables)]]
    ]
    planned += [
        (i / options.planted, path, change, i)
        for change in changes
        for path in options.tables
        for i in range(options.planted)
    ]
    records: list[dict[str, Any]] = []
    for _, path, change, i in sorted(planned, key=lambda plan: plan[0]):
        busy = change == "none" and i % 2 == 1
        neighbour = subprocess.Popen([sys.executable, "-c", BUSY]) if busy else None
        try:
            records.append({**child(path, change, options.seed + i, options.runtime), "busy": busy})
        finally:
            if neighbour is not None:
                neighbour.kill()
                neighbour.wait()
        finished = [record for record in records if "verdict" in record]
        errors = [record for record in records if "error" in record]
        result = {"summary": summary(finished), "errors": errors, "runs": finished}
        write_atomic(options.out, json.dumps(result, indent=1) + "\n")
    for row in summary([record for record in records if "verdict" in record]):
        print(json.dumps(row))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
