"""What a profile measures: probes, pairs of chains, whole networks; and how all of them are loaded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from latency_tables import INTERVAL_SPLIT, GraphBuilder, GraphError, Op, OpGraph
from profilers._backend import Backend
from profilers._cache_curve import CachePair, design_cache_pairs, typical_working_bytes
from profilers._design import Probe, design_probes
from profilers._division import Cores
from profilers._errors import OperatorError, UnsupportedGraphError
from profilers._executed import Fusion, executed_graph, fusion_of
from profilers._operators import _make as ops
from profilers._sampling import CALIBRATION, Runnable, again
from profilers._working_set import Sizes

BEYOND_CACHES = 3.0
"""Networks whose working sets are all larger than so many times the fast caches run from slower memory throughout."""


@dataclass(frozen=True)
class Network:
    """A whole network to measure beside the ops.

    Attributes:
        arch: its text.
        graph: what is measured.
        split: One of the splits of `latency_tables.NetworkMeasurement`.
    """

    arch: str
    graph: OpGraph
    split: str


@dataclass(frozen=True)
class Plan:
    """Everything that is measured.

    Attributes:
        sizes: of elements and batches.
        probes: for the prices of ops.
        pairs: for the cost of working sets beyond the caches; none where all networks are.
        networks: whole networks by number.
        refused: ops that the runtime cannot execute, with its reason.
        cores: how threads share the ops, where that is known.
        cold: whether probes are executed with cold caches: they are smaller than the networks, and would find weights
            there that networks must fetch.
    """

    sizes: Sizes
    probes: list[Probe]
    pairs: list[CachePair]
    networks: Mapping[int, Network]
    refused: Mapping[Op, str] = field(default_factory=dict)
    cores: Cores | None = None
    cold: bool = False

    def digest(self) -> str:
        """Identifies what is measured, so that a journal is never continued with other graphs."""
        graphs = [[p.name, str(p.graph), sorted(op.key for op in p.tied)] for p in self.probes]
        networks = [[n.arch, n.split] for n in self.networks.values()]
        text = json.dumps([graphs, [p.name for p in self.pairs], networks, self.cold])
        return hashlib.sha256(text.encode("utf-8")).hexdigest()

    @property
    def care(self) -> dict[str, float]:
        """What is measured with more care than the rest, and what with less, in both passes, as `Sampler` takes it.

        More: probes that many prices rest on. Less: the many networks that only say how far predictions are off.
        """
        found = care_for(self.probes)
        found |= {network_label(i): 0.5 for i, n in self.networks.items() if n.split == INTERVAL_SPLIT}
        return found | {again(name): value for name, value in found.items()}

    def with_second_pass(self) -> Plan:
        """The same with every probe twice, the second time under its name in the second pass."""
        return replace(self, probes=[*self.probes, *(replace(p, name=again(p.name)) for p in self.probes)])

    def load_probes(self, backend: Backend, number: int) -> dict[str, Runnable]:
        """Sessions of all probes and pairs by name, in an order of its own for each pass.

        With several threads, a session can take a third longer wherever its memory happens to lie, and so do those that
        were loaded just before and behind it: were these the ops of one shape, networks would be mispriced by it.

        Args:
            backend: loads them.
            number: of the pass.

        Raises:
            UnsupportedGraphError: the runtime cannot execute one.
        """
        wanted: list[tuple[str, OpGraph, Collection[Op]]] = [(p.name, p.graph, p.tied) for p in self.probes]
        for pair in self.pairs:
            wanted += zip(pair.labels, (pair.graph, pair.graph), ((), (pair.op,)), strict=True)
        order = np.random.default_rng(number).permutation(len(wanted))
        shuffled = (wanted[int(i)] for i in order)
        return {name: backend.load(graph, tied=tied, cold=self.cold) for name, graph, tied in shuffled}

    def load_pass(self, backend: Backend, number: int, probes: Mapping[str, Runnable]) -> dict[str, Runnable]:
        """Everything that is sampled in pass 1 or 2, under the names of that pass.

        Args:
            backend: loads networks (with weights that differ between the passes) and the calibration op.
            number: of the pass.
            probes: sessions of probes and pairs, as `load_probes` names them.
        """
        networks = {network_label(i): backend.load(n.graph, seed=number) for i, n in self.networks.items()}
        calibration = {CALIBRATION: backend.load(calibration_graph(backend.image_channels))}
        loaded = {**probes, **networks, **calibration}
        return loaded if number == 1 else {again(name): runnable for name, runnable in loaded.items()}

    @property
    def names(self) -> set[str]:
        """Of everything that is sampled in both passes."""
        once = {probe.name for probe in self.probes} | {label for pair in self.pairs for label in pair.labels}
        once |= {network_label(i) for i in self.networks} | {CALIBRATION}
        return once | {again(name) for name in once}


def care_for(probes: Sequence[Probe]) -> dict[str, float]:
    """Twice the usual care for probes that many prices rest on, as `Sampler` takes it."""
    return {probe.name: 2.0 for probe in probes if probe.shared}


def network_label(index: int) -> str:
    """Name of a network's runnable in the first pass."""
    return f"network:{index}"


def calibration_graph(image_channels: int) -> OpGraph:
    """The calibration op: a few convolutions that every device runs, timed in every round."""
    builder = GraphBuilder((image_channels, 16, 16))
    x = builder.add("entry", ops.conv(builder.input_shape, 32, 3, act="relu"), "input")
    for i in range(4):
        x = builder.add(f"conv{i}", ops.conv((32, 16, 16), 32, 3, act="relu"), x)
    return builder.build(x)


def design_plan(
    backend: Backend, targets: Sequence[Op], networks: Sequence[Network], refused: Mapping[Op, str] | None = None
) -> Plan:
    """Design what to measure for prices of `targets`, without the ops in `refused`.

    Raises:
        OperatorError: A network holds an op that is not in `targets`, or no chain can be built around an op.
    """
    lost = refused or {}
    sizes = Sizes(backend.element_bytes, backend.batch)
    fusion = fusion_of(backend)
    networks = [_executed(network, fusion, set(targets)) for network in networks]
    tie = _fits_caches([network.graph for network in networks], backend, sizes)
    probes = design_probes(targets, backend.image_channels, tie=tie, avoid=lost, cores=backend.cores, fusion=fusion)
    pairs: list[CachePair] = []
    if tie and networks:
        pairs = design_cache_pairs(
            set(targets) - set(lost),
            [network.graph for network in networks],
            backend.image_channels,
            fast_cache_bytes=backend.fast_cache_bytes,
            sizes=sizes,
            cores=backend.cores,
            fusion=fusion,
        )
    return Plan(
        sizes=sizes,
        probes=probes,
        pairs=pairs,
        networks={i: n for i, n in enumerate(networks) if not set(lost) & set(n.graph.op_counts)},
        refused=lost,
        cores=backend.cores,
        cold=measured_cold(backend, tie),
    )


def _executed(network: Network, fusion: Fusion, targets: Collection[Op]) -> Network:
    """Return a network with its executed graph, all of whose ops must be priced."""
    graph = executed_graph(network.graph, fusion)
    missing = sorted(op.key for op in set(graph.op_counts) - set(targets))
    if missing:
        raise OperatorError(
            f"network {network.arch} executes {missing[0]}, which is not among the ops to price; add it"
        )
    return replace(network, graph=graph)


def measured_cold(backend: Backend, tied: bool) -> bool:
    """Whether probes are executed with cold caches: where networks leave the fast caches, and weights are not tied."""
    return backend.fast_cache_bytes > 0 and not tied


def load_plan(plan: Plan, backend: Backend, targets: Sequence[Op]) -> tuple[Plan, dict[str, Runnable]]:
    """Load probes and pairs; where the runtime refuses some op, the plan is made again around it.

    Returns:
        The plan that was loaded, and its runnables by name.

    Raises:
        UnsupportedGraphError: a graph cannot be executed although each of its ops can.
    """
    try:
        return plan, plan.load_probes(backend, 1)
    except UnsupportedGraphError:
        refused = _refused_ops(backend, targets)
        if not refused:
            raise
        around = design_plan(backend, targets, list(plan.networks.values()), refused)
        return around, around.load_probes(backend, 1)


def _refused_ops(backend: Backend, targets: Sequence[Op]) -> dict[Op, str]:
    """Targets that the runtime cannot execute, with its reason; each is tried alone."""
    refused: dict[Op, str] = {}
    for op in targets:
        try:
            backend.load(OpGraph.single(op))
        except UnsupportedGraphError as error:
            refused[op] = str(error)
        except GraphError:
            continue  # inputs of different shapes: it cannot stand alone
    return refused


def _fits_caches(networks: Sequence[OpGraph], backend: Backend, sizes: Sizes) -> bool:
    """Whether some network is small enough to run from the fast caches, at least in part; so are unknown ones."""
    smallest = min((typical_working_bytes(graph, sizes) for graph in networks), default=0.0)
    return smallest < BEYOND_CACHES * backend.fast_cache_bytes
