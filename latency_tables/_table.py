"""`LatencyTable`: measured prices of ops on one device, from which any network of these ops is priced."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path

from latency_tables._cache import CacheCurve
from latency_tables._correction import Correction
from latency_tables._entry import Entry
from latency_tables._errors import IdentityMismatchError
from latency_tables._files import write_atomic
from latency_tables._format import CHECKED, VERSION, parse_fields, read_fields, table_text
from latency_tables._grade import Grade
from latency_tables._grading import grade_table
from latency_tables._graph import OpGraph
from latency_tables._interval import Interval
from latency_tables._judgement import Judgement
from latency_tables._measurement import NetworkMeasurement
from latency_tables._op import Op
from latency_tables._price import Price
from latency_tables._pricing import Pricing
from latency_tables._validation import ValidationReport


@dataclass(frozen=True)
class LatencyTable:
    """Prices of ops on one device, runtime and protocol: measured, or, by `hwnas fit`, fitted to whole networks.

    Attributes:
        identity: Stable facts; the table is valid where all of them are the same.
        environment: Volatile facts at the time of measuring.
        settings: Settings of the sampling.
        space: Name and settings of the search space, or other workload, whose ops were measured.
        entries: The rows, by op.
        networks: Whole networks measured beside the ops.
        notes: Remarks of the profiler (drift, instability), for people.
        created: Date and time, ISO 8601.
        cache: Cost of working sets beyond the fast caches; None where prices already hold it.
        version: Version of the table file's format, and so of the rules that networks are priced by.
        source: The file that the table was read from.
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
    version: int = VERSION
    source: Path | None = field(default=None, compare=False)

    @classmethod
    def load(cls, path: str | Path) -> LatencyTable:
        """Read a table file.

        Raises:
            TableFormatError: The file is absent, not a regular file, truncated, changed since it was written, or of an
                unknown version.
        """
        return cls(**read_fields(Path(path)), source=Path(path))

    def save(self, path: str | Path) -> None:
        """Write a table file, atomically.

        Raises:
            OSError: The folder cannot be written, or the disk is full.
        """
        write_atomic(Path(path), dump_table(self))

    @cached_property
    def _judged(self) -> Judgement:
        return Judgement(self.networks, checked=self.version >= CHECKED)

    @property
    def correction(self) -> Correction:
        """Correction fitted to the networks of its split; the identity without any, or where it is worse."""
        return self._judged.correction

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
        """Typical half-width of the 90 % intervals in log latency; None where there is no interval."""
        return None if self.interval is None else self.interval.typical

    @property
    def validation(self) -> ValidationReport | None:
        """The table judged on its held-out networks; None without any."""
        return self._judged.validation

    @cached_property
    def grade(self) -> Grade:
        """How reliable the table is, from the state of the machine and from networks."""
        return grade_table(self.environment, list(self.entries.values()), self.networks, self.validation)

    @cached_property
    def pricing(self) -> Pricing:
        """Prices of parts of a network, of many networks at once, and by component."""
        return Pricing(self.entries, self.cache, self.correction)

    def report_lines(self) -> list[str]:
        """Return the validation and the grade of the table, as lines for people."""
        lines = self.validation.lines() if self.validation else ["not validated: no network was held out"]
        return [*lines, self.grade.line()]

    def op_ms(self, op: Op) -> float:
        """Return the op's own price in milliseconds, uncorrected.

        Raises:
            UnmeasuredOpError: The table has no price for it.
        """
        return self.pricing.op_ms(op)

    def unfitted_graph_ms(self, graph: OpGraph) -> float:
        """Return what a whole network costs in milliseconds, session included, with nothing fitted.

        Args:
            graph: The network as it is executed; dead code is not counted.

        Raises:
            UnmeasuredOpError: The table has no price for some ops; all are named.
        """
        return self.pricing.chain_ms([graph.without_dead_code()])

    def price(self, graph: OpGraph) -> Price:
        """Predict the latency of a whole network.

        Args:
            graph: The network as it is executed, which is what spaces return; dead code is not counted.

        Raises:
            UnmeasuredOpError: The table has no price for some ops; all are named.
        """
        return self.corrected_price(self.unfitted_graph_ms(graph))

    def corrected_price(self, unfitted_ms: float) -> Price:
        """Correct a prediction (session included) and put its interval around it."""
        value = float(self.correction.apply(unfitted_ms))
        if self.interval is None:
            return Price(value, None, None)
        spread = float(self.interval.half_width(value))
        return Price(value, value * math.exp(-spread), value * math.exp(spread))

    def require_identity(self, identity: Mapping[str, object]) -> None:
        """Refuse another device, runtime or setting.

        Raises:
            IdentityMismatchError: A fact differs; the first one is named.
        """
        name = str(self.source) if self.source else "the latency table"
        for fact in sorted({*self.identity, *identity}, key=_importance):
            here, there = identity.get(fact), self.identity.get(fact)
            if here != there:
                way = f"give --{fact} {there}, or " if fact in _OPTIONS and there is not None else ""
                raise IdentityMismatchError(
                    f"{name} was measured with {fact} {_show(there)}, but {fact} is {_show(here)} here; "
                    f"{way}measure a table for it with `hwnas profile`"
                )

    def environment_changes(self, environment: Mapping[str, object]) -> list[str]:
        """Return one line for each volatile fact that changed since the table was measured and may shift latencies."""
        watched = ("governor", "kernel", "microcode", "driver")
        return [
            f"{fact} was {_show(self.environment.get(fact))} when the table was measured and is "
            f"{_show(environment.get(fact))} now; if predictions are off, measure it again with `hwnas profile --force`"
            for fact in watched
            if self.environment.get(fact) != environment.get(fact)
        ]


def load_table(path: str | Path) -> LatencyTable:
    """Read a table file; the same as `LatencyTable.load`.

    Raises:
        TableFormatError: As `LatencyTable.load`.
    """
    return LatencyTable.load(path)


def save_table(table: LatencyTable, path: str | Path) -> None:
    """Write a table file, atomically; the same as `LatencyTable.save`.

    Raises:
        OSError: As `LatencyTable.save`.
    """
    table.save(path)


def parse_table(text: str, path: Path | None = None) -> LatencyTable:
    """Read a table from JSON text.

    Args:
        text: The text of a table file.
        path: The file that it was read from.

    Raises:
        TableFormatError: As `LatencyTable.load`.
    """
    return LatencyTable(**parse_fields(text, str(path) if path else "the latency table"), source=path)


def dump_table(table: LatencyTable) -> str:
    """Return a table as JSON text, content hash included."""
    values = {item.name: getattr(table, item.name) for item in fields(table)}
    return table_text(values, table.validation.as_dict() if table.validation else None)


_OPTIONS = ("threads", "batch")
"""Facts of an identity that an option of the same name sets."""


def _importance(fact: str) -> tuple[int, str]:
    order = ("device", "cpu", "gpu", "threads", "batch", "dtype", "runtime", "runtime_version", "provider")
    return (order.index(fact) if fact in order else len(order), fact)


def _show(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value)) or "none"
    return "unknown" if value is None else str(value)
