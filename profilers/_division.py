"""Which ops ONNX Runtime's CPU provider executes on one of its threads alone."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from latency_tables import Op, OpGraph, Shape, count_core_crossings
from profilers._session import PROVIDER

_STARTUP_CYCLES = _THREAD_CYCLES = 100_000
"""Cycles of Eigen's cost model (``TensorCostModel.h``): start of a thread pool, and work for each further thread."""
_ROUNDING = 0.9
"""Amount that the cost model adds to the number of threads before it rounds down."""
_CYCLES_PER_BYTE = 11 / 64
"""Cycles of the cost model to load or store a byte."""
_ELEMENTWISE = ("activation", "add", "mul", "scale")


@dataclass(frozen=True)
class Cores:
    """Several threads, each on a core with a cache of its own.

    Blocked kernels (convolution, pooling) are always divided among the threads. An element-wise op stays on one thread
    until the thread pool's cost model gives it two.

    Attributes:
        batch: Images of one inference.
    """

    batch: int = 1

    def on_one(self, op: Op) -> bool:
        """Return whether one thread executes an op alone."""
        if op.kind not in _ELEMENTWISE:
            return op.kind == "linear"
        # Cycles of an element: it loads each input and stores the output, 4 bytes each, and computes for one cycle.
        cycles_each = 4 * (len(op.inputs) + 1) * _CYCLES_PER_BYTE + 1
        # Cycles of the op: elements of the whole batch times cycles of an element.
        cycles = self.batch * math.prod(op.output) * cycles_each
        # Threads = floor((cycles - startup) / cycles of a thread + 0.9); one thread executes it where they are below 2.
        return int((cycles - _STARTUP_CYCLES) / _THREAD_CYCLES + _ROUNDING) < 2

    def core_crossings(self, graph: OpGraph, shapes: Collection[Shape]) -> Counter[Op]:
        """Count how often tensors of these shapes change cores in a fused graph."""
        return count_core_crossings(graph, {op: self.on_one(op) for op in graph.op_counts}, shapes)


def cores_of(*, threads: int, batch: int, provider: str, precision: str) -> Cores | None:
    """Return how networks share the cores; None where that is not known.

    It is known for float networks on several threads of ONNX Runtime's CPU provider.

    Args:
        threads: Threads inside an operator.
        batch: Images of one inference.
        provider: Full name of the execution provider.
        precision: ``"fp32"``, ``"int8"`` or ``"mixed"``.
    """
    return Cores(batch) if threads > 1 and provider == PROVIDER and precision == "fp32" else None
