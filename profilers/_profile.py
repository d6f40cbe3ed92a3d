"""The whole profile: probes and networks in the same interleaved rounds, then a second look at the networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
from profilers._plan import Network, Plan, design_plan, load_plan, network_label
from profilers._samples import MANY_DISTURBED, SampleSet, disturbed, drift, split_half_noise
from profilers._sampling import CALIBRATION, SamplingSettings, again, same_graph
from profilers._solve import OpPrice, solve_prices, without_slow_sessions
from profilers._speed import Steady, at_one_speed
from profilers._working_set import Sizes, op_kernels

Progress = Callable[[str], None]
COLD_CACHES = "cold_caches"
"""Where a table's environment says whether prices were measured with cold caches."""
CALIBRATION_MS = "calibration_op_ms"
"""Where a table's environment holds the time of the calibration op."""
DRIFT_ALARM = 0.05
"""Drift of the calibration op, at one speed of the machine, above which a note warns."""
SPEED_ALARM = 0.15
"""Range of the machine's speed above which a note says so."""
CHECKED_NETWORKS = 3
"""Networks whose execution is compared with what the table prices."""
UNSTABLE = 0.10
"""Relative half-width of a price's interval above which its row is called unstable..."""
NEGLIGIBLE_MS = 0.002
"""...unless the half-width itself is below this many milliseconds."""


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

    Everything is measured in two passes, each with sessions of its own: where a session's memory happens to lie can
    cost a cheap op half its price again.

    Args:
        backend: device and runtime.
        targets: the ops to price.
        networks: whole networks; nothing is fitted to the held-out ones.
        journal: file that raw samples are appended to round by round; an interrupted profile goes on from it.
        space: name and settings of the space, stored in the table.
        settings: of the sampling.
        progress: receives lines for people.

    Raises:
        ProfilerError: the journal belongs to another profile, or a graph cannot be measured.
    """
    settings = settings or SamplingSettings()
    plan = design_plan(backend, targets, networks)
    header = {"identity": backend.identity(), "settings": settings.as_dict(), "plan": plan.digest()}
    with SampleJournal(journal, header) as samples_file:
        if samples_file.rounds:
            progress(f"going on after {samples_file.rounds} rounds in {journal}")
        progress(f"loading {len(plan.probes) + 2 * len(plan.pairs)} probes and {len(networks)} networks")
        plan, probes = load_plan(plan, backend, targets)
        runnables = plan.load_pass(backend, 1, probes)
        samples = sample_into(samples_file, runnables, settings, plan.care, "pass 1 of 2", progress)
        calibration = runnables[CALIBRATION]
        runnables.clear()
        probes.clear()
        runnables = plan.load_pass(backend, 2, plan.load_probes(backend, 2))
        samples |= sample_into(samples_file, runnables, settings, plan.care, "pass 2 of 2", progress)
    energy = energy_facts(backend.energy_counter, calibration)
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
    """The table that follows from all samples of a plan.

    Args:
        backend: device and runtime that were measured.
        plan: what was measured.
        targets: the ops to price.
        samples: of both passes, by the plan's names.
        space: name and settings of the space.
        settings: of the sampling.
        energy: of the calibration op, for the table's environment.
    """
    plan = plan.with_second_pass()
    steady = at_one_speed(samples, same_graph)
    samples = steady.samples
    curve = fit_cache_curve(plan.pairs, samples, fast_cache_bytes=backend.fast_cache_bytes, sizes=plan.sizes)
    kept = without_slow_sessions(plan.probes, samples)
    entries = _entries(targets, replace(plan, probes=kept), samples, curve)
    measured = _measurements(plan.networks, samples, entries, curve)
    return LatencyTable(
        identity=backend.identity(),
        environment={
            **backend.environment(),
            **_circumstances(steady),
            "slow_sessions": len(plan.probes) - len(kept),
            COLD_CACHES: plan.cold,
            **energy,
        },
        settings=settings.as_dict(),
        space=space,
        entries=entries,
        networks=measured,
        notes=(*_notes(steady, entries), *_execution_notes(backend, plan), *backend.warnings()),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        cache=curve,
    )


def _circumstances(steady: Steady) -> dict[str, object]:
    """What the samples say of the machine while it measured."""
    whole = [_both_passes(name, steady.samples) for name in steady.samples if same_graph(name) == name]
    halves = split_half_noise(whole)
    calibration = _both_passes(CALIBRATION, steady.samples)
    return {
        CALIBRATION_MS: calibration.quantile() * 1e3,
        "calibration_op_drift": drift(calibration),
        "disturbed_rounds": _disturbed_share(steady),
        "speed_range": steady.range,
        "split_half_median": halves[0] if halves else None,
        "split_half_p90": halves[1] if halves else None,
    }


def _disturbed_share(steady: Steady) -> float:
    """Share of disturbed rounds, each pass by itself: its sessions are others, and may be slower throughout."""
    passes = [steady.samples[name] for name in (CALIBRATION, again(CALIBRATION)) if name in steady.samples]
    return float(np.mean([disturbed(one).mean() for one in passes]))


def _entries(
    targets: Sequence[Op], plan: Plan, samples: Mapping[str, SampleSet], curve: CacheCurve | None
) -> dict[Op, Entry]:
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
    for op in dict.fromkeys([SESSION, *targets]):
        if op in prices:
            entry = _entry(op, prices[op], _both_passes(by_op[op].name, samples))
        else:
            reason = plan.refused.get(op, "the graphs that would price it could not be executed")
            entry = Entry(op, "unsupported", 0.0, 0.0, 0.0, 0.0, 0.0, 0, "", reason)
        entries[op] = entry if op == SESSION else _with_facts(entry, plan.sizes, cores)
    return entries | {op: _entry(op, prices[op], _both_passes(by_op[op].name, samples)) for op in crossings}


def _both_passes(name: str, samples: Mapping[str, SampleSet]) -> SampleSet:
    """All samples of a probe."""
    name = same_graph(name)
    first, second = samples[name], samples[again(name)]
    return SampleSet(
        first.repeats, [*first.seconds, *second.seconds], second.stop, moments=[*first.moments, *second.moments]
    )


def _with_facts(entry: Entry, sizes: Sizes, cores: Cores | None) -> Entry:
    op = entry.op
    return replace(
        entry,
        weight_bytes=sizes.weight_bytes(op),
        kernels=op_kernels(op),
        activation_bytes=sizes.activation_bytes(op),
        on_one_core=cores.on_one(op) if cores is not None else None,
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
    pricing = Pricing(entries, curve)
    return tuple(
        NetworkMeasurement(
            arch=network.arch,
            split=network.split,
            unfitted_ms=pricing.chain_ms([network.graph]),
            measured_ms=samples[network_label(i)].quantile() * 1e3,
            repeat_ms=samples[again(network_label(i))].quantile() * 1e3,
        )
        for i, network in networks.items()
    )


def _execution_notes(backend: Backend, plan: Plan) -> list[str]:
    """What the backend says of the networks with the most different ops."""
    ranked = sorted(plan.networks.values(), key=lambda network: -len(network.graph.op_counts))
    return backend.execution_notes({network.arch: network.graph for network in ranked[:CHECKED_NETWORKS]})


def _notes(steady: Steady, entries: Mapping[Op, Entry]) -> list[str]:
    notes = []
    if steady.range > SPEED_ALARM:
        notes.append(
            f"the machine's speed moved by {steady.range:.0%} while measuring; prices are those of its faster moments, "
            "so networks will take longer in the slower ones"
        )
    share = _disturbed_share(steady)
    if share > MANY_DISTURBED:
        notes.append(f"something else used this machine in {share:.0%} of the rounds, repeated ones included")
    moved = drift(_both_passes(CALIBRATION, steady.samples))
    if moved > DRIFT_ALARM:
        notes.append(
            f"the calibration op drifted by {moved:.0%} against everything else: something else used this machine; "
            "close it and run the same `hwnas profile` with --force"
        )
    shaky = sum(entry.status == "unstable" for entry in entries.values())
    if shaky:
        notes.append(f"{shaky} of {len(entries)} prices are noisy (see their rows)")
    lost = sum(not entry.priced for entry in entries.values())
    if lost:
        notes.append(f"{lost} of {len(entries)} ops cannot be executed here (see their rows)")
    return notes
