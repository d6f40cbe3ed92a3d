"""Costs that follow from the graph alone: MACs, parameters, bytes, peak activation memory."""

from __future__ import annotations

import math
from functools import lru_cache

from latency_tables import Op, OpGraph
from profilers._operators import expand, parts_of, primitive_of
from profilers._operators._convert import INT8, read_dtype
from profilers._operators._dense import Normalisation, folded_op

BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "int8": 1}
"""Bytes of one element of each dtype."""


def graph_macs(graph: OpGraph) -> int:
    """Count the multiply-accumulates of one sample; dead code is not counted."""
    return sum(primitive_of(node.op).macs(node.op) for node in expand(graph.without_dead_code()).nodes)


def graph_params(graph: OpGraph) -> int:
    """Count the trainable parameters (weights, batch norm scale and shift, biases) of the live graph.

    Nodes that share weights count each for themselves.
    """
    total = 0
    for node in expand(graph.without_dead_code()).nodes:
        total += sum(p.size for p in primitive_of(node.op).parameters(node.op).values() if p.trainable)
    return total


_SCALE, _ZERO_POINT, _BIAS = 4, 1, 4
"""Bytes of a float32 scale, an int8 zero point and an int32 bias of a quantised file."""


def stored_bytes(graph: OpGraph) -> int:
    """Compute the bytes of a network's weights as its ONNX file holds them, batch norms folded.

    A weight or bias of a float op has the bytes of its dtype. In int8 ops a weight has one byte; each output channel
    has a scale (float32) and a zero point (int8) for its weights, and an int32 bias with a scale and a zero point of
    its own. Batch norms that follow no convolution stay in float32.

    Not counted: the scale and zero point of each int8 activation tensor (5 bytes), the constants of front ends and
    of post-processing, and the file's own structure. Nodes that share weights count each for themselves.
    """
    return sum(_stored_bytes(node.op) for node in expand(graph.without_dead_code()).nodes)


@lru_cache(maxsize=65536)
def _stored_bytes(op: Op) -> int:
    """Compute the bytes of a primitive op's weights."""
    parameters = primitive_of(op).parameters(folded_op(op))
    if op.dtype != INT8 or op.kind == Normalisation.kind:
        each = BYTES[Op.dtype] if op.dtype == INT8 else BYTES[op.dtype]
        return each * sum(parameter.size for parameter in parameters.values())
    total = 0
    for name, parameter in parameters.items():
        if name == "bias":
            total += parameter.size * (2 * _BIAS + _SCALE)  # its zero point has 32 bits, too
        else:
            total += parameter.size * BYTES[INT8] + parameter.shape[0] * (_SCALE + _ZERO_POINT)
    return total


@lru_cache(maxsize=65536)
def activation_bytes(op: Op) -> int:
    """Compute the bytes of the op's result for one sample."""
    return math.prod(op.output) * BYTES[op.dtype]


def part_work(op: Op) -> tuple[float, float, float]:
    """Count what a primitive op does for one sample.

    Returns:
        Multiply-accumulates (elements read, where there are none), bytes moved, kernels.
    """
    primitive, outputs = primitive_of(op), math.prod(op.output)
    inputs = sum(math.prod(shape) for shape in op.inputs)
    weights = sum(parameter.size for parameter in primitive.parameters(op).values())
    window = math.prod(op.integers("kernel", len(op.inputs[0]) - 1, 1))
    read = max(inputs, outputs * window)
    moved = (inputs + outputs + weights) * activation_bytes(op) / outputs
    return float(primitive.macs(op) or read), float(moved), 1.0


def op_work(op: Op) -> tuple[float, float, float]:
    """Sum `part_work` over all parts of an op."""
    macs, moved, kernels = zip(*map(part_work, parts_of(op)), strict=True)
    return sum(macs), sum(moved), sum(kernels)


def peak_memory_bytes(graph: OpGraph, *, batch: int = 1) -> int:
    """Find the largest sum of live activations at any step of the graph, executed in its order.

    A tensor lives from the step that writes it to the last step that reads it; the graph's inputs live from the start
    while they are read, the outputs to the end. An input that no node reads has the dtype of the others. Element-wise
    operators and the residual sum of a convolution overwrite an operand that nobody reads later, as runtimes with a
    memory planner do. What a runtime really holds depends on its layouts and on where its planner places tensors
    (`Backend.arena_bytes` measures it).

    Args:
        graph: The network, or a part of one; composite ops are expanded.
        batch: Samples processed at once.

    Returns:
        Bytes of activations; weights are not counted.
    """
    live = expand(graph.without_dead_code())
    last_read = {name: len(live.nodes) for name in live.outputs}
    for step, node in enumerate(live.nodes):
        for name in node.inputs:
            last_read.setdefault(name, step)
            last_read[name] = max(last_read[name], step)
    dtypes = {name: read_dtype(node.op) for node in reversed(live.nodes) for name in node.inputs}
    passed = next((dtypes[name] for name in live.input_names if name in dtypes), Op.dtype)
    sizes = {name: math.prod(shape) * BYTES[dtypes.get(name, passed)] for name, shape in live.inputs}
    current = peak = sum(sizes.values())
    for step, node in enumerate(live.nodes):
        size = sizes[node.name] = activation_bytes(node.op)
        dying = [name for name in dict.fromkeys(node.inputs) if last_read[name] == step]
        reused = _overwritten(node.op, node.inputs, dying, sizes)
        current += 0 if reused else size
        peak = max(peak, current)
        current -= sum(sizes[name] for name in dying) - (size if reused else 0)
    return peak * batch


def _overwritten(op: Op, inputs: tuple[str, ...], dying: list[str], sizes: dict[str, int]) -> bool:
    """Return whether the result takes the place of an operand that dies at this step."""
    operands = inputs[1:] if op.kind == "conv" else inputs
    candidates = operands if op.kind == "conv" or primitive_of(op).in_place else ()
    return any(name in dying and sizes[name] == activation_bytes(op) for name in candidates)
