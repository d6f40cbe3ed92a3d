"""Measuring whole networks twice, each time with sessions of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from latency_tables import OpGraph
from profilers._backend import Backend
from profilers._sampling import Sampler, SamplingSettings


def measure_twice(
    backend: Backend,
    graphs: Sequence[OpGraph],
    settings: SamplingSettings,
    *,
    progress: Callable[[str], None] = lambda text: None,
) -> list[tuple[float, float]]:
    """Latencies of whole networks, measured in two separate passes of interleaved rounds.

    Args:
        backend: device and runtime.
        graphs: the networks.
        settings: of the sampling.
        progress: receives lines for people.

    Returns:
        For each network the q10 of both passes, in milliseconds.

    Raises:
        UnsupportedGraphError: the runtime cannot execute a network.
    """
    passes = []
    for number in (1, 2):
        progress(f"measuring {len(graphs)} networks, pass {number} of 2")
        runnables = {str(i): backend.load(graph, seed=number) for i, graph in enumerate(graphs)}
        samples = Sampler(runnables, settings, seed=number).run()
        passes.append([samples[str(i)].quantile() * 1e3 for i in range(len(graphs))])
    return list(zip(*passes, strict=True))
