"""What an explanation says, in words and numbers for people."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hwnas._tables._references import percent_text
from profilers import REASONS, Change, ExplainedNode, Explanation


@dataclass(frozen=True)
class Block:
    """Nodes of one block together.

    Attributes:
        name: Its name.
        ms: Their time.
        low_ms: Lower end of its 90 % interval; the errors of the nodes count as independent.
        high_ms: Upper end.
        nodes: How many they are.
    """

    name: str
    ms: float
    low_ms: float
    high_ms: float
    nodes: int


def blocks_of(rows: Iterable[ExplainedNode]) -> list[Block]:
    """Return the blocks of nodes in the order of execution; nodes without one stand alone."""
    members: dict[str, list[ExplainedNode]] = {}
    for row in rows:
        members.setdefault(row.block or row.node, []).append(row)
    return [_block(name, rows) for name, rows in members.items()]


def _block(name: str, rows: list[ExplainedNode]) -> Block:
    ms = sum(row.ms for row in rows)
    below, above = math.hypot(*(r.ms - r.low_ms for r in rows)), math.hypot(*(r.high_ms - r.ms for r in rows))
    return Block(name, ms, ms - below, ms + above, len(rows))


def summary(explanation: Explanation) -> list[str]:
    """Return sentences: the total, the device, what the rows add up to, the noise floor."""
    e, rows_ms = explanation, sum(row.ms for row in explanation.rows)
    lines = [
        f"One inference takes {ms_text(e.total_ms)} (90 % interval {ms_text(e.total_low_ms)} to "
        f"{ms_text(e.total_high_ms)}; 10th percentile of {e.rounds} rounds) {device_text(e.identity)}.",
        f"The {len(e.rows)} rows below add up to {ms_text(rows_ms)}, {100 * rows_ms / e.total_ms:.1f} % of the total; "
        f"{left_text(e.unexplained_ms)}.",
        f"Two measurements of the whole network differ by {percent_text(e.noise_floor)} in the median (the noise "
        "floor): smaller differences mean nothing.",
    ]
    slowest = sorted(e.rows, key=lambda row: -row.ms)[:3]
    if len(e.rows) > 3:
        share = percent_text(sum(row.ms for row in slowest) / e.total_ms)
        lines.append(f"The three slowest nodes take {share} of it: {', '.join(row.node for row in slowest)}.")
    return lines


def left_text(unexplained_ms: float) -> str:
    """Return how far the rows are from the total, in words."""
    if unexplained_ms < 0:
        return f"the rows exceed it by {ms_text(-unexplained_ms)}"
    return f"{ms_text(unexplained_ms)} are in no row"


def device_text(identity: Mapping[str, object]) -> str:
    """Return where something was measured: ``on X with 1 thread (onnxruntime 1.2)``."""
    device, threads, runtime = device_facts(identity)
    return f"on {device} with {threads}" + (f" ({runtime})" if runtime else "")


def device_facts(identity: Mapping[str, object]) -> tuple[str, str, str]:
    """Return device, threads and runtime in words; the runtime is ``""`` where none is stated."""
    threads = identity.get("threads", 1)
    device = identity.get("cpu") or identity.get("device", "an unnamed device")
    runtime = f"{identity.get('runtime', '')} {identity.get('runtime_version', '')}".strip()
    return str(device), f"{threads} thread{'' if threads == 1 else 's'}", runtime


def reasons_text(row: ExplainedNode) -> str:
    """Return why a node is slower than the device's best, in words."""
    return "; ".join(REASONS.get(reason, reason) for reason in row.reasons)


def verdict(change: Change) -> str:
    """Return whether a change is faster, as far as its interval tells."""
    if change.low_ms > 0:
        return "faster"
    return "slower" if change.high_ms < 0 else "no difference that can be told"


def ms_text(value: float) -> str:
    """Write milliseconds: ``1.23 ms``, ``12 us`` for less than a tenth of one."""
    return f"{1e3 * value:.3g} us" if abs(value) < 0.1 else f"{value:.4g} ms"


def amount(value: float) -> str:
    """Write a number with three digits: ``1.23 M``, ``456 k``."""
    for name, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= 0.9995 * size:
            return f"{value / size:.3g} {name}"
    return f"{value:.3g}"


def bytes_unit(value: float) -> tuple[str, int]:
    """Return the unit in which an amount of memory is written, and its bytes."""
    return next(
        ((unit, size) for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)) if value >= size), ("B", 1)
    )


def bytes_text(value: float) -> str:
    """Write an amount of memory: ``1.23 MiB``, ``456 KiB``."""
    unit, size = bytes_unit(value)
    return f"{value / size:.4g} {unit}" if value / size >= 999.5 else f"{value / size:.3g} {unit}"


def shape_text(row: ExplainedNode) -> str:
    """Return the shapes that a node reads and writes; ``""`` for a row that is no node."""
    if not row.inputs and not row.output:
        return ""
    read = ", ".join("x".join(map(str, shape)) for shape in row.inputs)
    return f"{read} to {'x'.join(map(str, row.output))}"
