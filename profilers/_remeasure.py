"""Measures a few ops and networks of a table again, by the probes that priced them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from latency_tables import CacheCurve, Op, OpGraph
from profilers._backend import Backend
from profilers._cache_curve import probe_extra_ms
from profilers._design import Probe, design_probes, probe_name
from profilers._executed import executed_graph, fusion_of
from profilers._neighbours import priced_as
from profilers._operators._convert import Convert
from profilers._plan import measured_cold, noise_weights_of, reference_graph
from profilers._solve import solve_prices, without_slow_sessions
from profilers._speed import at_one_speed
from profilers._timing import REFERENCE_OP, Runnable, SamplingSettings, Timer
from profilers._working_set import Sizes


@dataclass(frozen=True)
class Remeasured:
    """Times that were measured again, in milliseconds.

    Attributes:
        reference_op_ms: Time of the reference op.
        prices: Price of each op.
        half_widths: Half the width of each price's 90 % interval.
        graph_noise: One percent of the time of the shortest graph that the op's price was solved from.
        networks: Time of each network, in their order.
    """

    reference_op_ms: float
    prices: dict[Op, float]
    half_widths: dict[Op, float]
    graph_noise: dict[Op, float]
    networks: list[float]


def remeasure(
    backend: Backend,
    targets: Sequence[Op],
    chosen: Sequence[Op],
    networks: Sequence[OpGraph],
    curve: CacheCurve | None,
    settings: SamplingSettings,
    *,
    cold: bool | None = None,
    refused: Collection[Op] = (),
) -> Remeasured:
    """Measure `chosen` ops and whole networks again.

    Args:
        backend: Device and runtime.
        targets: All ops of the table: they decide which ops stand around a measured one.
        chosen: The ops to measure.
        networks: Whole networks to measure.
        curve: The table's cost of working sets; None where it has none.
        settings: When sampling stops.
        cold: Whether the table's prices were measured with cold caches; None where the table does not say.
        refused: Ops of the table that the runtime cannot execute: no measured graph holds them.

    Raises:
        UnsupportedGraphError: The runtime cannot execute a graph.
    """
    if cold is None:
        cold = measured_cold(backend, curve is not None)
    tie, fusion = backend.fast_cache_bytes > 0 and not cold, fusion_of(backend)
    designed = design_probes(
        targets, backend.image_channels, tie=tie, avoid=refused, cores=backend.cores, fusion=fusion
    )
    source = {op: priced_as(op) for op in chosen}
    probes = _needed(designed, set(source.values()))
    runnables: dict[str, Runnable] = {p.name: backend.load(p.graph, tied=p.tied, cold=cold) for p in probes}
    executed = [executed_graph(graph, fusion) for graph in networks]
    runnables |= {f"network:{i}": backend.load(graph, seed=1) for i, graph in enumerate(executed)}
    runnables[REFERENCE_OP] = backend.load(reference_graph(backend.image_channels))
    samples = at_one_speed(Timer(runnables, settings, noise_weights=noise_weights_of(probes)).run()).samples
    probes = without_slow_sessions(probes, samples)
    sizes = Sizes(backend.element_bytes, backend.batch)
    prices = solve_prices(probes, samples, extra_ms=probe_extra_ms(probes, curve, sizes))
    return Remeasured(
        reference_op_ms=samples[REFERENCE_OP].quantile() * 1e3,
        prices={op: prices[source[op]].q10 for op in chosen},
        half_widths={op: (prices[source[op]].high - prices[source[op]].low) / 2 for op in chosen},
        graph_noise={
            op: 0.01 * min(samples[probe.name].quantile() for probe in probes if source[op] in probe.counts) * 1e3
            for op in chosen
        },
        networks=[samples[f"network:{i}"].quantile() * 1e3 for i in range(len(networks))],
    )


def _needed(probes: Sequence[Probe], chosen: Collection[Op]) -> list[Probe]:
    """Return the probes of the chosen ops, and those that the other unknowns in them are solved from."""
    own = [probe for probe in probes if probe.name in {probe_name(op) for op in chosen}]
    unknown = {op for probe in own for op in probe.counts} - set(chosen)
    unknown |= {op for op in chosen if probe_name(op) not in {probe.name for probe in own}}  # of shared probes alone
    conversions = {op for op in chosen if op.kind == Convert.kind}  # in chains with several other unknowns
    unknown |= {op for probe in probes if conversions & set(probe.counts) for op in probe.counts}
    return own + [p for p in probes if p.shared and (p.name.startswith("session:") or unknown & set(p.counts))]
