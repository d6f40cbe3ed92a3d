"""Which ops ONNX Runtime's CPU provider leaves to one of its threads."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from latency_tables import Op, OpGraph, Shape, count_core_crossings
from profilers._session import PROVIDER

_STARTUP_CYCLES = _THREAD_CYCLES = 100_000
_ROUNDING = 0.9
_CYCLES_PER_BYTE = 11 / 64
"""Eigen's cost model (``TensorCostModel.h``), by which the thread pool decides."""
_ELEMENTWISE = ("activation", "add", "scale")


@dataclass(frozen=True)
class Cores:
    """Several threads, each on a core with a cache of its own.

    Blocked kernels (convolution, pooling) are always divided among them. An element-wise op stays with one thread until
    the thread pool's cost model says that two are worth it.

    Attributes:
        batch: images of one inference.
    """

    batch: int = 1

    def on_one(self, op: Op) -> bool:
        """Whether one thread executes an op alone."""
        if op.kind not in _ELEMENTWISE:
            return op.kind == "linear"
        cycles_each = 4 * (len(op.inputs) + 1) * _CYCLES_PER_BYTE + 1
        cycles = self.batch * math.prod(op.output) * cycles_each
        return int((cycles - _STARTUP_CYCLES) / _THREAD_CYCLES + _ROUNDING) < 2

    def crossings(self, graph: OpGraph, shapes: Collection[Shape]) -> Counter[Op]:
        """How often tensors of these shapes cross over in a fused graph."""
        return count_core_crossings(graph, {op: self.on_one(op) for op in graph.op_counts}, shapes)


def cores_of(*, threads: int, batch: int, provider: str, precision: str) -> Cores | None:
    """The cores that networks run on; None where nothing is known of how they share ops.

    Known are float networks on several threads of ONNX Runtime's CPU provider.

    Args:
        threads: threads inside an operator.
        batch: images of one inference.
        provider: full name of the execution provider.
        precision: ``"fp32"`` or ``"int8"``.
    """
    return Cores(batch) if threads > 1 and provider == PROVIDER and precision == "fp32" else None
