"""The op of a model at other sizes: fewer channels, smaller kernels, smaller feature maps."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache

from latency_tables import INPUT, AttributeValue, Op, OpGraph, Shape, sorted_attributes
from profilers import operator_of


@lru_cache(maxsize=65536)
def remade(op: Op, *shapes: Shape, channels: int = 0, kernel: int = 0, start: int = -1) -> Op:
    """Return an op for other input shapes.

    A convolution with groups keeps what each of them reads and writes, and has as many as its input allows.

    Args:
        op: The op of the model.
        shapes: Shapes of its inputs.
        channels: Channels (or features) that it writes; 0 for those that follow from the inputs.
        kernel: Kernel along every axis; 0 for the model's.
        start: First channel of a slice; -1 for the model's.

    Raises:
        OperatorError: There is no such op.
    """
    attributes: dict[str, AttributeValue] = dict(op.attributes)
    if kernel:
        attributes["kernel"] = kernel
        if "pads" in attributes:
            attributes["pads"] = pads_of(op, kernel)
    if op.kind == "slice":
        attributes |= {"start": op.integer("start") if start < 0 else start, "channels": channels or op.output[0]}
    if op.kind == "reshape" and set(op.output[1:]) <= {1}:
        channels = math.prod(shapes[0])
    groups = op.integer("groups") if op.kind == "conv" else 1
    if groups > 1:
        left = shapes[0][0] * groups // op.inputs[0][0]
        attributes["groups"], channels = left, op.output[0] // groups * left
    draft = replace(
        op, inputs=shapes, output=(channels or op.output[0], *op.output[1:]), attributes=sorted_attributes(attributes)
    )
    return replace(draft, output=operator_of(draft).infer(draft))


def pads_of(op: Op, kernel: int) -> Shape:
    """Return a convolution's own padding for a smaller kernel; what the kernel loses at each end, the padding does."""
    axes = len(op.inputs[0]) - 1
    kernels, dilations = op.integers("kernel", axes), op.integers("dilation", axes, 1)
    lost = tuple((k - kernel) // 2 * d for k, d in zip(kernels, dilations, strict=True))
    return tuple(pad - less for pad, less in zip(op.integers("pads", 2 * axes), lost * 2, strict=True))


def resized(graph: OpGraph, input_shape: Shape) -> OpGraph:
    """Return a network of known ops for inputs of another size.

    Raises:
        OperatorError: An op cannot read what it would get.
        GraphError: Shapes do not fit.
    """
    shapes: dict[str, Shape] = {INPUT: input_shape}
    nodes = []
    for node in graph.nodes:
        op = remade(node.op, *(shapes[name] for name in node.inputs))
        shapes[node.name] = op.output
        nodes.append(replace(node, op=op))
    return OpGraph(input_shape, tuple(nodes), graph.outputs)
