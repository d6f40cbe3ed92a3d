"""The whole profile: probes and networks are measured in the same interleaved rounds, in two passes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from latency_tables import (
    CORE_CROSSING,
    SESSION,
    CacheCurve,
    Entry,
    LatencyTable,
    NetworkMeasurement,
    Op,
    Pricing,
)
from profilers._backend import Backend
from profilers._cache_curve import fit_cache_curve, probe_extra_ms
from profilers._design import Probe
from profilers._division import Cores
from profilers._energy import energy_facts
from profilers._journal import SampleJournal, sample_into
from profilers._neighbours import priced_as
from profilers._operators._convert import Convert
from profilers._plan import Network, Plan, design_plan, load_plan, network_label
from profilers._samples import MANY_DISTURBED, SampleSet, disturbed, drift, split_half_noise
from profilers._solve import OpPrice, solve_prices, without_slow_sessions
from profilers._speed import AtOneSpeed, at_one_speed
from profilers._timing import REFERENCE_OP, SamplingSettings, TextProgress, first_pass_name, second_pass_name
from profilers._working_set import Sizes, op_kernels

COLD_CACHES = "cold_caches"
"""Key of a table's environment: whether prices were measured with cold caches."""
REFERENCE_OP_MS = "calibration_op_ms"
"""Key of a table's environment: time of the reference op. Table files hold it in its earlier spelling."""
REFERENCE_OP_DRIFT = "calibration_op_drift"
"""Key of a table's environment: drift of the reference op. Table files hold it in its earlier spelling."""
DRIFT_ALARM = 0.05
"""Drift of the reference op, at one speed of the machine, above which a note warns."""
SPEED_ALARM = 0.15
"""Range of the machine's speed above which a note warns."""
CHECKED_NETWORKS = 3
"""Number of networks whose execution is compared with what the table prices."""
UNSTABLE = 0.10
"""A price is unstable where the relative half-width of its interval is above this..."""
NEGLIGIBLE_MS = 0.002
"""...and the half-width itself is above this many milliseconds."""


def profile_ops(
    backend: Backend,
    targets: Sequence[Op],
    networks: Sequence[Network],
    journal: Path,
    *,
    space: Mapping[str, object],
    settings: SamplingSettings | None = None,
    progress: TextProgress = lambda text: None,
) -> LatencyTable:
    """Measure prices of `targets` and judge them on whole networks.

    Everything is measured in two passes, each with its own sessions: where the memory of a session happens to lie can
    add half its price to a cheap op.

    Args:
        backend: Device and runtime.
        targets: The ops to price.
        networks: Whole networks; nothing is fitted to the held-out ones.
        journal: File that raw samples are appended to after each round; an interrupted profile resumes from it.
        space: Name and settings of the space, stored in the table.
        settings: When sampling stops; None for the defaults.
        progress: Receives progress lines.

    Raises:
        ProfilerError: The journal belongs to another profile, or a graph cannot be measured.
    """
    settings = settings or SamplingSettings()
    plan = design_plan(backend, targets, networks)
    header = {"identity": backend.identity(), "settings": settings.as_dict(), "plan": plan.digest()}
    with SampleJournal(journal, header) as samples_file:
        if samples_file.rounds:
            progress(f"continuing after {samples_file.rounds} rounds in {journal}")
        progress(f"loading {len(plan.probes) + 2 * len(plan.pairs)} probes and {len(networks)} networks")
        plan, probes = load_plan(plan, backend, targets)
        runnables = plan.load_pass(backend, 1, probes)
        samples = sample_into(samples_file, runnables, settings, plan.noise_weights, "pass 1 of 2", progress)
        reference_op = runnables[REFERENCE_OP]
        runnables.clear()
        probes.clear()
        runnables = plan.load_pass(backend, 2, plan.load_probes(backend, 2))
        samples |= sample_into(samples_file, runnables, settings, plan.noise_weights, "pass 2 of 2", progress)
    energy = energy_facts(backend.energy_counter, reference_op)
    return make_table(backend, plan, targets, samples, space=space, settings=settings, energy=energy)


def make_table(
    backend: Backend,
    plan: Plan,
    targets: Sequence[Op],
    samples: Mapping[str, SampleSet],
    *,
    space: Mapping[str, object],
    settings: SamplingSettings,
    energy: Mapping[str, object],
) -> LatencyTable:
    """Make the table that follows from all samples of a plan.

    Args:
        backend: Device and runtime that were measured.
        plan: The plan that was measured.
        targets: The ops to price.
        samples: Samples of both passes, by the plan's names.
        space: Name and settings of the space.
        settings: How it was sampled.
        energy: Energy of the reference op, for the table's environment.
    """
    plan = plan.with_second_pass()
    converted = at_one_speed(samples, first_pass_name)
    samples = converted.samples
    curve = fit_cache_curve(plan.pairs, samples, fast_cache_bytes=backend.fast_cache_bytes, sizes=plan.sizes)
    kept = without_slow_sessions(plan.probes, samples)
    entries = _entries(targets, replace(plan, probes=kept), samples, curve)
    measured = _measurements(plan.networks, samples, entries, curve)
    return LatencyTable(
        identity=backend.identity(),
        environment={
            **backend.environment(),
            **_circumstances(converted),
            "slow_sessions": len(plan.probes) - len(kept),
            COLD_CACHES: plan.cold,
            **energy,
        },
        settings=settings.as_dict(),
        space=space,
        entries=entries,
        networks=measured,
        notes=(*_notes(converted, entries), *_execution_notes(backend, plan), *backend.warnings()),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        cache=curve,
    )


def _circumstances(converted: AtOneSpeed) -> dict[str, object]:
    """Return what the samples say about the machine while it measured, for the table's environment."""
    samples = converted.samples
    halves = split_half_noise(_both_passes(name, samples) for name in samples if first_pass_name(name) == name)
    reference_op = _both_passes(REFERENCE_OP, samples)
    return {
        REFERENCE_OP_MS: reference_op.quantile() * 1e3,
        REFERENCE_OP_DRIFT: drift(_alike_passes(samples)),
        "disturbed_rounds": _disturbed_share(samples),
        "speed_range": converted.speed_range,
        "split_half_median": halves[0] if halves else None,
        "split_half_p90": halves[1] if halves else None,
    }


def _disturbed_share(samples: Mapping[str, SampleSet]) -> float:
    """Return the share of disturbed rounds, each pass judged by itself: its sessions may be slower throughout."""
    passes = [samples[name] for name in (REFERENCE_OP, second_pass_name(REFERENCE_OP)) if name in samples]
    return float(np.mean([disturbed(reference_op).mean() for reference_op in passes]))


def _entries(
    targets: Sequence[Op], plan: Plan, samples: Mapping[str, SampleSet], curve: CacheCurve | None
) -> dict[Op, Entry]:
    """Solve for the rows of the table: the session, the targets, and core crossings.

    Args:
        targets: The ops to price.
        plan: The plan that was measured, without slow sessions.
        samples: Samples at one speed of the machine.
        curve: Cost of working sets; None where there is none.
    """
    prices = solve_prices(plan.probes, samples, extra_ms=probe_extra_ms(plan.probes, curve, plan.sizes))
    by_op: dict[Op, Probe] = {}
    for probe in plan.probes:
        for op in probe.counts:
            best = by_op.get(op)
            if best is None or len(probe.counts) <= len(best.counts):
                by_op[op] = probe
    crossings = [op for op in prices if op.kind == CORE_CROSSING]
    cores = plan.cores if crossings else None
    entries = {}
    written = {op.output for op in targets if op.kind != Convert.kind}
    for op in dict.fromkeys([SESSION, *targets]):
        source = priced_as(op)
        if source in prices:
            entry = _entry(op, prices[source], _both_passes(by_op[source].name, samples))
        elif op.kind == Convert.kind and op.output not in written:
            entry = Entry(op, "ok", 0.0, 0.0, 0.0, 0.0, 0.0, 0, "", "in the prices of the int8 ops that read the input")
        else:
            reason = plan.refused.get(op, "the runtime cannot execute the graphs that would price it")
            entry = Entry(op, "unsupported", 0.0, 0.0, 0.0, 0.0, 0.0, 0, "", reason)
        entries[op] = entry if op == SESSION else _with_facts(entry, plan.sizes, cores)
    return entries | {op: _entry(op, prices[op], _both_passes(by_op[op].name, samples)) for op in crossings}


def _both_passes(name: str, samples: Mapping[str, SampleSet]) -> SampleSet:
    """Join the samples that a runnable has in both passes."""
    name = first_pass_name(name)
    return _joined(samples[name], samples[second_pass_name(name)])


def _alike_passes(samples: Mapping[str, SampleSet]) -> SampleSet:
    """Join the samples of the reference op, those of the second pass scaled to q10 of the first.

    The second session may be slower throughout, because its memory lies elsewhere: that is no drift.
    """
    first, second = samples[REFERENCE_OP], samples[second_pass_name(REFERENCE_OP)]
    return _joined(first, second, scale=first.quantile() / second.quantile())


def _joined(first: SampleSet, second: SampleSet, *, scale: float = 1.0) -> SampleSet:
    """Join the samples of two passes, those of the second multiplied by `scale`."""
    seconds = [*first.seconds, *(value * scale for value in second.seconds)]
    return SampleSet(first.repeats, seconds, second.stop, moments=[*first.moments, *second.moments])


def _with_facts(entry: Entry, sizes: Sizes, cores: Cores | None) -> Entry:
    """Add to a row the sizes of its op and whether one core executes it alone."""
    op = entry.op
    return replace(
        entry,
        weight_bytes=sizes.weight_bytes(op),
        kernels=op_kernels(op),
        activation_bytes=sizes.activation_bytes(op),
        on_one_core=cores.on_one(op) if cores is not None else None,
    )


def _entry(op: Op, price: OpPrice, samples: SampleSet) -> Entry:
    """Make the row of a price; it is unstable where its interval is wide or the price is not positive."""
    half = (price.high - price.low) / 2
    reason = ""
    if half > UNSTABLE * abs(price.q10) and half > NEGLIGIBLE_MS:
        reason = f"90 % interval {price.low:.4f}-{price.high:.4f} ms; profile again on a quieter machine with --force"
    elif price.q10 <= 0:
        reason = f"solved as {price.q10:.4f} ms, which is too small to measure; priced at 0"
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
    pricing = Pricing(entries, curve)
    return tuple(
        NetworkMeasurement(
            arch=network.arch,
            split=network.split,
            unfitted_ms=pricing.chain_ms([network.graph]),
            measured_ms=samples[network_label(i)].quantile() * 1e3,
            repeat_ms=samples[second_pass_name(network_label(i))].quantile() * 1e3,
        )
        for i, network in networks.items()
    )


def _execution_notes(backend: Backend, plan: Plan) -> list[str]:
    """Return the backend's execution notes on the networks with the most different ops."""
    ranked = sorted(plan.networks.values(), key=lambda network: -len(network.graph.op_counts))
    return backend.execution_notes({network.arch: network.graph for network in ranked[:CHECKED_NETWORKS]})


def _notes(converted: AtOneSpeed, entries: Mapping[Op, Entry]) -> list[str]:
    """Return warnings about the machine and the rows, one line each."""
    notes = []
    if converted.speed_range > SPEED_ALARM:
        notes.append(
            f"the machine's speed changed by {converted.speed_range:.0%} while measuring; prices are those of its fast "
            "phases, so networks take longer in slow ones"
        )
    share = _disturbed_share(converted.samples)
    if share > MANY_DISTURBED:
        notes.append(f"other work used this machine in {share:.0%} of the rounds, added rounds included")
    drifted = drift(_alike_passes(converted.samples))
    if drifted > DRIFT_ALARM:
        notes.append(
            f"the reference op drifted by {drifted:.0%} relative to other graphs, because other work used the machine; "
            "stop that work and run `hwnas profile` again with --force"
        )
    unstable = sum(entry.status == "unstable" for entry in entries.values())
    if unstable:
        notes.append(f"{unstable} of {len(entries)} prices are noisy (see their rows)")
    refused = sum(not entry.priced for entry in entries.values())
    if refused:
        notes.append(f"the runtime cannot execute {refused} of {len(entries)} ops (see their rows)")
    return notes
