"""`LatencyTable`: what each op costs on one device, and so what any network of those ops costs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from latency_tables._cache import CacheCurve
from latency_tables._calibration import Calibration
from latency_tables._errors import IdentityMismatchError, UnmeasuredOpError
from latency_tables._grade import Grade, grade_table
from latency_tables._graph import OpGraph
from latency_tables._handover import HANDOVER, count_handovers
from latency_tables._interval import Interval
from latency_tables._judgement import Judgement
from latency_tables._op import Op, Shape
from latency_tables._validation import NetworkMeasurement, ValidationReport

SESSION = Op("session", (), (1,))
"""The cost of starting one inference, whatever is computed; every price of a whole network holds it once."""
OVERHEADS = (SESSION.kind, HANDOVER)
"""Kinds of rows that price no op, but what a runtime spends around them."""
STATUSES = ("ok", "unstable", "unsupported", "timeout")
CHECKED = 3
"""Version of tables from which on a correction must help networks that it was not fitted to, and intervals depend on
the latency. Earlier tables are priced as they were when they were made."""


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
        weight_bytes: of the op's weights.
        kernels: kernels that the runtime executes for it.
        activation_bytes: largest sum of live activations inside it, at the table's batch size.
        on_one_core: whether one of several threads executes it alone; None where the table prices no hand-overs.
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
    weight_bytes: int = 0
    kernels: int = 0
    activation_bytes: int = 0
    on_one_core: bool | None = None

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
        cache: cost of working sets beyond the caches; None where prices already hold it.
        version: of the table file's format, and so of the rules that networks are priced by.
        source: the file it was read from.
    """

    identity: Mapping[str, object]
    environment: Mapping[str, object]
    settings: Mapping[str, object]
    space: Mapping[str, object]
    entries: Mapping[Op, Entry]
    networks: tuple[NetworkMeasurement, ...] = ()
    notes: tuple[str, ...] = ()
    created: str = ""
    cache: CacheCurve | None = None
    version: int = CHECKED
    source: Path | None = field(default=None, compare=False)

    @classmethod
    def load(cls, path: str | Path) -> LatencyTable:
        """Read a table file.

        Raises:
            TableFormatError: it is absent, truncated, changed since it was written, or of an unknown version.
        """
        from latency_tables._format import load_table

        return load_table(Path(path))

    def save(self, path: str | Path) -> None:
        """Write a table file, atomically.

        Raises:
            OSError: the folder cannot be written, or the disk is full.
        """
        from latency_tables._format import save_table

        save_table(self, Path(path))

    @cached_property
    def _judged(self) -> Judgement:
        return Judgement(self.networks, checked=self.version >= CHECKED)

    @property
    def calibration(self) -> Calibration:
        """Correction of predictions, fitted to the calibration networks alone; none without any, or where it harms."""
        return self._judged.calibration

    @property
    def corrected(self) -> bool:
        """Whether the correction makes predictions of networks that it was not fitted to no worse."""
        return self._judged.corrected

    @property
    def interval(self) -> Interval | None:
        """Half-widths of the 90 % intervals by predicted latency, from networks not held out; None without any."""
        return self._judged.interval

    @property
    def spread(self) -> float | None:
        """Typical half-width of the 90 % intervals in log latency; None without networks to tell."""
        return None if self.interval is None else self.interval.typical

    @property
    def validation(self) -> ValidationReport | None:
        """The table judged on its held-out networks; None without any."""
        return self._judged.validation

    @cached_property
    def grade(self) -> Grade:
        """How far the table can be trusted, by what was seen of the machine and of networks."""
        return grade_table(self.environment, list(self.entries.values()), self.networks, self.validation)

    def report_lines(self) -> list[str]:
        """For people: whether the table holds, its validation, its grade."""
        lines = self.validation.lines() if self.validation else ["not validated: no network was held out"]
        return [*lines, self.grade.line()]

    def op_ms(self, op: Op) -> float:
        """The op's own price, uncalibrated.

        Raises:
            UnmeasuredOpError: the table has no price for it.
        """
        self._require_priced([op])
        return self.entries[op].q10_ms

    def unfitted_ms(self, counts: Mapping[Op, int]) -> float:
        """Sum of prices over op counts plus the cost of their working set; nothing fitted to whole networks.

        Args:
            counts: how often each op occurs; `SESSION` only where it is counted too.

        Raises:
            UnmeasuredOpError: naming every op without a price.
        """
        total = self.sum_ms_of(counts)
        if self.cache is None:
            return total
        return total + float(self.cache.ms(self.touched_bytes_of(counts) + self.activation_bytes_of(counts)))

    def sum_ms_of(self, ops: OpGraph | Mapping[Op, int]) -> float:
        """The sum of prices alone.

        Raises:
            UnmeasuredOpError: naming every op without a price.
        """
        counts = self._counts(ops)
        self._require_priced(counts)
        return sum(self.entries[op].q10_ms * count for op, count in counts.items())

    def touched_bytes_of(self, ops: OpGraph | Mapping[Op, int]) -> float:
        """Bytes of weights and of the runtime's own data that one inference of these ops touches."""
        kernel = self.cache.kernel_bytes if self.cache is not None else 0
        rows = ((self.entries[op], count) for op, count in _op_counts(ops).items())
        return float(sum(count * (row.weight_bytes + row.kernels * kernel) for row, count in rows))

    def activation_bytes_of(self, ops: OpGraph | Mapping[Op, int]) -> float:
        """Bytes of the largest activations that are live inside one of these ops."""
        return float(max((self.entries[op].activation_bytes for op in _op_counts(ops)), default=0))

    def unfitted_graph_ms(self, graph: OpGraph) -> float:
        """What a whole network costs, with the cost of a session; nothing fitted.

        Raises:
            UnmeasuredOpError: naming every op without a price.
        """
        counts = self._counts(graph.without_dead_code())
        return self.unfitted_ms({**counts, SESSION: 1})

    def price(self, graph: OpGraph) -> Price:
        """Predicted latency of a whole network.

        Args:
            graph: fused, as spaces give it; dead code is not counted.

        Raises:
            UnmeasuredOpError: naming every op without a price.
        """
        return self.calibrated_price(self.unfitted_graph_ms(graph))

    def calibrated_price(self, unfitted_ms: float) -> Price:
        """Calibrate a prediction (session included) and put its interval around it."""
        value = float(self.calibration.apply(unfitted_ms))
        if self.interval is None:
            return Price(value, None, None)
        spread = float(self.interval.half_width(value))
        return Price(value, value * math.exp(-spread), value * math.exp(spread))

    def _counts(self, ops: OpGraph | Mapping[Op, int]) -> Mapping[Op, int]:
        """How often each row is paid for: the ops of a graph, and the crossings between cores."""
        on_one_core, shapes = self._handovers
        if not isinstance(ops, OpGraph) or not shapes:
            return _op_counts(ops)
        return ops.op_counts + count_handovers(ops, on_one_core, shapes)

    @cached_property
    def _handovers(self) -> tuple[dict[Op, bool], set[Shape]]:
        """Which ops one core executes alone, and the shapes of tensors whose hand-overs have prices."""
        known = {op: entry.on_one_core for op, entry in self.entries.items() if entry.on_one_core is not None}
        return known, {op.output for op in self.entries if op.kind == HANDOVER}

    def _require_priced(self, wanted: Iterable[Op]) -> None:
        missing = [op for op in wanted if (entry := self.entries.get(op)) is None or not entry.priced]
        if missing:
            reasons = {op.key: self.entries[op].reason for op in missing if op in self.entries}
            raise UnmeasuredOpError([op.key for op in missing], reasons)

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


def _op_counts(ops: OpGraph | Mapping[Op, int]) -> Mapping[Op, int]:
    """How often each op occurs; crossings between cores, which touch no bytes of their own, are not among them."""
    return ops.op_counts if isinstance(ops, OpGraph) else ops


def _importance(fact: str) -> tuple[int, str]:
    order = ("device", "cpu", "gpu", "threads", "batch", "dtype", "runtime", "runtime_version", "provider")
    return (order.index(fact) if fact in order else len(order), fact)


def _show(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value)) or "none"
    return "unknown" if value is None else str(value)
