"""The whole profile: probes and networks in the same interleaved rounds, then a second look at the networks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from latency_tables import (
    INPUT,
    SESSION,
    CacheCurve,
    Entry,
    GraphBuilder,
    LatencyTable,
    NetworkMeasurement,
    Op,
    OpGraph,
)
from profilers._backend import Backend
from profilers._cache_curve import (
    CachePair,
    design_cache_pairs,
    fit_cache_curve,
    typical_working_bytes,
    working_bytes,
)
from profilers._design import Probe, design_probes
from profilers._errors import UnsupportedGraphError
from profilers._journal import SampleJournal
from profilers._operators import _make as ops
from profilers._sampling import CALIBRATION, Runnable, Sampler, SampleSet, SamplingSettings, drift
from profilers._solve import OpPrice, solve_prices
from profilers._working_set import op_activation_bytes, op_kernels, op_weight_bytes

Progress = Callable[[str], None]
DRIFT_ALARM = 0.05
"""Drift of the calibration op above which a note warns."""
UNSTABLE = 0.10
"""Relative half-width of a price's interval above which its row is called unstable..."""
BEYOND_CACHES = 3.0
"""Networks whose working sets are all larger than so many times the fast caches run from slower memory throughout."""
NEGLIGIBLE_MS = 0.002
"""...unless the half-width itself is below this many milliseconds."""


@dataclass(frozen=True)
class Network:
    """A whole network to measure beside the ops.

    Attributes:
        arch: its text.
        graph: what is measured.
        split: ``"calibration"`` or ``"held-out"``.
    """

    arch: str
    graph: OpGraph
    split: str


def profile_ops(
    backend: Backend,
    targets: Sequence[Op],
    networks: Sequence[Network],
    journal: Path,
    *,
    space: Mapping[str, object],
    settings: SamplingSettings | None = None,
    progress: Progress = lambda text: None,
) -> LatencyTable:
    """Measure prices of `targets` and judge them on whole networks.

    Args:
        backend: device and runtime.
        targets: the ops to price.
        networks: whole networks, measured twice; nothing is fitted to the held-out ones.
        journal: file that raw samples are appended to round by round; an interrupted profile goes on from it.
        space: name and settings of the space, stored in the table.
        settings: of the sampling.
        progress: receives lines for people.

    Raises:
        ProfilerError: the journal belongs to another profile, or a graph cannot be measured.
    """
    settings = settings or SamplingSettings()
    graphs = [network.graph for network in networks]
    tie = _fits_caches(graphs, backend)
    refused = _refused_ops(backend, targets)
    probes = design_probes(targets, backend.image_channels, tie=tie, avoid=refused)
    pairs = _cache_pairs(set(targets) - set(refused), graphs, backend) if tie else []
    header = {
        "identity": backend.identity(),
        "settings": settings.as_dict(),
        "plan": plan_hash(probes, pairs, networks),
    }
    with SampleJournal(journal, header) as samples_file:
        if samples_file.rounds:
            progress(f"going on after {samples_file.rounds} rounds in {journal}")
        progress(f"loading {len(probes) + 2 * len(pairs)} probes and {len(networks)} networks")
        probes = [probe for probe in probes if not set(refused) & set(probe.graph.op_counts)]
        first = {probe.name: backend.load(probe.graph, tied=probe.tied) for probe in probes}
        for pair in pairs:
            own, tied = pair.labels
            first |= {own: backend.load(pair.graph), tied: backend.load(pair.graph, tied=[pair.op])}
        usable = {i: n for i, n in enumerate(networks) if not set(refused) & set(n.graph.op_counts)}
        first |= {_label(i, "first"): backend.load(n.graph, seed=1) for i, n in usable.items()}
        first[CALIBRATION] = backend.load(_calibration_graph(backend.image_channels))
        tight = frozenset(probe.name for probe in probes if probe.shared)
        samples = _sample(first, settings, samples_file, tight, "probes and networks", progress)
        first.clear()
        second = {_label(i, "second"): backend.load(n.graph, seed=2) for i, n in usable.items()}
        samples |= _sample(second, settings, samples_file, frozenset(), "networks again", progress)
    curve = fit_cache_curve(pairs, samples, fast_cache_bytes=backend.fast_cache_bytes, batch=backend.batch)
    entries = _entries(targets, probes, samples, refused, curve, backend.batch)
    return LatencyTable(
        identity=backend.identity(),
        environment=backend.environment(),
        settings=settings.as_dict(),
        space=space,
        entries=entries,
        networks=_measurements(usable, samples, entries, curve),
        notes=tuple(_notes(samples, entries)),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        cache=curve,
    )


def plan_hash(probes: Sequence[Probe], pairs: Sequence[CachePair], networks: Sequence[Network]) -> str:
    """Identifies what is measured, so that a journal is never continued with other graphs."""
    graphs = [[p.name, str(p.graph), sorted(op.key for op in p.tied)] for p in probes]
    text = json.dumps([graphs, [p.name for p in pairs], [[n.arch, n.split] for n in networks]])
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _fits_caches(networks: Sequence[OpGraph], backend: Backend) -> bool:
    """Whether some network is small enough to run from the fast caches, at least in part."""
    if not networks or not backend.fast_cache_bytes:
        return False
    smallest = min(typical_working_bytes(graph, batch=backend.batch) for graph in networks)
    return smallest < BEYOND_CACHES * backend.fast_cache_bytes


def _cache_pairs(targets: Iterable[Op], networks: Sequence[OpGraph], backend: Backend) -> list[CachePair]:
    return design_cache_pairs(
        targets,
        networks,
        backend.image_channels,
        fast_cache_bytes=backend.fast_cache_bytes,
        batch=backend.batch,
    )


def _refused_ops(backend: Backend, targets: Sequence[Op]) -> dict[Op, str]:
    """Targets that the runtime cannot execute, with its reason; each is tried alone."""
    refused: dict[Op, str] = {}
    for op in targets:
        builder = GraphBuilder(op.inputs[0])
        if any(shape != op.inputs[0] for shape in op.inputs):
            continue
        graph = builder.build(builder.add("op", op, *([INPUT] * len(op.inputs))))
        try:
            backend.load(graph)
        except UnsupportedGraphError as error:
            refused[op] = str(error)
    return refused


def _calibration_graph(image_channels: int) -> OpGraph:
    builder = GraphBuilder((image_channels, 16, 16))
    x = builder.add("entry", ops.conv(builder.input_shape, 32, 3, act="relu"), "input")
    for i in range(4):
        x = builder.add(f"conv{i}", ops.conv((32, 16, 16), 32, 3, act="relu"), x)
    return builder.build(x)


def _label(index: int, half: str) -> str:
    return f"network:{index}:{half}"


def _sample(
    runnables: Mapping[str, Runnable],
    settings: SamplingSettings,
    journal: SampleJournal,
    tight: frozenset[str],
    what: str,
    progress: Progress,
) -> dict[str, SampleSet]:
    if not runnables:
        return {}
    history = {name: journal.history[name] for name in runnables if name in journal.history}
    sampler = Sampler(runnables, settings, history=history, on_round=journal.write_round, tight=tight)
    progress(f"warming up {what}")
    journal.write_repeats(sampler.choose_repeats())

    def on_progress(done: int, cap: int, active: int) -> None:
        if done % 10 == 0 or not active:
            progress(f"{what}: round {done} (at most {cap}), {active} of {len(runnables)} still sampled")

    return sampler.run(on_progress)


def _entries(
    targets: Sequence[Op],
    probes: Sequence[Probe],
    samples: Mapping[str, SampleSet],
    refused: Mapping[Op, str],
    curve: CacheCurve | None,
    batch: int,
) -> dict[Op, Entry]:
    beside: dict[str, float] = {}
    if curve is not None:
        sizes = [working_bytes(p.graph, curve.kernel_bytes, batch=batch, tied=p.tied) for p in probes]
        beside = dict(zip((p.name for p in probes), curve.ms(sizes).tolist(), strict=True))
    prices = solve_prices(probes, samples, extra_ms=beside)
    by_op: dict[Op, Probe] = {}
    for probe in probes:
        for op in probe.counts:
            best = by_op.get(op)
            if best is None or len(probe.counts) <= len(best.counts):
                by_op[op] = probe
    entries = {}
    for op in dict.fromkeys([SESSION, *targets]):
        if op in prices:
            entry = _entry(op, prices[op], samples[by_op[op].name])
        else:
            reason = refused.get(op, "the graphs that would price it could not be executed")
            entry = Entry(op, "unsupported", 0.0, 0.0, 0.0, 0.0, 0.0, 0, "", reason)
        entries[op] = entry if op == SESSION else _with_sizes(entry, batch)
    return entries


def _with_sizes(entry: Entry, batch: int) -> Entry:
    op = entry.op
    return replace(
        entry,
        weight_bytes=op_weight_bytes(op),
        kernels=op_kernels(op),
        activation_bytes=batch * op_activation_bytes(op),
    )


def _entry(op: Op, price: OpPrice, samples: SampleSet) -> Entry:
    half = (price.high - price.low) / 2
    reason = ""
    if half > UNSTABLE * abs(price.q10) and half > NEGLIGIBLE_MS:
        reason = f"90 % interval {price.low:.4f}-{price.high:.4f} ms; profile again on a quieter machine with --force"
    elif price.q10 <= 0:
        reason = f"solved as {price.q10:.4f} ms: too cheap to be told apart from nothing, priced at 0"
    return Entry(
        op=op,
        status="unstable" if reason else "ok",
        q10_ms=max(0.0, price.q10),
        median_ms=max(0.0, price.median),
        p90_ms=max(0.0, price.p90),
        low_ms=max(0.0, price.low),
        high_ms=max(0.0, price.high),
        samples=len(samples.seconds),
        stop=samples.stop or "cap",
        reason=reason,
    )


def _measurements(
    networks: Mapping[int, Network],
    samples: Mapping[str, SampleSet],
    entries: Mapping[Op, Entry],
    curve: CacheCurve | None,
) -> tuple[NetworkMeasurement, ...]:
    prices = LatencyTable({}, {}, {}, {}, entries, cache=curve)
    return tuple(
        NetworkMeasurement(
            arch=network.arch,
            split=network.split,
            unfitted_ms=prices.unfitted_graph_ms(network.graph),
            measured_ms=samples[_label(i, "first")].quantile() * 1e3,
            repeat_ms=samples[_label(i, "second")].quantile() * 1e3,
        )
        for i, network in networks.items()
    )


def _notes(samples: Mapping[str, SampleSet], entries: Mapping[Op, Entry]) -> list[str]:
    notes = []
    moved = drift(samples[CALIBRATION])
    if moved > DRIFT_ALARM:
        notes.append(
            f"the calibration op drifted by {moved:.0%} while measuring: something else used this machine; "
            "close it and run the same `hwnas profile` with --force"
        )
    shaky = sum(entry.status == "unstable" for entry in entries.values())
    if shaky:
        notes.append(f"{shaky} of {len(entries)} prices are noisy (see their rows)")
    lost = sum(not entry.priced for entry in entries.values())
    if lost:
        notes.append(f"{lost} of {len(entries)} ops cannot be executed here (see their rows)")
    return notes
