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
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from scipy.stats import spearmanr

import hwnas
from latency_tables import write_atomic
from profilers import Explanation

SHARE = 0.01
"""Rows below this share of the total take no part in the ranking."""
FIRST = 3
"""Runs of the profiler that are left out, and as many that count, times ten."""


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
    planted = [check_planted(name, *models) for name, models in planted_models().items()] if options.planted else []
    for result in planted:
        tell(result)
    ratios = [result["sum"] for result in results if "sum" in result]
    summary = {
        "median_error": float(np.median(np.abs(np.array(ratios) - 1))) if ratios else None,
        "worst_error": float(np.max(np.abs(np.array(ratios) - 1))) if ratios else None,
        "promises_kept": sum(result["kept"] for result in planted),
        "promises": len(planted),
    }
    tell(summary)
    record = {"models": results, "planted": planted, **summary}
    write_atomic(Path(options.output), json.dumps(record, indent=1) + "\n")
    return 0


def tell(result: Mapping[str, Any]) -> None:
    """Print a result without its rows."""
    sys.stdout.write(json.dumps({name: value for name, value in result.items() if name != "rows"}) + "\n")
    sys.stdout.flush()


def check(model: str, shape: list[str], value: list[str], threads: int) -> dict[str, Any]:
    """Explain a model twice, beside the profiler of ONNX Runtime."""
    began = time.monotonic()
    first = hwnas.explain(model, threads=threads, shape=shape, value=value)
    seconds = time.monotonic() - began
    second = hwnas.explain(model, threads=threads, shape=shape, value=value)
    rows = {row.node: row.ms for row in first.rows}
    others = {row.node: row.ms for row in second.rows}
    large = [name for name, ms in rows.items() if ms > SHARE * first.total_ms and name in others]
    result = {
        "model": Path(model).name,
        "nodes": len(rows),
        "seconds": round(seconds, 1),
        "total_ms": first.total_ms,
        "sum": 1 - first.unexplained_ms / first.total_ms,
        "sum_again": 1 - second.unexplained_ms / second.total_ms,
        "noise_floor": first.noise_floor,
        "rounds": first.rounds,
        "large_rows": len(large),
        "repeats": rank_agreement([rows[name] for name in large], [others[name] for name in large]),
    }
    profiled = profiler_times(model, shape, value, threads)
    both = [name for name in large if name in profiled]
    result["profiler_sum"] = sum(profiled.values()) / first.total_ms
    result["profiler_ranks"] = rank_agreement([rows[name] for name in both], [profiled[name] for name in both])
    result["rows"] = first.as_dict()["rows"]
    return result


def rank_agreement(first: list[float], second: list[float]) -> float | None:
    """Return Spearman's correlation; None for fewer than three."""
    return float(spearmanr(first, second).statistic) if len(first) > 2 else None


def profiler_times(model: str, shape: list[str], value: list[str], threads: int) -> dict[str, float]:
    """Return the milliseconds of each node that ONNX Runtime's profiler states, the median over runs."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.enable_profiling = True
    options.log_severity_level = 4
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        sizes = {name: [int(n) for n in text.split(",")] for name, text in (pair.split("=") for pair in shape)}
        numbers = {name: float(text) for name, text in (pair.split("=") for pair in value)}
        rng, feeds = np.random.default_rng(0), {}
        for tensor in session.get_inputs():
            extents = sizes.get(tensor.name, [n if isinstance(n, int) else 1 for n in tensor.shape])
            kind = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(int32)": np.int32}[tensor.type]
            drawn = rng.standard_normal(extents) if kind is np.float32 else np.zeros(extents)
            feeds[tensor.name] = np.full(extents, numbers.get(tensor.name, drawn)).astype(kind)
        for _ in range(11 * FIRST):
            session.run(None, feeds)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    times: dict[str, list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            times[event["name"].removesuffix("_kernel_time")].append(event["dur"] / 1e3)
    return {name: float(np.median(samples[FIRST:])) for name, samples in times.items()}


def planted_models() -> dict[str, tuple[onnx.ModelProto, onnx.ModelProto, str]]:
    """Return graphs with a slow node, the same without it, and the reason that must be named."""
    models = {}
    for size in (28, 56):
        plain = chain(size, [64, 64, 64])
        models[f"unaligned {size}"] = (chain(size, [64, 65, 64]), plain, "unaligned")
        models[f"activation {size}"] = (chain(size, [64, 64, 64], after="Mish"), plain, "unfused")
        models[f"elu {size}"] = (chain(size, [64, 64, 64], after="Elu"), plain, "unfused")
        models[f"transposition {size}"] = (chain(size, [64, 64, 64], after="Transpose"), plain, "layout")
        models[f"two transpositions {size}"] = (chain(size, [64, 64, 64], after="Twice"), plain, "layout")
    return models


def chain(size: int, widths: list[int], after: str = "") -> onnx.ModelProto:
    """Return convolutions with ReLU; the second one is followed by something slow."""
    rng = np.random.default_rng(0)
    nodes, weights, last, channels = [], [], "x", 64
    for number, width in enumerate([*widths, 64]):
        values = rng.standard_normal((width, channels, 3, 3)) / np.sqrt(4.5 * channels)
        weights.append(numpy_helper.from_array(values.astype(np.float32), f"w{number}"))
        nodes.append(helper.make_node("Conv", [last, f"w{number}"], [f"c{number}"], f"conv{number}", pads=[1] * 4))
        nodes.append(helper.make_node("Relu", [f"c{number}"], [f"r{number}"], f"relu{number}"))
        last, channels = f"r{number}", width
        if after and number == 1:
            kinds = ["Transpose"] * (2 if after == "Twice" else 1) if after in ("Twice", "Transpose") else [after]
            if kinds[0] != "Transpose":
                nodes.pop()
                last = f"c{number}"
            for place, kind in enumerate(kinds):
                more = {"perm": [0, 1, 3, 2]} if kind == "Transpose" else {}
                nodes.append(helper.make_node(kind, [last], [f"slow{place}"], f"slow{place}", **more))
                last = f"slow{place}"
                if place == 0 and len(kinds) > 1:
                    nodes.append(helper.make_node("Sigmoid", [last], ["between"], "between"))
                    last = "between"
    read = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 64, size, size])
    written = helper.make_tensor_value_info(last, TensorProto.FLOAT, [1, 64, size, size])
    graph = helper.make_graph(nodes, "chain", [read], [written], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def check_planted(name: str, slow: onnx.ModelProto, plain: onnx.ModelProto, reason: str) -> dict[str, Any]:
    """Explain a graph with a slow node; compare the price of what is named with what its removal gains."""
    first = hwnas.explain(slow.SerializeToString())
    second = hwnas.explain(plain.SerializeToString())
    promised, low, high = promise(first, second, reason)
    gain = first.total_ms - second.total_ms
    spread = (first.total_high_ms - first.total_low_ms + second.total_high_ms - second.total_low_ms) / 2
    named = [row.node for row in first.rows if reason in row.reasons]
    return {
        "planted": name,
        "named": named,
        "promised_ms": promised,
        "low_ms": low,
        "high_ms": high,
        "gain_ms": gain,
        "kept": bool(named) and low - spread <= gain <= high + spread,
    }


def promise(slow: Explanation, plain: Explanation, reason: str) -> tuple[float, float, float]:
    """Return what removing a graph's slow nodes promises: their prices, less those of what stands in their place."""
    unaligned = reason == "unaligned"
    gone = [row for row in slow.rows if reason in row.reasons or is_between(row.node)]
    kept = [row for row in plain.rows if is_between(row.node)]
    kept += [row for row in plain.rows if row.op.startswith("Conv")][1:3] if unaligned else []
    middle = sum(row.ms for row in gone) - sum(row.ms for row in kept)
    half = sum(row.high_ms - row.low_ms for row in (*gone, *kept)) / 2
    return middle, middle - half, middle + half


def is_between(node: str) -> bool:
    """Whether a row is no convolution of the plain graph: a layout change, or what stands between two of them."""
    return node.startswith(("Reorder", "slow", "between"))


if __name__ == "__main__":
    sys.exit(main())
