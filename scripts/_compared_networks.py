"""What comparisons of trained networks share: a result that grows in one file, trainings from scratch, latencies."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hwnas.spaces import Architecture, Space
from hwnas.tasks import Task
from hwnas.training import default_recipe, score_network, train_network
from latency_tables import OpGraph, write_atomic
from profilers import OnnxRuntimeBackend, fixed_rounds, measure_twice


def resumed(path: Path, fresh: dict[str, Any]) -> dict[str, Any]:
    """Return the result so far; a fresh one where there is no file.

    Args:
        path: File of the result.
        fresh: A result without anything done, with its ``settings``.

    Raises:
        SystemExit: The file holds a result with other settings.
    """
    if not path.exists():
        return fresh
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if result["settings"] != fresh["settings"]:
        sys.exit(f"{path} has other settings; choose another --output")
    return result


def save(path: Path, result: Mapping[str, Any]) -> None:
    """Write the result so far."""
    write_atomic(path, json.dumps(result, indent=1) + "\n")


def trained(space: Space, arch: Architecture, task: Task, epochs: int, seed: int) -> dict[str, float]:
    """Train a network from scratch; return its accuracies and what they took."""
    graph, began = space.graph(arch), time.perf_counter()
    network = train_network(graph, task, default_recipe(task, epochs=epochs), seed=seed, threads=1)
    scores = {part: score_network(network, task, part, graph.input_shape) for part in ("validation", "test")}
    return {**scores, "seconds": time.perf_counter() - began}


def latencies(space: Space, networks: Mapping[str, Architecture]) -> dict[str, float]:
    """Return milliseconds of networks on this CPU (one thread, batch 1), the mean of two interleaved measurements."""
    times = milliseconds([space.graph(arch) for arch in networks.values()], rounds=30, most_s=60.0)
    return dict(zip(networks, times, strict=True))


def milliseconds(graphs: Sequence[OpGraph], *, rounds: int, most_s: float) -> list[float]:
    """Time networks on this CPU (one thread, batch 1): the mean of two interleaved measurements of each.

    Args:
        graphs: The networks.
        rounds: Rounds of a measurement.
        most_s: Seconds after which it ends, at most.
    """
    times = measure_twice(OnnxRuntimeBackend(threads=1), graphs, fixed_rounds(rounds, max_seconds=most_s))
    return [(a + b) / 2 for a, b in times]
