"""What one inference touches: weights, the runtime's own data of each kernel, live activations."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

from latency_tables import Op, OpGraph
from profilers._costs import BYTES, peak_memory_bytes
from profilers._operators import parts_of, primitive_of, remembered


@dataclass(frozen=True)
class Sizes:
    """How large the numbers are and how many samples are computed at once.

    Attributes:
        element_bytes: bytes of one weight or activation.
        batch: samples of one inference.
    """

    element_bytes: int = 4
    batch: int = 1

    def weight_bytes(self, op: Op) -> int:
        """Bytes of all weights of an op, as trained."""
        return self.element_bytes * op_weights(op)

    def activation_bytes(self, op: Op) -> int:
        """Largest sum of live activations inside an op, inputs and result included."""
        return self.element_bytes * self.batch * _op_activations(op)

    def working_bytes(self, graph: OpGraph, kernel_bytes: float, tied: Collection[Op] = ()) -> float:
        """What one inference of a graph touches.

        Args:
            graph: the network.
            kernel_bytes: the runtime's own data of one kernel.
            tied: ops whose nodes share their weights.
        """
        counts = graph.op_counts
        weights = sum(self.weight_bytes(op) * (1 if op in tied else count) for op, count in counts.items())
        kernels = sum(op_kernels(op) * count for op, count in counts.items())
        return weights + kernel_bytes * kernels + max((self.activation_bytes(op) for op in counts), default=0)


@remembered
def op_weights(op: Op) -> int:
    """Number of trainable weights of an op."""
    return sum(p.size for part in parts_of(op) for p in primitive_of(part).parameters(part).values() if p.trainable)


def op_kernels(op: Op) -> int:
    """Kernels that a runtime executes for an op: its primitive parts."""
    return len(parts_of(op))


@remembered
def _op_activations(op: Op) -> int:
    if len(op.inputs) == 1:
        return peak_memory_bytes(OpGraph.single(op)) // BYTES["float32"]
    return sum(math.prod(shape) for shape in (*op.inputs, op.output))
