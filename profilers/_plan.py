"""The plan of a profile: probes, pairs of chains and whole networks to measure, and how they are loaded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from latency_tables import INTERVAL_SPLIT, GraphBuilder, Op, OpGraph
from profilers._backend import Backend
from profilers._cache_curve import CachePair, design_cache_pairs, typical_working_bytes
from profilers._design import Probe, design_probes
from profilers._division import Cores
from profilers._errors import DeviceMemoryError, OperatorError, UnsupportedGraphError
from profilers._executed import Fusion, executed_graph, fusion_of
from profilers._operators import _make as ops
from profilers._timing import REFERENCE_OP, Runnable, second_pass_name
from profilers._working_set import Sizes

BEYOND_CACHES = 3.0
"""Where the smallest working set is this many times the fast caches, all networks run from slower memory."""


@dataclass(frozen=True)
class Network:
    """A whole network to measure beside the ops.

    Attributes:
        arch: The architecture as text.
        graph: The graph that is measured.
        split: One of the splits of `latency_tables.NetworkMeasurement`.
    """

    arch: str
    graph: OpGraph
    split: str


@dataclass(frozen=True)
class Plan:
    """Everything that is measured.

    Attributes:
        sizes: Bytes of elements, and the batch.
        probes: Graphs that the prices of ops are solved from.
        pairs: Chains that measure the cost of working sets beyond the caches; none where all networks are beyond them.
        networks: Whole networks by number.
        refused: Ops that the runtime cannot execute, with its reason.
        cores: How threads share the ops; None where that is not known.
        cold: Whether probes are executed with cold caches. They are smaller than the networks, and would find weights
            in the caches that networks must fetch.
    """

    sizes: Sizes
    probes: list[Probe]
    pairs: list[CachePair]
    networks: Mapping[int, Network]
    refused: Mapping[Op, str] = field(default_factory=dict)
    cores: Cores | None = None
    cold: bool = False

    def digest(self) -> str:
        """Return a hash of what is measured, so that a journal is never continued with other graphs."""
        graphs = [[p.name, str(p.graph), sorted(op.key for op in p.tied)] for p in self.probes]
        networks = [[n.arch, n.split] for n in self.networks.values()]
        text = json.dumps([graphs, [p.name for p in self.pairs], networks, self.cold])
        return hashlib.sha256(text.encode("utf-8")).hexdigest()

    @property
    def noise_weights(self) -> dict[str, float]:
        """The noise weights of both passes, as `Timer` takes them.

        Above 1 for probes that many prices depend on; below 1 for the many networks that only intervals are fitted
        to.
        """
        weights = noise_weights_of(self.probes)
        weights |= {network_label(i): 0.5 for i, n in self.networks.items() if n.split == INTERVAL_SPLIT}
        return weights | {second_pass_name(name): weight for name, weight in weights.items()}

    def with_second_pass(self) -> Plan:
        """Return the same plan with every probe twice, the second time under its name in the second pass."""
        return replace(self, probes=[*self.probes, *(replace(p, name=second_pass_name(p.name)) for p in self.probes)])

    def load_probes(self, backend: Backend, number: int) -> dict[str, Runnable]:
        """Load all probes and pairs, in a random order that differs between the passes.

        With several threads, a session can take a third longer, depending on where its memory happens to lie, and so do
        the sessions that were loaded just before and after it. If these were the ops of one shape, networks would be
        mispriced.

        Args:
            backend: Loads the graphs.
            number: The pass, 1 or 2.

        Returns:
            The runnables by name.

        Raises:
            UnsupportedGraphError: The runtime cannot execute one.
        """
        wanted: list[tuple[str, OpGraph, Collection[Op]]] = [(p.name, p.graph, p.tied) for p in self.probes]
        for pair in self.pairs:
            wanted += zip(pair.labels, (pair.graph, pair.graph), ((), (pair.op,)), strict=True)
        order = np.random.default_rng(number).permutation(len(wanted))
        shuffled = (wanted[int(i)] for i in order)
        return {name: backend.load(graph, tied=tied, cold=self.cold) for name, graph, tied in shuffled}

    def load_pass(self, backend: Backend, number: int, probes: Mapping[str, Runnable]) -> dict[str, Runnable]:
        """Load everything else that a pass samples.

        Args:
            backend: Loads networks (with weights that differ between the passes) and the reference op.
            number: The pass, 1 or 2.
            probes: Sessions of probes and pairs, as `load_probes` names them.

        Returns:
            All runnables of the pass, under its names.
        """
        networks = {network_label(i): backend.load(n.graph, seed=number) for i, n in self.networks.items()}
        reference_op = {REFERENCE_OP: backend.load(reference_graph(backend.image_channels))}
        loaded = {**probes, **networks, **reference_op}
        return loaded if number == 1 else {second_pass_name(name): runnable for name, runnable in loaded.items()}

    @property
    def names(self) -> set[str]:
        """The names of everything that is sampled in both passes."""
        first = {probe.name for probe in self.probes} | {label for pair in self.pairs for label in pair.labels}
        first |= {network_label(i) for i in self.networks} | {REFERENCE_OP}
        return first | {second_pass_name(name) for name in first}


def noise_weights_of(probes: Sequence[Probe]) -> dict[str, float]:
    """Return the noise weight 2 for each probe that many prices depend on, as `Timer` takes it."""
    return {probe.name: 2.0 for probe in probes if probe.shared}


def network_label(index: int) -> str:
    """Return the name of a network's runnable in the first pass."""
    return f"network:{index}"


def reference_graph(image_channels: int) -> OpGraph:
    """Build the reference op: a few convolutions that every device can execute."""
    builder = GraphBuilder((image_channels, 16, 16))
    x = builder.add("entry", ops.conv(builder.input_shape, 32, 3, act="relu"), "input")
    for i in range(4):
        x = builder.add(f"conv{i}", ops.conv((32, 16, 16), 32, 3, act="relu"), x)
    return builder.build(x)


def design_plan(
    backend: Backend, targets: Sequence[Op], networks: Sequence[Network], refused: Mapping[Op, str] | None = None
) -> Plan:
    """Design what to measure for prices of `targets`.

    Args:
        backend: Device and runtime.
        targets: The ops to price.
        networks: Whole networks.
        refused: Ops that the runtime cannot execute, with its reason; no graph holds them.

    Raises:
        OperatorError: A network holds an op that is not in `targets`, or no chain can be built around an op.
    """
    unsupported = refused or {}
    sizes = Sizes(backend.element_bytes, backend.batch)
    fusion = fusion_of(backend)
    networks = [_executed(network, fusion, set(targets)) for network in networks]
    tie = _fits_caches([network.graph for network in networks], backend, sizes)
    probes = design_probes(
        targets, backend.image_channels, tie=tie, avoid=unsupported, cores=backend.cores, fusion=fusion
    )
    pairs: list[CachePair] = []
    if tie and networks:
        pairs = design_cache_pairs(
            set(targets) - set(unsupported),
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
        networks={i: n for i, n in enumerate(networks) if not set(unsupported) & set(n.graph.op_counts)},
        refused=unsupported,
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
    """Return whether probes run with cold caches: where networks leave the fast caches and weights are not tied."""
    return backend.fast_cache_bytes > 0 and not tied


def load_plan(plan: Plan, backend: Backend, targets: Sequence[Op]) -> tuple[Plan, dict[str, Runnable]]:
    """Load probes and pairs; where the runtime cannot execute an op, design the plan again without it.

    Returns:
        The plan that was loaded, and the runnables of its first pass by name.

    Raises:
        UnsupportedGraphError: A graph cannot be executed although each of its ops can.
        DeviceMemoryError: They need more memory than the device has.
    """
    try:
        return plan, plan.load_probes(backend, 1)
    except DeviceMemoryError:
        raise DeviceMemoryError(
            "the GPU has too little memory for all graphs of the profile at once; choose a smaller batch or space"
        ) from None
    except UnsupportedGraphError:
        refused = _refused_ops(backend, targets)
        if not refused:
            raise
        around = design_plan(backend, targets, list(plan.networks.values()), refused)
        return around, around.load_probes(backend, 1)


def _refused_ops(backend: Backend, targets: Sequence[Op]) -> dict[Op, str]:
    """Return the targets that the runtime cannot execute, with its reason; each is tried alone."""
    refused: dict[Op, str] = {}
    for op in targets:
        try:
            backend.load(OpGraph.single(op))
        except UnsupportedGraphError as error:
            refused[op] = str(error)
    return refused


def _fits_caches(networks: Sequence[OpGraph], backend: Backend, sizes: Sizes) -> bool:
    """Return whether the smallest network runs from the fast caches, at least in part; True without networks."""
    smallest = min((typical_working_bytes(graph, sizes) for graph in networks), default=0.0)
    return smallest < BEYOND_CACHES * backend.fast_cache_bytes
