"""The references of a table: a few of its own networks, whose times at its making are known."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from hwnas._devices._make import SSH
from hwnas.spaces import named_graph
from latency_tables import CORRECTION_SPLIT, LatencyTable, NetworkMeasurement
from profilers import (
    REFERENCE_OP_MS,
    REFERENCE_TAILS,
    Backend,
    Reference,
    References,
    ReferenceTimer,
    Speed,
    Workload,
    fixed_rounds,
)

REFERENCE_NETWORKS = 4
"""Number of reference networks in a session."""
THIS_MACHINE = "this machine"
_UNCHANGED = 0.005
"""A change of the speed by less than this share is none."""
MOST_REFERENCES = 10
"""Number of reference networks where many others are measured, too."""
COMPANY = "company"
"""Key of a table's environment: slowness of its references right after the profile, among themselves. Below 1 they are
faster so than beside hundreds of loaded sessions."""
TAIL_ROUNDS, TAIL_S = 120, 3.0
"""Single inferences of each reference in a session that measures tails, and seconds after which no more begin."""
_PRIOR_SD, _PRIOR_NETWORKS = 0.01, 5


def references_of(table: LatencyTable, workload: Workload, most: int = REFERENCE_NETWORKS) -> References:
    """Return what is timed beside everything that is compared with a table.

    Args:
        table: The table; its networks were measured when it was made.
        workload: The space, or the other networks, that the table is of.
        most: Number of reference networks; fewer where the table has fewer.
    """
    chosen = _spread([n for n in table.networks if n.split == CORRECTION_SPLIT] or list(table.networks), most)
    return References(
        networks=tuple(Reference(n.arch, named_graph(workload, n.arch), n.latency_ms) for n in chosen),
        reference_op_ms=reference_op_ms(table),
        tails=tails_of(table),
        session_sd=session_sd(table),
    )


def reference_op_ms(table: LatencyTable) -> float | None:
    """Return the milliseconds of the reference op when a table was made; None where it does not say."""
    ms = table.environment.get(REFERENCE_OP_MS)
    return ms if isinstance(ms, float) else None


def tails_of(table: LatencyTable) -> dict[str, float]:
    """Return how many times q10 each statistic was when a table was made; empty where it does not say."""
    tails = table.environment.get(REFERENCE_TAILS)
    return {str(name): float(value) for name, value in tails.items()} if isinstance(tails, Mapping) else {}


def speed_text(slowness: float, half_width: float, who: str = THIS_MACHINE, verb: str = "is now") -> str:
    """Return how fast a machine is: ``this machine is now 12 % slower than when the table was made``.

    Args:
        slowness: How many times longer it takes than then.
        half_width: Half the width of the interval of that, relative; 0 where it is not known.
        who: The machine.
        verb: ``"is now"``, or ``"was"`` where a report is read later.
    """
    if abs(slowness - 1) <= max(half_width, _UNCHANGED):
        within = f" (within {percent_text(half_width)})" if half_width else ""
        return f"{who} {verb} as fast as when the table was made{within}"
    change = f"{percent_text(slowness - 1)} slower" if slowness > 1 else f"{percent_text(1 / slowness - 1)} faster"
    return f"{who} {verb} {change} than when the table was made"


def machine_of(device: str | None) -> str:
    """Return what texts call the machine of a device: its address if it is reached through ssh, else this machine."""
    return device if device is not None and device.startswith(SSH) else THIS_MACHINE


def percent_text(share: float, *, signed: bool = False) -> str:
    """Write a share with two digits: ``1.8 %``, ``12 %``, ``130 %``.

    Args:
        share: The share.
        signed: Whether to write a plus sign, too: ``+1.8 %``.
    """
    percent, sign = round(100 * share, 2) + 0.0, "+" if signed else ""  # -0.0 + 0.0 is 0.0
    return f"{percent:{sign}.0f} %" if abs(percent) >= 10 else f"{percent:{sign}.2g} %"


def with_reference_tails(
    table: LatencyTable, workload: Workload, backend: Backend, progress: Callable[[str], None] = lambda text: None
) -> LatencyTable:
    """Return a new table with what its references do right after the profile, in single inferences.

    Args:
        table: The table, just measured; without networks it is returned unchanged.
        workload: The space, or the other networks, that it is of.
        backend: The device that it was measured on.
        progress: Receives progress lines.
    """
    references = references_of(table, workload, MOST_REFERENCES)
    if not references.networks:
        return table
    speed = calm_speed(backend, references, progress)
    facts = {REFERENCE_TAILS: dict(speed.tails), COMPANY: speed.slowness}
    return replace(table, environment={**table.environment, **facts})


def calm_speed(backend: Backend, references: References, progress: Callable[[str], None]) -> Speed:
    """Return what the calmer of two sessions of references alone says, in single inferences.

    Other work on the machine lengthens the tail of one session, and hardly of both.

    Args:
        backend: The device.
        references: What to time; up to `MOST_REFERENCES`.
        progress: Receives a line.
    """
    progress(f"measuring single inferences of {len(references.networks)} reference networks")
    settings = fixed_rounds(TAIL_ROUNDS, max_seconds=TAIL_S, inner_seconds=0.0)
    timer = ReferenceTimer(backend, references)
    speeds = [timer.measure({}, settings, seed=seed).speed for seed in range(2)]
    return min(speeds, key=lambda speed: speed.tails.get("p99", math.inf))


def reference_lines(table: LatencyTable) -> list[str]:
    """Return what a table knows about its references right after the profile, as lines for people."""
    tails, company = (table.environment.get(name) for name in (REFERENCE_TAILS, COMPANY))
    if not isinstance(tails, Mapping):
        return []
    parts = [f"{name} {value:.2f}" for name, value in tails.items() if name != "q10" and isinstance(value, float)]
    line = f"single inferences right after the profile, relative to q10: {', '.join(parts)}"
    if isinstance(company, float):
        line += (
            f"; the reference networks loaded alone took {company:.2f} times as long as beside all other loaded "
            "networks"
        )
    return [line]


def session_sd(table: LatencyTable) -> float:
    """Return the standard deviation of a network's log time between sessions that are loaded anew.

    It comes from the two measurements of each network of the table, with a prior of five networks that differ by 1 %.
    """
    # log(first / repeat) of two sessions has twice the variance of one
    squares = [math.log(n.measured_ms / n.repeat_ms) ** 2 / 2 for n in table.networks]
    return math.sqrt((sum(squares) + _PRIOR_NETWORKS * _PRIOR_SD**2) / (len(squares) + _PRIOR_NETWORKS))


def _spread(networks: list[NetworkMeasurement], most: int) -> list[NetworkMeasurement]:
    """Return at most `most` networks, evenly from the fastest to the slowest."""
    ordered = sorted(networks, key=lambda n: (n.latency_ms, n.arch))
    places = {round(place) for place in np.linspace(0, len(ordered) - 1, min(most, len(ordered)))}
    return [ordered[i] for i in sorted(places)]
