"""Times of nodes inside runs of the whole network, from ONNX Runtime's own profiler, made fit to stand beside windows.

A window tells a price as a difference of two long times, so its noise is that of the whole window. The profiler times
each node in the network itself; but it writes an event for each node, which costs up to some microseconds and makes the
sum of small nodes several times too long. Here this cost is found from the same network run without the profiler,
and what it leaves in doubt is found from the windows (`combined`).
"""

from __future__ import annotations

import json
import math
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from profilers._errors import UnsupportedGraphError
from profilers._explain._graph import ExecutedGraph
from profilers._explain._prices import steadied
from profilers._session import ModelSession

FloatArray = npt.NDArray[np.float64]
SESSIONS = 3
"""Sessions that are profiled, before the rounds and again after them.

A node takes longer or less by 1-2 % in each, because its memory lies elsewhere and the machine changes.
"""
FEWEST_RUNS, MOST_RUNS = 6, 60
"""Runs of each session that count."""
UNTIMED_RUNS = 2
"""Runs of each session that do not count, beside those that bind its outputs."""
_QUANTILE = 0.25
"""Of the runs of one session: it has too few of them for q10."""
_LARGE_MS = 0.01
"""Nodes from here on tell how much sessions differ; the profiler's clock counts whole microseconds."""
_EVENT = "_kernel_time"


@dataclass(frozen=True)
class Events:
    """What the profiler says of each node, and the same network without it, in each session.

    Attributes:
        ms: Milliseconds of each node ``(sessions,)``, by the node's name.
        plain_ms: Milliseconds of the network without the profiler ``(sessions,)``.
    """

    ms: Mapping[str, FloatArray]
    plain_ms: FloatArray

    def __add__(self, other: Events) -> Events:
        """Return the sessions of both."""
        names = [name for name in self.ms if name in other.ms]
        ms = {name: np.concatenate([self.ms[name], other.ms[name]]) for name in names}
        return Events(ms, np.concatenate([self.plain_ms, other.plain_ms]))

    def in_network(self, network_ms: float, start_ms: float, deviation_ms: float) -> dict[str, tuple[float, float]]:
        """Return the price of each node and its standard deviation, in milliseconds.

        Nothing is returned where starting an inference takes as long as the whole network.

        Args:
            network_ms: What the nodes take together, at the speed of the windows.
            start_ms: What starting an inference costs, which `plain_ms` contains.
            deviation_ms: Standard deviation of `network_ms`, which every price shares.
        """
        together = self.plain_ms - start_ms
        if not self.ms or not np.all(together > 0) or network_ms <= 0:
            return {}
        events = np.stack(list(self.ms.values()))  # (nodes, sessions)
        # each = (sum of events - network) / nodes; price = speed * (event - each): prices add up to `network_ms`.
        each = (events.sum(axis=0) - together) / len(events)
        prices = network_ms / together * (events - each)
        means = prices.mean(axis=1)
        spreads = steadied(prices.std(axis=1, ddof=1), means, means > _LARGE_MS)
        deviations = np.hypot(spreads / math.sqrt(events.shape[1]), deviation_ms / network_ms * means)
        return {name: (float(means[i]), float(deviations[i])) for i, name in enumerate(self.ms)}


def profile_nodes(
    model: bytes, inputs: Mapping[str, Any], *, threads: int, runs: int, level: str | None = None
) -> dict[str, FloatArray]:
    """Return the milliseconds that ONNX Runtime's profiler states for each node ``(runs,)`` in one session.

    Args:
        model: Serialised model.
        inputs: Values of its inputs by name.
        threads: Threads inside an operator.
        runs: Runs that count, after some that do not.
        level: Member of ONNX Runtime's ``GraphOptimizationLevel``; None for the one that is measured.

    Raises:
        UnsupportedGraphError: ONNX Runtime cannot execute the model, or cannot write the names of its nodes.
    """
    with tempfile.TemporaryDirectory() as folder:
        session = ModelSession(model, inputs, threads=threads, level=level, profile=Path(folder) / "events")
        session.run(UNTIMED_RUNS)
        session.run(runs)
        content = Path(session.end_profiling()).read_bytes()
    try:
        events = json.loads(content)
    except ValueError:  # it writes names as they are, quotes included
        raise UnsupportedGraphError(
            "the profile of ONNX Runtime cannot be read; names of nodes may hold no quotes, backslashes or control "
            "characters"
        ) from None
    times: dict[str, list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(_EVENT):
            times[event["name"].removesuffix(_EVENT)].append(event["dur"] / 1e3)
    return {name: np.array(durations[-runs:]) for name, durations in times.items()}


def measure_events(graph: ExecutedGraph, inputs: Mapping[str, Any], *, threads: int, seconds: float) -> Events:
    """Profile the nodes of the executed graph in several sessions, each beside a session without the profiler.

    Args:
        graph: The graph.
        inputs: Values of its inputs by name.
        threads: Threads inside an operator.
        seconds: How long the runs may take, as far as `FEWEST_RUNS` allow.

    Raises:
        UnsupportedGraphError: ONNX Runtime cannot execute the graph.
    """
    named = onnx.ModelProto()
    named.CopyFrom(graph.model)
    for i, proto in enumerate(named.graph.node):
        proto.name = f"hwnas-node-{i}"  # the profile holds names as they are, and those of subgraphs, too
    content, level = named.SerializeToString(), "ORT_DISABLE_ALL"
    plain = ModelSession(content, inputs, threads=threads, level=level)
    once = min(plain.run(1) for _ in range(2))
    runs = int(np.clip(seconds / (2 * SESSIONS * once), FEWEST_RUNS, MOST_RUNS))
    sessions, plain_ms = [], []
    for _ in range(SESSIONS):
        times = profile_nodes(content, inputs, threads=threads, runs=runs, level=level)
        sessions.append({name: float(np.quantile(samples, _QUANTILE)) for name, samples in times.items()})
        plain.run(1)
        plain_ms.append(float(np.quantile([plain.run(1) * 1e3 for _ in range(runs)], _QUANTILE)))
    ms = {
        node.name: np.array([session[proto.name] for session in sessions])
        for proto, node in zip(named.graph.node, graph.nodes, strict=True)
        if all(proto.name in session for session in sessions)
    }
    return Events(ms, np.array(plain_ms))
