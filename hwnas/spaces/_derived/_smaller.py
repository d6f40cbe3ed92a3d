"""A model for smaller images: how small, whether it can read them, and the network that does."""

from __future__ import annotations

import math

from hwnas._errors import SpaceError
from hwnas.spaces._derived._groups import KNOWN
from hwnas.spaces._derived._remake import resized
from latency_tables import GraphError, OpGraph
from profilers import OperatorError


def three_quarters(graph: OpGraph) -> int:
    """Return about three quarters of the height, in steps of the network's stride."""
    height = graph.input_shape[1]
    heights = [node.op.output[1] for node in graph.nodes if len(node.op.output) == 3 and node.op.output[1] > 1]
    stride = max(2, height // min(heights, default=height))
    return max(stride, math.floor(0.75 * height / stride) * stride)


def misfit_of(graph: OpGraph, size: int) -> str:
    """Return why a network cannot read images of another height; empty where it can."""
    channels, height, width = graph.input_shape
    if width * size % height:
        return f"{height}x{width} images cannot be {size} high"
    unknown = [node for node in graph.nodes if node.op.kind not in KNOWN]
    if unknown:
        return f"{unknown[0].name} ({unknown[0].op.kind}) reads a fixed size"
    try:
        other = resized(graph, (channels, size, width * size // height))
    except (OperatorError, GraphError) as error:
        return str(error)
    for node, twin in zip(graph.nodes, other.nodes, strict=True):
        if node.op.kind == "linear" and math.prod(node.op.inputs[0]) != math.prod(twin.op.inputs[0]):
            return f"{node.name} reads a flattened feature map"
    return "" if other.output_shape == graph.output_shape else "the output follows the size of the image"


def for_smaller_images(graph: OpGraph) -> OpGraph:
    """Return the network of ONNX's operators (`expand`) for images of about three quarters of the height and width.

    Raises:
        SpaceError: It reads no images, or only those of one size; the text says why.
    """
    if len(graph.inputs) != 1 or len(graph.input_shape) != 3:
        raise SpaceError("its input is no image")
    channels, height, width = graph.input_shape
    sizes = [size for size in (2 * round(0.375 * height), three_quarters(graph)) if size < height]
    if not sizes:
        raise SpaceError(f"images of {height}x{width} pixels are small already")
    misfits = {size: misfit_of(graph, size) for size in sizes}
    size = next((size for size in sizes if not misfits[size]), None)
    if size is None:
        raise SpaceError(misfits[sizes[-1]])
    return resized(graph, (channels, size, width * size // height))
