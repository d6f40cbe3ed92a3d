"""Measuring whole networks twice, each time with sessions of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from latency_tables import OpGraph
from profilers._backend import Backend
from profilers._executed import executed_graph, fusion_of
from profilers._samples import SampleSet
from profilers._sampling import Sampler, SamplingSettings, again, same_graph
from profilers._speed import at_one_speed


def measure_twice(
    backend: Backend,
    graphs: Sequence[OpGraph],
    settings: SamplingSettings,
    *,
    progress: Callable[[str], None] = lambda text: None,
) -> list[tuple[float, float]]:
    """Latencies of whole networks at one speed of the machine, measured in two separate passes of interleaved rounds.

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
    executed = [executed_graph(graph, fusion_of(backend)) for graph in graphs]
    samples: dict[str, SampleSet] = {}
    for number, named in ((1, str), (2, again)):
        progress(f"measuring {len(graphs)} networks, pass {number} of 2")
        runnables = {named(str(i)): backend.load(graph, seed=number) for i, graph in enumerate(executed)}
        taken = sum(len(one.seconds) for one in samples.values())
        samples |= Sampler(runnables, settings, seed=number, first_moment=taken).run()
    found = at_one_speed(samples, same_graph).samples
    names = [str(i) for i in range(len(graphs))]
    return [(found[name].quantile() * 1e3, found[again(name)].quantile() * 1e3) for name in names]
