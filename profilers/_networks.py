"""Measuring whole networks twice, each time with sessions of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from latency_tables import OpGraph
from profilers._backend import Backend
from profilers._executed import executed_graph, fusion_of
from profilers._references import References, ReferenceTimer, SessionTimes
from profilers._samples import SampleSet
from profilers._speed import at_one_speed
from profilers._timing import SamplingSettings, Timer, first_pass_name, second_pass_name


def measure_twice(
    backend: Backend,
    graphs: Sequence[OpGraph],
    settings: SamplingSettings,
    *,
    progress: Callable[[str], None] = lambda text: None,
) -> list[tuple[float, float]]:
    """Measure whole networks in two separate passes of interleaved rounds, at one speed of the machine.

    Args:
        backend: Device and runtime.
        graphs: The networks.
        settings: How to sample.
        progress: Receives lines for people.

    Returns:
        For each network the q10 of both passes, in milliseconds.

    Raises:
        UnsupportedGraphError: The runtime cannot execute a network.
    """
    executed = [executed_graph(graph, fusion_of(backend)) for graph in graphs]
    samples: dict[str, SampleSet] = {}
    for number, named in ((1, str), (2, second_pass_name)):
        progress(f"measuring {len(graphs)} networks, pass {number} of 2")
        runnables = {named(str(i)): backend.load(graph, seed=number) for i, graph in enumerate(executed)}
        taken = sum(len(sample_set.seconds) for sample_set in samples.values())
        samples |= Timer(runnables, settings, seed=number, first_moment=taken).run()
    corrected = at_one_speed(samples, first_pass_name).samples
    names = [str(i) for i in range(len(graphs))]
    return [(corrected[name].quantile() * 1e3, corrected[second_pass_name(name)].quantile() * 1e3) for name in names]


def measure_beside(
    backend: Backend,
    graphs: Sequence[OpGraph],
    references: References,
    settings: SamplingSettings,
    *,
    progress: Callable[[str], None] = lambda text: None,
) -> tuple[SessionTimes, SessionTimes]:
    """Measure whole networks beside references in two separate passes, each with sessions of its own.

    Args:
        backend: Device and runtime.
        graphs: The networks.
        references: Networks that tell the machine's speed of the moment.
        settings: How to sample.
        progress: Receives lines for people.

    Returns:
        The machine's speed and the times of both passes; networks are named by their number.

    Raises:
        UnsupportedGraphError: The runtime cannot execute a network.
    """
    executed = [executed_graph(graph, fusion_of(backend)) for graph in graphs]

    def measure(number: int) -> SessionTimes:
        """Load everything and measure it."""
        progress(f"measuring {len(graphs)} networks, pass {number} of 2")
        runnables = {str(i): backend.load(graph, seed=number) for i, graph in enumerate(executed)}
        return ReferenceTimer(backend, references).measure(runnables, settings, seed=number)

    return measure(1), measure(2)
