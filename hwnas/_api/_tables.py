"""What tables are for: `predict`, `validate`, `verify`, `merge` and `show_table`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwnas._api._given import opened, quiet, save
from hwnas._common._seeds import require_seed
from hwnas._costs._cost import COSTS, LATENCY
from hwnas._tables import _validate
from hwnas._tables._build import require_drawing
from hwnas._tables._fit import written_price
from hwnas._tables._merge import merged
from hwnas._tables._references import THIS_MACHINE, machine_of
from hwnas._tables._validate import backend_of, batch_of, precision_of, space_of, validate_table
from hwnas._tables._verify import verify_table
from hwnas._tables._verify_result import CHANGED, EXIT_CODES, HOLDS, TOO_NOISY, Check, Verified
from hwnas.spaces import Architecture, Space
from latency_tables import LatencyTable


@dataclass(frozen=True)
class Prediction:
    """What a table predicts for one architecture.

    Attributes:
        arch: The architecture, as `hwnas search` prints it.
        latency_ms: Predicted latency in milliseconds.
        low_ms: Lower end of its 90 % interval; None where the table gives none.
        high_ms: Upper end of that interval.
        costs: All other costs by key: ``{"macs": ..., "params": ..., "peak_memory_bytes": ...}``.
        table: The table.
    """

    arch: str
    latency_ms: float
    low_ms: float | None
    high_ms: float | None
    costs: Mapping[str, float]
    table: LatencyTable

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-able data."""
        grade = self.table.grade
        return {
            "arch": self.arch,
            LATENCY.key: {"predicted": self.latency_ms, "low": self.low_ms, "high": self.high_ms},
            **self.costs,
            "table": {"quality": grade.level, "reasons": list(grade.reasons)},
        }


def predict(table: LatencyTable | str | Path, arch: Architecture | str, *, space: Space | None = None) -> Prediction:
    """Predict the latency of an architecture, as ``hwnas predict`` does; its other costs are computed.

    Args:
        table: A table, or its file.
        arch: An architecture, or its text.
        space: The table's space; None for the one that the table names.

    Raises:
        HwnasError, LatencyTableError: The table cannot be read, or the architecture is not one of its space.
    """
    read = opened(table)
    space = space or space_of(read)
    chosen = space.parse(arch) if isinstance(arch, str) else arch
    graph, batch, precision = space.graph(chosen), batch_of(read), precision_of(read)
    price = written_price(read, space, chosen)
    of_graph = (cost for cost in COSTS.values() if cost.of_graph is not None)
    costs = {cost.key: cost.stored(cost.value(graph, batch, precision)) for cost in of_graph}
    return Prediction(space.format(chosen), price.value_ms, price.low_ms, price.high_ms, costs, read)


def validate(
    table: LatencyTable | str | Path,
    *,
    device: str | None = None,
    networks: int = 50,
    seed: int = 0,
    progress: Callable[[str], None] = quiet,
) -> LatencyTable:
    """Measure further networks, from fast to slow, and compare a table with them, as ``hwnas validate`` does.

    Args:
        table: A table of this device, or its file.
        device: Where the table's device is: ``"ssh://[user@]host[:port]"``; None for this machine.
        networks: Number of networks to measure, none of which the table has seen.
        seed: Random seed of these networks.
        progress: Receives progress lines.

    Returns:
        The table with these networks in place of its own held-out ones: its ``validation`` and ``report_lines()`` say
        how well it predicts them.

    Raises:
        HwnasError, LatencyTableError, ProfilerError: One line each (see `Errors`).
    """
    require_drawing(networks, seed)
    return validate_table(opened(table), device=device, networks=networks, seed=seed, progress=progress)


@dataclass(frozen=True)
class Verification:
    """Whether a table still holds.

    Attributes:
        table: The table.
        warnings: What has changed on the device since the table was measured.
        result: The verdict, the machine's speed, and what can be found.
        machine: What texts call the machine.
    """

    table: LatencyTable
    warnings: tuple[str, ...]
    result: Verified
    machine: str = THIS_MACHINE

    @property
    def checks(self) -> tuple[Check, ...]:
        """The numbers that were measured again."""
        return self.result.checks

    @property
    def moved(self) -> int:
        """How many numbers are no longer what the table says."""
        return len(self.result.moved)

    @property
    def holds(self) -> bool:
        """Whether the table's numbers are right, or right but for the speed of the whole machine."""
        return self.result.verdict == HOLDS

    @property
    def exit_code(self) -> int:
        """Exit code of ``hwnas verify``: 0 where the table holds, 1 where it changed, 3 where noise hides it."""
        return EXIT_CODES[self.result.verdict]

    def verdict_line(self) -> str:
        """Return the verdict as a line for people."""
        name = self.table.source or "the table"
        if self.result.verdict == CHANGED:
            count = f"{self.moved} of {len(self.checks)}"
            return f"{name} is no longer valid on this device: {count} values changed; run `hwnas profile --force`"
        if self.result.verdict == TOO_NOISY:
            return f"other work on {self.machine} hides whether {name} is still valid: stop it and verify again"
        return f"{name} is still valid on this device"

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-able data."""
        return {"warnings": list(self.warnings), **self.result.as_dict()}


def verify(
    table: LatencyTable | str | Path,
    *,
    device: str | None = None,
    seed: int = 0,
    progress: Callable[[str], None] = quiet,
) -> Verification:
    """Measure networks of a table again, as ``hwnas verify`` does: does it still hold?

    Args:
        table: A table of this device, or its file.
        device: Where the table's device is: ``"ssh://[user@]host[:port]"``; None for this machine.
        seed: Random seed of the networks to measure.
        progress: Receives progress lines.

    Raises:
        HwnasError, LatencyTableError, ProfilerError: One line each (see `Errors`).
    """
    require_seed(seed)
    read = opened(table)
    space = space_of(read)
    backend = backend_of(read, space, device, progress)
    warnings = tuple(read.environment_changes(backend.environment()))
    result = verify_table(read, space, backend, seed=seed, progress=progress)
    return Verification(read, warnings, result, machine_of(device))


def merge(tables: Sequence[LatencyTable | str | Path], *, out: str | Path | None = None) -> LatencyTable:
    """Merge tables of the same device and space into one, as ``hwnas merge`` does.

    Args:
        tables: Tables, or their files.
        out: File to write the merged table to; None to return it only.

    Raises:
        HwnasError, LatencyTableError: A table cannot be read, they do not fit together, or `out` cannot be written.
    """
    table = merged([opened(table) for table in tables])
    if out is not None:
        save(table, out)
    return table


def show_table(table: LatencyTable | str | Path) -> list[str]:
    """Return lines that say what a table holds and how far to trust it, as ``hwnas table show`` does.

    Args:
        table: A table, or its file.

    Raises:
        LatencyTableError: It cannot be read.
    """
    return _validate.show_table(opened(table))
