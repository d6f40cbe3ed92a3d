"""Latencies of ONNX files, all timed in the same interleaved rounds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from latency_tables import OpGraph
from profilers import OnnxRuntimeBackend, References, ReferenceTimer, fixed_rounds, ops

MOST_S = 300.0
"""Most seconds that the measurement takes."""


def timed_files(
    files: Mapping[str, Path], *, threads: int, rounds: int, seed: int = 0
) -> dict[str, Mapping[str, float]]:
    """Time ONNX files on this CPU in the same rounds.

    Returns:
        For each name the statistics of its times as taken, in milliseconds (`profilers.STATISTICS`).
    """
    backend = OnnxRuntimeBackend(threads=threads)
    unread = OpGraph.single(ops.identity((1, 1, 1)))  # this back end runs the file alone
    loaded = {name: backend.load_trained(unread, {}, str(file)) for name, file in files.items()}
    session = ReferenceTimer(backend, References()).measure(loaded, fixed_rounds(rounds, max_seconds=MOST_S), seed=seed)
    return {name: session.times[name].raw for name in loaded}
