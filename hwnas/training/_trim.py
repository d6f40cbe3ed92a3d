"""Kernels that reach beyond the image: the same network with less to compute."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from latency_tables import Op, OpGraph, sorted_attributes


def trimmed(expanded: OpGraph) -> OpGraph:
    """An expanded graph in which no convolution has taps that only ever meet padding.

    On an image of ``n`` pixels along its longer side an offset beyond ``n - 1`` never meets a pixel, so a kernel wider
    than ``2 n - 1`` can be cut to its centre of that width without changing results or gradients.
    """
    nodes = tuple(replace(node, op=_trimmed_op(node.op)) if node.op.kind == "conv" else node for node in expanded.nodes)
    return OpGraph(expanded.input_shape, nodes, expanded.outputs)


@lru_cache(maxsize=65536)
def _trimmed_op(op: Op) -> Op:
    reach = 2 * max(op.inputs[0][1:]) - 1
    if op.integer("kernel") <= reach:
        return op
    return replace(op, attributes=sorted_attributes({**dict(op.attributes), "kernel": reach}))
