"""Checks explanations: do the rows add up, do they repeat, and what does ONNX Runtime's own profiler say?

    python scripts/check_explain.py model.onnx ... [--shape NAME=SIZES] [--value NAME=NUMBER] -o check.json

Each file is explained twice; `--planted` explains graphs with a known slow node instead, and removes what was named.
Run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from scipy.stats import spearmanr

import hwnas
from latency_tables import write_atomic
from profilers import ExplainedNode, Explanation, draw_inputs, fix_shapes, load_onnx, profile_nodes, promised_gain

SHARE = 0.01
"""Rows below this share of the total take no part in the ranking."""
RUNS = 30
"""Runs of the profiler."""


def main() -> int:
    """Check and write JSON; return 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*")
    parser.add_argument("--shape", action="append", default=[])
    parser.add_argument("--value", action="append", default=[])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--planted", action="store_true")
    parser.add_argument("-o", "--output", default="check_explain.json")
    options = parser.parse_args()
    results: list[dict[str, Any]] = []
    for model in options.models:
        try:
            results.append(check(model, options.shape, options.value, options.threads))
        except hwnas.Errors as error:
            results.append({"model": model, "error": str(error)})
        tell(results[-1])
    planted = []
    for case in CASES if options.planted else ():
        planted.append(check_planted(*case))
        tell(planted[-1])
    ratios = [result["sum"] for result in results if "sum" in result]
    summary = {
        "median_error": float(np.median(np.abs(np.array(ratios) - 1))) if ratios else None,
        "worst_error": float(np.max(np.abs(np.array(ratios) - 1))) if ratios else None,
        "planted": len(planted),
        "rightly_named": sum(result["rightly_named"] for result in planted),
        "promises_kept": sum(result["kept"] for result in planted),
    }
    tell(summary)
    record = {"summary": summary, "models": results, "planted": planted}
    write_atomic(Path(options.output), json.dumps(record, indent=1) + "\n")
    return 0


def tell(result: Mapping[str, Any]) -> None:
    """Print a result without its rows."""
    sys.stdout.write(json.dumps({name: value for name, value in result.items() if not name.startswith("rows")}) + "\n")
    sys.stdout.flush()


def check(model: str, shape: list[str], value: list[str], threads: int) -> dict[str, Any]:
    """Explain a model twice, beside the profiler of ONNX Runtime."""
    began = time.monotonic()
    first = hwnas.explain(model, threads=threads, shape=shape, value=value, no_changes=True)
    seconds = time.monotonic() - began
    second = hwnas.explain(model, threads=threads, shape=shape, value=value, no_changes=True)
    rows, others = ({row.node: row for row in explanation.rows} for explanation in (first, second))
    large = [name for name, row in rows.items() if row.ms > SHARE * first.total_ms and name in others]
    result = {
        "model": Path(model).name,
        "nodes": len(rows),
        "threads": threads,
        "seconds": round(seconds, 1),
        "total_ms": first.total_ms,
        "sum": 1 - first.unexplained_ms / first.total_ms,
        "sum_again": 1 - second.unexplained_ms / second.total_ms,
        "noise_floor": first.noise_floor,
        "rounds": first.rounds,
        "large_rows": len(large),
        "intervals_meet": share_met(rows, others, large, first.total_ms / second.total_ms),
        "intervals_meet_raw": share_met(rows, others, large, 1.0),
        "repeats": rank_agreement([rows[name].ms for name in large], [others[name].ms for name in large]),
    }
    profiled = profiler_times(model, shape, value, threads)
    both = [name for name in large if name in profiled]
    result["profiler_sum"] = sum(profiled.values()) / first.total_ms
    result["profiler_ranks"] = rank_agreement([rows[name].ms for name in both], [profiled[name] for name in both])
    result["rows"], result["rows_again"] = (explanation.as_dict()["rows"] for explanation in (first, second))
    return result


def share_met(
    rows: Mapping[str, ExplainedNode], again: Mapping[str, ExplainedNode], names: list[str], speed: float
) -> float | None:
    """Return the share of nodes whose two prices differ by no more than their intervals say; None without nodes.

    Args:
        rows: Rows of one explanation by node.
        again: Those of another one.
        names: The nodes.
        speed: What the second one's times are multiplied by: 1, or the ratio of the two totals, which takes away that
            the machine as a whole was slower or faster.
    """
    return float(np.mean([meet(rows[name], again[name], speed) for name in names])) if names else None


def meet(row: ExplainedNode, again: ExplainedNode, speed: float) -> bool:
    """Return whether two prices of a node, the second at another speed, differ by no more than their intervals say."""
    second = speed * (again.high_ms - again.low_ms)
    return bool(abs(row.ms - speed * again.ms) <= np.hypot(row.high_ms - row.low_ms, second) / 2)


def rank_agreement(first: list[float], second: list[float]) -> float | None:
    """Return Spearman's correlation; None for fewer than three."""
    return float(spearmanr(first, second).statistic) if len(first) > 2 else None


def profiler_times(model: str, shape: list[str], value: list[str], threads: int) -> dict[str, float]:
    """Return the milliseconds of each node that ONNX Runtime's profiler states, the median over runs."""
    sizes = {name: [int(n) for n in text.split(",")] for name, text in (pair.split("=") for pair in shape)}
    numbers = {name: float(text) for name, text in (pair.split("=") for pair in value)}
    loaded = load_onnx(model)
    feeds = draw_inputs(fix_shapes(loaded, sizes), numbers)  # those of the explanation
    times = profile_nodes(loaded.SerializeToString(), feeds, threads=threads, runs=RUNS)
    return {name: float(np.median(samples)) for name, samples in times.items()}


CHANNELS = 64
CASES = (
    ("unaligned", "65 channels", 14),
    ("unaligned", "65 channels", 28),
    ("unaligned", "65 channels", 56),
    ("unfused", "Mish", 28),
    ("unfused", "Mish", 56),
    ("unfused", "Elu", 56),
    ("layout", "shuffle", 28),
    ("layout", "shuffle", 56),
    ("layout", "flip", 28),
    ("layout", "flip", 56),
)
"""Planted slow nodes: the reason that must be named, what is planted, and the size of the images."""


def chain(size: int, planted: str = "", kernel: int = 3) -> onnx.ModelProto:
    """Return four convolutions of 64 channels with ReLU, with something slow behind the second one.

    Args:
        size: Height and width.
        planted: ``65 channels``; an activation that takes the place of a ReLU; ``shuffle``, a channel shuffle;
            ``flip``, which exchanges height and width. Empty for nothing.
        kernel: Height and width of the kernels.
    """
    rng = np.random.default_rng(0)
    widths = [CHANNELS, CHANNELS + 1 if planted == "65 channels" else CHANNELS, CHANNELS, CHANNELS]
    nodes, weights, last, channels = [], [], "x", CHANNELS
    for number, width in enumerate(widths):
        values = rng.standard_normal((width, channels, kernel, kernel)) / np.sqrt(kernel**2 * channels / 2)
        weights.append(numpy_helper.from_array(values.astype(np.float32), f"w{number}"))
        nodes.append(
            helper.make_node("Conv", [last, f"w{number}"], [f"c{number}"], f"conv{number}", pads=[kernel // 2] * 4)
        )
        activation = planted if number == 1 and planted in ("Mish", "Elu") else "Relu"
        name = f"relu{number}" if activation == "Relu" else "slow"
        nodes.append(helper.make_node(activation, [f"c{number}"], [f"r{number}"], name))
        last, channels = f"r{number}", width
        if number == 1 and planted in ("shuffle", "flip"):
            more, constants, last = moved(planted, last, size)
            nodes, weights = nodes + more, weights + constants
    read = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, CHANNELS, size, size])
    written = helper.make_tensor_value_info(last, TensorProto.FLOAT, [1, CHANNELS, size, size])
    graph = helper.make_graph(nodes, "chain", [read], [written], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def moved(planted: str, source: str, size: int) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto], str]:
    """Return nodes that move the numbers of a tensor, their constants, and the name of the result."""
    image = [1, CHANNELS, size, size]
    steps: list[list[int] | str] = {
        "shuffle": [[1, 8, CHANNELS // 8, size, size], "0,2,1,3,4", image],
        "flip": ["0,1,3,2"],
    }[planted]
    nodes, constants = [], []
    for number, step in enumerate(steps):
        written = f"{planted}{number}"
        if isinstance(step, str):
            perm = [int(axis) for axis in step.split(",")]
            nodes.append(helper.make_node("Transpose", [source], [written], f"slow{number}", perm=perm))
        else:
            constants.append(numpy_helper.from_array(np.array(step, dtype=np.int64), f"shape{number}"))
            nodes.append(helper.make_node("Reshape", [source, f"shape{number}"], [written], f"reshape{number}"))
        source = written
    return nodes, constants, source


def check_planted(reason: str, planted: str, size: int) -> dict[str, Any]:
    """Explain a graph with a slow node; compare what it promises with what the removal of the slow node gains.

    The promise comes from the explanation alone; the gain is measured afterwards, and stated at the same speed.
    """
    kernel = 1 if reason == "layout" else 3  # a layout change matters beside little arithmetic
    slow, plain = chain(size, planted, kernel), chain(size, kernel=kernel)
    explanation = hwnas.explain(slow.SerializeToString(), no_changes=True)
    named, rightly = named_rows(explanation, reason)
    promised, half = promise(explanation, reason, named)
    gain, low, high = measured_gain(slow, plain, explanation.total_ms)
    return {
        "reason": reason,
        "planted": planted,
        "size": size,
        "named": [row.node for row in named],
        "rightly_named": rightly,
        "promised_ms": promised,
        "promised_low_ms": promised - half,
        "promised_high_ms": promised + half,
        "gain_ms": gain,
        "gain_low_ms": low,
        "gain_high_ms": high,
        "total_ms": explanation.total_ms,
        "rows": explanation.as_dict()["rows"],
        "real": promised > half and low > 0,
        "inside": abs(gain - promised) <= half,
        "kept": rightly and promised > half and low <= promised + half and high >= promised - half,
    }


def named_rows(explanation: Explanation, reason: str) -> tuple[list[ExplainedNode], bool]:
    """Return the rows that the plant costs as the explanation names them, and whether it names the right ones.

    Layout changes before the first and after the last convolution are those of the graph's ends.
    """
    rows = explanation.rows
    convolutions = [number for number, row in enumerate(rows) if row.op.startswith("Conv")]
    inside = rows[convolutions[0] : convolutions[-1] + 1]
    wanted = {reason} if reason == "unaligned" else {reason, "layout"}
    named = [row for row in inside if wanted & set(row.reasons)]
    if reason == "unaligned":
        return named, [row.op.startswith("Conv") for row in named] == [True, True]
    planted = [row for row in inside if not row.op.startswith(("Conv", "Reorder"))]
    rightly = bool(planted) and all(reason in row.reasons for row in planted)
    return named, rightly and not any(row.op.startswith("Conv") for row in named)


def promise(explanation: Explanation, reason: str, named: list[ExplainedNode]) -> tuple[float, float]:
    """Return what the removal of the named rows gains, and half of its 90 % prediction interval.

    Unaligned convolutions become aligned ones, which cost what the others of the graph cost.
    """
    names = {row.node for row in named}
    aligned = {row.node for row in explanation.rows if row.op.startswith("Conv")} - names
    gain, low, high = promised_gain(explanation, names, aligned if reason == "unaligned" else ())
    return gain, (high - low) / 2


def measured_gain(slow: onnx.ModelProto, plain: onnx.ModelProto, total_ms: float) -> tuple[float, float, float]:
    """Return what the plain graph saves, and the ends of the 90 % interval, in milliseconds.

    Both graphs are measured in the same rounds. The machine may be faster or slower then than during the explanation,
    so the saved share is what is measured; it is stated at the speed of the explanation, where the slow graph takes
    `total_ms`.
    """
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("slow.onnx", "plain.onnx")]
        for path, model in zip(paths, (slow, plain), strict=True):
            write_atomic(path, model.SerializeToString())
        ranking = hwnas.rank(paths, latency_statistic="q10")
    difference = ranking.differences[0]  # of the slower one over the faster one
    ratios = (difference.ratio, difference.low, difference.high)
    if ranking.files[0].name.startswith("plain"):
        gain, low, high = (total_ms * (1 - 1 / ratio) for ratio in ratios)
    else:
        gain, low, high = (total_ms * (1 - ratio) for ratio in ratios)
    return gain, min(low, high), max(low, high)


if __name__ == "__main__":
    sys.exit(main())
