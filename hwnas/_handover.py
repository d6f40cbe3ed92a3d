"""The hand-over: ONNX files of the winners, measured again on the device and tested as they are."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hwnas._run import Run
from hwnas._space_costs import SpaceCosts
from hwnas.data import ImageData
from hwnas.evaluators import Evaluator
from hwnas.spaces import Architecture, Space
from latency_tables import LatencyTable
from profilers import OnnxRuntimeBackend, Sampler, SampleSet, SamplingSettings
from profilers._sampling import relative_half_width

VERIFICATION = SamplingSettings(min_rounds=30, max_rounds=90, inner_seconds=1e-3)
"""Sampling of the winners: longer than in a profile, since they are few."""


@dataclass(frozen=True)
class Winner:
    """A network of the front.

    Attributes:
        trial: number of its trial.
        arch: the architecture.
        validation_accuracy: as the search saw it.
    """

    trial: int
    arch: Architecture
    validation_accuracy: float

    @property
    def id(self) -> str:
        """Its name in the run."""
        return f"t{self.trial:04d}"


def hand_over(
    run: Run,
    winners: Sequence[Winner],
    space: Space,
    costs: SpaceCosts,
    evaluator: Evaluator,
    data: ImageData,
    progress: Callable[[str], None],
) -> list[dict[str, Any]]:
    """Export, measure and test the winners, and write ``pareto.json``.

    Args:
        run: where files go.
        winners: at most ten, from fast to slow.
        space: what they are of.
        costs: predicts their latency.
        evaluator: has their weights.
        data: its test part is touched here and nowhere else.
        progress: receives lines for people.

    Returns:
        The entries of ``pareto.json``.
    """
    folder = run.folder("models")
    files = [export_onnx(folder / f"{w.id}.onnx", w, space, evaluator, data, run.settings.batch) for w in winners]
    progress(f"measuring {len(files)} ONNX files on {run.settings.device}")
    measured = measure_files(files, threads=run.settings.threads)
    table = costs.table
    assert table is not None
    entries = []
    for winner, file in zip(winners, files, strict=True):
        entry = known_costs(winner, space, costs, table)
        samples = measured[str(file)]
        entry["latency_ms"]["measured"] = _rounded(samples.quantile() * 1e3)
        entry["latency_ms"]["measured_half_width"] = _rounded(
            relative_half_width(samples.seconds, np.random.default_rng(0)) * samples.quantile() * 1e3
        )
        entry["accuracy"] = onnx_accuracy(file, data, threads=run.settings.threads)
        entry["torch_accuracy"] = evaluator.test_accuracy(winner.arch)
        entry["onnx"] = f"models/{file.name}"
        entries.append(entry)
        progress(
            f"{winner.id}: test accuracy {entry['accuracy']:.2%}, predicted {entry['latency_ms']['predicted']:.4g} ms, "
            f"measured {entry['latency_ms']['measured']:.4g} ms"
        )
    run.write("pareto.json", json.dumps(entries, indent=1) + "\n")
    return entries


def known_costs(winner: Winner, space: Space, costs: SpaceCosts, table: LatencyTable | None) -> dict[str, Any]:
    """An entry of ``pareto.json`` with what needs no measurement; the rest is None."""
    codes = space.encode(winner.arch)[None]
    latency: dict[str, float | None] = {"predicted": None, "low": None, "high": None, "measured": None}
    if table is not None:
        price = table.price_of_sum(float(costs.latency_ms(codes)[0]) / table.scale)
        latency |= {
            "predicted": _rounded(price.value_ms),
            "low": _rounded(price.low_ms),
            "high": _rounded(price.high_ms),
        }
    return {
        "id": winner.id,
        "trial": winner.trial,
        "arch": space.format(winner.arch),
        "accuracy": None,
        "validation_accuracy": winner.validation_accuracy,
        "latency_ms": latency,
        "macs": int(costs.macs(codes)[0]),
        "params": int(costs.params(codes)[0]),
        "peak_memory_bytes": int(costs.peak_memory_bytes(codes)[0]),
        "onnx": None,
    }


def export_onnx(path: Path, winner: Winner, space: Space, evaluator: Evaluator, data: ImageData, batch: int) -> Path:
    """Write the network with its trained weights; the file's metadata say how to prepare images for it."""
    from latency_tables import write_atomic
    from profilers import build_onnx

    graph = space.graph(winner.arch)
    metadata = {
        "hwnas.arch": space.format(winner.arch),
        "hwnas.space": json.dumps({"name": space.name, "settings": space.settings}),
        "hwnas.preprocessing": json.dumps(
            {
                "layout": "NCHW",
                "scale": "divide pixels by 255, subtract mean, divide by std, resize bilinearly (antialiased)",
                "size": graph.input_shape[1],
                "mean": data.mean,
                "std": data.std,
            }
        ),
        "hwnas.classes": json.dumps(data.classes),
    }
    model = build_onnx(graph, evaluator.trained_weights(winner.arch), batch=batch, metadata=metadata)
    write_atomic(path, model.SerializeToString())
    return path


def measure_files(files: Sequence[Path], *, threads: int) -> dict[str, SampleSet]:
    """Latency samples of ONNX files, in interleaved rounds."""
    backend = OnnxRuntimeBackend(threads=threads)
    sampler = Sampler({str(file): backend.load_file(str(file)) for file in files}, VERIFICATION)
    return sampler.run()


def onnx_accuracy(file: Path, data: ImageData, *, threads: int) -> float:
    """Accuracy of an ONNX file on the test part, through ONNX Runtime."""
    from hwnas.training import evaluate_onnx

    return evaluate_onnx(file, data, data.test, threads=threads)


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
