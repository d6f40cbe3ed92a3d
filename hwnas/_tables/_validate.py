"""Compare a table with networks that are measured now."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from hwnas._common._seeds import require_seed
from hwnas._costs._draw import draw_spread
from hwnas._costs._space_costs import SpaceCosts
from hwnas._devices._make import SSH, make_backend
from hwnas._errors import HwnasError
from hwnas._tables._fit import PROTOCOL as FITTED
from hwnas._tables._references import (
    MOST_REFERENCES,
    REFERENCE_NETWORKS,
    THIS_MACHINE,
    percent_text,
    reference_lines,
    references_of,
    speed_text,
)
from hwnas.spaces import Space, drawn_graphs, input_channels, make_space
from latency_tables import HELD_OUT_SPLIT, LatencyTable, NetworkMeasurement, OpGraph, content_hash
from profilers import (
    REFERENCE_OP_MJ,
    Backend,
    References,
    SamplingSettings,
    SessionTimes,
    Workload,
    measure_beside,
    measure_twice,
    merge_slowness,
)

VALIDATION_SLOWNESS = "validation_slowness"
"""Key of a validated table's environment: how many times longer its references took then."""


def validate_table(
    table: LatencyTable,
    *,
    workload: Workload | None = None,
    device: str | Backend | None = None,
    networks: int = 50,
    seed: int = 0,
    settings: SamplingSettings | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> LatencyTable:
    """Return the table with other held-out networks that it holds no measurement of, measured now.

    They cover the whole range of its prices, next to the fastest and the slowest network of the space included. Beside
    them, networks of the table tell how fast the machine is now: the times are at the table's speed.

    Args:
        table: A table of this device, or of that at `device`.
        workload: The networks that the table is of; None for the space that it names.
        device: Where the table's device is: ``"ssh://[user@]host[:port]"``, or a backend; None for here.
        networks: How many to draw, 2 or more.
        seed: Random seed of the networks that are drawn.
        settings: Settings of the sampling.
        progress: Receives progress lines.

    Raises:
        HwnasError: The workload has no networks left that the table has not seen.
        IdentityMismatchError: The table is another device's.
    """
    require_seed(seed)
    workload = workload or space_of(table)
    backend = backend_of(table, workload, device, progress) if device is None or isinstance(device, str) else device
    table.require_identity(backend.identity())
    graphs = _unseen(table, workload, networks, seed)
    sums = [table.unfitted_graph_ms(graph) for graph in graphs.values()]
    settings, environment = settings or SamplingSettings(), dict(table.environment)
    references = references_of(table, workload, MOST_REFERENCES)
    if references.networks:
        passes = measure_beside(backend, list(graphs.values()), references, settings, progress=progress)
        times = [_at_table_speed(str(i), passes) for i in range(len(graphs))]
        environment[VALIDATION_SLOWNESS] = merge_slowness(passes)[0]
    else:
        times = measure_twice(backend, list(graphs.values()), settings, progress=progress)
    measured = tuple(
        NetworkMeasurement(name, HELD_OUT_SPLIT, unfitted, first, second)
        for name, unfitted, (first, second) in zip(graphs, sums, times, strict=True)
    )
    kept = tuple(n for n in table.networks if n.split != HELD_OUT_SPLIT)
    return replace(table, networks=kept + measured, environment=environment)


def _at_table_speed(name: str, passes: tuple[SessionTimes, SessionTimes]) -> tuple[float, float]:
    """Return the q10 of a network in both passes, in milliseconds at the table's speed."""
    first, second = (one.times[name].at_table_speed["q10"] for one in passes)
    return first, second


def validation_slowness(table: LatencyTable) -> float | None:
    """Return how many times longer the references took when the table was validated; None where that is not known."""
    slowness = table.environment.get(VALIDATION_SLOWNESS)
    return slowness if isinstance(slowness, float) else None


def speed_lines(table: LatencyTable, who: str = THIS_MACHINE) -> list[str]:
    """Return the machine's speed at the validation, and the errors with and without it, as lines for people.

    Args:
        table: The validated table.
        who: The machine.
    """
    slowness, report = validation_slowness(table), table.validation
    if slowness is None or report is None:
        return []
    return [
        f"{speed_text(slowness, 0.0, who)}; predictions are off by {percent_text(_raw_mape(table, slowness))} as "
        f"measured, and by {percent_text(report.predicted.mape)} at the table's speed (the figures below)"
    ]


def _raw_mape(table: LatencyTable, slowness: float) -> float:
    """Return the mean relative error of predictions against times as measured."""
    held = [n for n in table.networks if n.split == HELD_OUT_SPLIT]
    errors = [abs(float(table.correction.apply(n.unfitted_ms)) / (n.latency_ms * slowness) - 1) for n in held]
    return float(np.mean(errors))


def validation_record(table: LatencyTable) -> dict[str, Any]:
    """Return the report of a validated table as JSON-able data, network by network."""
    report = table.validation
    assert report is not None
    given, plain, slowness = report.predicted, report.unfitted, validation_slowness(table)
    held = [n for n in table.networks if n.split == HELD_OUT_SPLIT]
    return {
        "networks": report.networks,
        "slowness": slowness,
        "mape_as_measured": None if slowness is None else _raw_mape(table, slowness),
        "calibration_networks": report.correction_networks,
        "interval_networks": report.interval_networks,
        **asdict(given),
        "nothing_fitted": asdict(plain),
        "noise_floor": asdict(report.noise_floor),
        "interval_coverage": report.interval_coverage,
        "verdict": report.verdict,
        "corrected": report.corrected,
        "ends": [asdict(end) for end in report.ends],
        "measurements": [
            {
                "arch": n.arch,
                "predicted_ms": float(table.correction.apply(n.unfitted_ms)),
                "measured_ms": n.measured_ms,
                "repeat_ms": n.repeat_ms,
            }
            for n in held
        ],
    }


def space_of(table: LatencyTable) -> Space:
    """Return the space whose ops a table prices.

    Raises:
        SpaceError: This version does not know it.
    """
    settings: Any = table.space.get("settings")
    return make_space(str(table.space.get("name")), **(settings if isinstance(settings, dict) else {}))


def table_references(table: LatencyTable, space: Space, most: int = REFERENCE_NETWORKS) -> References:
    """Return the references of a table that may be of another space than the search's.

    Args:
        table: The table.
        space: What is searched; the table prices its ops.
        most: Number of reference networks.

    Returns:
        No reference networks where the table's space cannot be made here: the machine's speed is then not known.
    """
    own = {"name": space.name, "settings": space.settings}
    try:
        workload = space if content_hash(own) == content_hash(dict(table.space)) else space_of(table)
        return references_of(table, workload, most)
    except HwnasError:  # it is of a plug-in that is not installed, or has changed
        return References()


def batch_of(table: LatencyTable) -> int:
    """Return images of one inference; 1 where the table does not say."""
    batch = table.identity.get("batch", 1)
    return batch if type(batch) is int else 1


def precision_of(table: LatencyTable) -> str:
    """Return the number format that a table was measured in, as in ``--precision``."""
    precisions = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}
    dtype = str(table.identity.get("dtype", "float32"))
    return precisions.get(dtype, dtype)


def backend_of(
    table: LatencyTable,
    workload: Workload,
    device: str | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> Backend:
    """Return the backend with the settings that a table was measured with.

    Args:
        table: The table.
        workload: The networks that it is of.
        device: Where the table's device is: ``"ssh://[user@]host[:port]"``, or ``"cuda:N"`` for one of several GPUs
            here; None for here.
        progress: Receives a line for each lost connection.

    Raises:
        HwnasError: The table was fitted, `device` is no such address, or what was measured is not a processor.
        DeviceUnavailableError: The device is not available.
    """
    identity = table.identity
    if "device" not in identity:
        raise HwnasError(f"{table.source} does not say which device it was measured on; measure it again")
    if identity.get("protocol") == FITTED:
        raise HwnasError(
            f"{table.source} was fitted to networks that were measured on {identity.get('device')}: it cannot be "
            "measured from here; `hwnas table show` says how well it fits"
        )
    kind = str(identity["device"])
    if device is not None and not device.startswith({"cpu": SSH, "cuda": "cuda"}.get(kind, kind)):
        raise HwnasError(
            "--device must be one of this machine's GPUs, like cuda:1: the table is one of a GPU"
            if kind == "cuda"
            else "--device must be the address of the table's device, like ssh://user@host; leave it out for this "
            "machine"
        )
    shared: dict[str, Any] = {"batch": batch_of(table), "image_channels": input_channels(workload)}
    precision = precision_of(table)
    if kind == "cuda":
        return make_backend(
            device or kind,
            **shared,
            precision=precision,
            protocol=str(identity.get("mode")),
            channels_last=bool(identity.get("channels_last")),
        )
    return make_backend(
        device or kind,
        **shared,
        precision=precision,
        threads=int(str(identity.get("threads", 1))),
        provider=str(identity["provider"]) if "provider" in identity else None,
        progress=progress,
    )


def show_table(table: LatencyTable, most: int = 20) -> list[str]:
    """Describe a table: what it was measured on, its validation, its most expensive and least certain rows."""
    rows = sorted(table.entries.values(), key=lambda entry: -entry.q10_ms)
    lines = [f"measured {table.created} on {table.identity.get('device')}: {table.identity.get('cpu', '')}"]
    lines += [f"  {name}: {value}" for name, value in table.identity.items() if name not in ("device", "cpu", "isa")]
    lines.append(f"space {table.space.get('name')}, {len(rows)} rows")
    fitted = table.correction
    if table.corrected:
        lines.append(f"correction: latencies times {math.exp(fitted.shift):.4f}, exponent {1 + fitted.tilt:.4f}")
    else:
        lines.append("correction: none; it would make predictions of other networks worse")
    lines += table.report_lines()
    median, p90 = (table.environment.get(f"split_half_{name}") for name in ("median", "p90"))
    if isinstance(median, float) and isinstance(p90, float):
        lines.append(f"rounds split in halves differ by {median:.2%} in the median, {p90:.2%} at the 90th percentile")
    lines += reference_lines(table)
    energy = table.environment.get(REFERENCE_OP_MJ)
    if isinstance(energy, float):
        lines.append(f"the reference op takes {energy:.4g} mJ ({table.environment.get('energy_counter')})")
    lines += [f"note: {note}" for note in table.notes]
    lines.append(f"most expensive rows (of {len(rows)}): price, 90 % interval, rounds, why sampling stopped")
    for entry in rows[:most]:
        interval = f"{entry.low_ms:.5f}-{entry.high_ms:.5f}"
        lines.append(f"  {entry.q10_ms:10.5f} ms  {interval}  {entry.samples:3d} {entry.stop:9s}  {entry.op.key}")
    shaky = [entry for entry in rows if entry.status != "ok"]
    lines += [f"  {entry.status}: {entry.op.key}: {entry.reason}" for entry in shaky[:most]]
    return lines


def _unseen(table: LatencyTable, workload: Workload, count: int, seed: int) -> dict[str, OpGraph]:
    """Return networks that the table has not measured by name, over the whole range of its prices, in random order."""
    rng, seen = np.random.default_rng((seed, 11)), {n.arch for n in table.networks}
    if isinstance(workload, Space):
        archs = draw_spread(workload, count, rng, cost=SpaceCosts(workload, table).latency_ms, seen=seen)
        named = [(workload.format(arch), workload.graph(arch)) for arch in archs]
    else:
        named = list(drawn_graphs(workload, count, rng, seen).items())
    if len(named) < count:
        kind = "space" if isinstance(workload, Space) else "workload"
        raise HwnasError(f"the {kind} has only {len(named)} networks that the table has not seen; use fewer --networks")
    return dict(named[int(i)] for i in rng.permutation(count))
