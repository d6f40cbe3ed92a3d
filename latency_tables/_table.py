"""`LatencyTable`: what each op costs on one device, and so what any network of those ops costs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from latency_tables._errors import IdentityMismatchError, UnmeasuredOpError
from latency_tables._graph import OpGraph
from latency_tables._op import Op
from latency_tables._validation import (
    NetworkMeasurement,
    ValidationReport,
    agreement,
    conformal_spread,
    noise_floor,
    shrunk_scale,
)

SESSION = Op("session", (), (1,))
"""The cost of starting one inference, whatever is computed; every price of a whole network holds it once."""
STATUSES = ("ok", "unstable", "unsupported", "timeout")


@dataclass(frozen=True)
class Entry:
    """One row of a table. Times are milliseconds of one inference at the table's batch size.

    Attributes:
        op: what was measured.
        status: ``ok``; ``unstable`` (priced, but noisy); ``unsupported`` or ``timeout`` (not priced).
        q10_ms: the price: marginal cost in a network, from 10th percentiles.
        median_ms: the same from medians of the graphs' times; a difference, so it need not exceed `q10_ms`.
        p90_ms: the same from their 90th percentiles.
        low_ms: lower end of the 90 % bootstrap interval of `q10_ms`.
        high_ms: upper end.
        samples: rounds behind it.
        stop: why sampling ended: ``converged``, ``settled`` or ``cap``.
        reason: why the status is not ``ok``; empty otherwise.
    """

    op: Op
    status: str
    q10_ms: float
    median_ms: float
    p90_ms: float
    low_ms: float
    high_ms: float
    samples: int
    stop: str
    reason: str = ""

    @property
    def priced(self) -> bool:
        """Whether the op has a price."""
        return self.status in ("ok", "unstable")


@dataclass(frozen=True)
class Price:
    """Predicted latency of a network in milliseconds, with its 90 % interval.

    Attributes:
        value_ms: the prediction.
        low_ms: lower end; None where the table holds no calibration networks to tell.
        high_ms: upper end; None likewise.
    """

    value_ms: float
    low_ms: float | None
    high_ms: float | None


@dataclass(frozen=True)
class LatencyTable:
    """Measured prices of ops on one device, runtime and protocol. Never gives a number it has not measured.

    Attributes:
        identity: stable facts; the table is valid where all of them are the same.
        environment: volatile facts at the time of measuring.
        settings: of the sampling.
        space: name and settings of the search space whose ops were measured.
        entries: the rows, by op.
        networks: whole networks measured beside the ops.
        notes: remarks of the profiler (drift, instability), for people.
        created: date and time, ISO 8601.
    """

    identity: Mapping[str, object]
    environment: Mapping[str, object]
    settings: Mapping[str, object]
    space: Mapping[str, object]
    entries: Mapping[Op, Entry]
    networks: tuple[NetworkMeasurement, ...] = ()
    notes: tuple[str, ...] = ()
    created: str = ""
    source: Path | None = field(default=None, compare=False)

    @cached_property
    def scale(self) -> float:
        """Factor on sums of prices, fitted to the calibration networks alone; 1 without any."""
        chosen = [n for n in self.networks if n.split == "calibration"]
        return shrunk_scale([n.additive_ms for n in chosen], [n.measured_ms for n in chosen])

    @cached_property
    def spread(self) -> float | None:
        """Half-width of the 90 % interval in log latency, from the calibration networks; None without any."""
        chosen = [n for n in self.networks if n.split == "calibration"]
        if not chosen:
            return None
        return conformal_spread([n.additive_ms for n in chosen], [n.measured_ms for n in chosen])

    @cached_property
    def validation(self) -> ValidationReport | None:
        """The table judged on its held-out networks; None without any."""
        held = [n for n in self.networks if n.split == "held-out"]
        if not held:
            return None
        additive = np.array([n.additive_ms for n in held])
        first, second = np.array([n.measured_ms for n in held]), np.array([n.repeat_ms for n in held])
        calibrated = additive * self.scale
        spread = self.spread if self.spread is not None else 0.0
        inside = np.abs(np.log(first / calibrated)) <= spread
        return ValidationReport(
            networks=len(held),
            calibration_networks=len(self.networks) - len(held),
            additive=agreement(additive, first),
            calibrated=agreement(calibrated, first),
            noise_floor=noise_floor(first, second),
            interval_coverage=float(inside.mean()),
        )

    def additive_ms(self, op: Op) -> float:
        """The op's own price, unscaled.

        Raises:
            UnmeasuredOpError: the table has no price for it.
        """
        entry = self.entries.get(op)
        if entry is None or not entry.priced:
            raise UnmeasuredOpError([op.key], {op.key: entry.reason} if entry is not None else None)
        return entry.q10_ms

    def additive_counts_ms(self, counts: Mapping[Op, int]) -> float:
        """Sum of prices over op counts, unscaled and without the cost of a session.

        Raises:
            UnmeasuredOpError: naming every op without a price.
        """
        entries = self.entries
        missing = [op for op in counts if (entry := entries.get(op)) is None or not entry.priced]
        if missing:
            reasons = {op.key: entries[op].reason for op in missing if op in entries}
            raise UnmeasuredOpError([op.key for op in missing], reasons)
        return sum(entries[op].q10_ms * count for op, count in counts.items())

    def additive_graph_ms(self, graph: OpGraph) -> float:
        """Sum of prices of a whole network with the cost of a session; nothing fitted.

        Raises:
            UnmeasuredOpError: naming every op without a price.
        """
        counts = graph.without_dead_code().op_counts.copy()
        counts[SESSION] += 1
        return self.additive_counts_ms(counts)

    def price(self, graph: OpGraph) -> Price:
        """Predicted latency of a whole network.

        Args:
            graph: fused, as spaces give it; dead code is not counted.

        Raises:
            UnmeasuredOpError: naming every op without a price.
        """
        return self.price_of_sum(self.additive_graph_ms(graph))

    def price_of_sum(self, additive_ms: float) -> Price:
        """Scale a sum of prices (session included) and put its interval around it."""
        value = self.scale * additive_ms
        spread = self.spread
        if spread is None:
            return Price(value, None, None)
        return Price(value, value * math.exp(-spread), value * math.exp(spread))

    def require_identity(self, identity: Mapping[str, object]) -> None:
        """Refuse to be used on another device, runtime or setting.

        Raises:
            IdentityMismatchError: naming the first fact that differs.
        """
        name = str(self.source) if self.source else "the latency table"
        for fact in sorted({*self.identity, *identity}, key=_importance):
            here, there = identity.get(fact), self.identity.get(fact)
            if here != there:
                raise IdentityMismatchError(
                    f"{name} was measured with {fact} {_show(there)}, here it is {_show(here)}; "
                    "measure a table of your own with `hwnas profile`"
                )

    def environment_changes(self, environment: Mapping[str, object]) -> list[str]:
        """Volatile facts that differ from those at measuring time and may shift latencies, one line each."""
        watched = ("governor", "kernel", "microcode", "driver")
        return [
            f"{fact} was {_show(self.environment.get(fact))} when the table was measured and is "
            f"{_show(environment.get(fact))} now; if predictions miss, measure it again with `hwnas profile --force`"
            for fact in watched
            if self.environment.get(fact) != environment.get(fact)
        ]


def _importance(fact: str) -> tuple[int, str]:
    order = ("device", "cpu", "gpu", "threads", "batch", "dtype", "runtime", "runtime_version", "provider")
    return (order.index(fact) if fact in order else len(order), fact)


def _show(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value)) or "none"
    return "unknown" if value is None else str(value)
