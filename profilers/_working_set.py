"""The working set of one inference: weights, the runtime's own data of each kernel, live activations."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

from latency_tables import Op, OpGraph
from profilers._costs import BYTES, peak_memory_bytes
from profilers._operators import parts_of, primitive_of, remembered


@dataclass(frozen=True)
class Sizes:
    """The size of a number, and how many images are computed at once.

    Attributes:
        element_bytes: Bytes of one weight or activation of a float32 op.
        batch: Images of one inference.
    """

    element_bytes: int = 4
    batch: int = 1

    def weight_bytes(self, op: Op) -> int:
        """Return the bytes of all trained weights of an op."""
        return self.element_bytes * op_weights(op) * BYTES[op.dtype] // BYTES[Op.dtype]

    def activation_bytes(self, op: Op) -> int:
        """Return the largest sum of live activations inside an op, inputs and result included."""
        return self.element_bytes * self.batch * _op_activation_bytes(op) // BYTES[Op.dtype]

    def working_bytes(self, graph: OpGraph, kernel_bytes: float, tied: Collection[Op] = ()) -> float:
        """Return the bytes that one inference of a graph touches.

        Args:
            graph: The network.
            kernel_bytes: Bytes of the runtime's own data of one kernel.
            tied: Ops whose nodes share their weights.
        """
        counts = graph.op_counts
        weights = sum(self.weight_bytes(op) * (1 if op in tied else count) for op, count in counts.items())
        kernels = sum(op_kernels(op) * count for op, count in counts.items())
        return weights + kernel_bytes * kernels + max((self.activation_bytes(op) for op in counts), default=0)


@remembered
def op_weights(op: Op) -> int:
    """Count the trainable weights of an op."""
    return sum(p.size for part in parts_of(op) for p in primitive_of(part).parameters(part).values() if p.trainable)


def op_kernels(op: Op) -> int:
    """Count the kernels that a runtime executes for an op: its primitive parts."""
    return len(parts_of(op))


@remembered
def _op_activation_bytes(op: Op) -> int:
    """Return the bytes of the largest sum of live activations inside an op, at the size that its dtype has."""
    if len(op.inputs) == 1:
        return peak_memory_bytes(OpGraph.single(op))
    return sum(math.prod(shape) for shape in (*op.inputs, op.output)) * BYTES[op.dtype]
