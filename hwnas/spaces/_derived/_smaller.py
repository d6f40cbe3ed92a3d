"""A model for smaller images: how small, whether it can read them, and the network that does."""

from __future__ import annotations

import math

from hwnas._errors import SpaceError
from hwnas.spaces._derived._groups import KNOWN
from hwnas.spaces._derived._remake import resized
from latency_tables import GraphError, OpGraph
from profilers import OperatorError, graph_parameters


def three_quarters(graph: OpGraph) -> int:
    """Return about three quarters of the height, in steps of the network's stride."""
    height = graph.input_shape[1]
    heights = [node.op.output[1] for node in graph.nodes if len(node.op.output) == 3 and node.op.output[1] > 1]
    stride = max(2, height // min(heights, default=height))
    return max(stride, math.floor(0.75 * height / stride) * stride)


def misfit_of(graph: OpGraph, size: int) -> str:
    """Return why a network cannot read images of another height; empty where it can."""
    try:
        _at_height(graph, size)
    except SpaceError as error:
        return str(error)
    return ""


def _at_height(graph: OpGraph, size: int) -> OpGraph:
    """Return the network for images of another height, of the same proportions.

    Raises:
        SpaceError: It cannot read them; the text says why.
    """
    channels, height, width = graph.input_shape
    if width * size % height:
        raise SpaceError(f"{height}x{width} images cannot be {size} high")
    unknown = [node for node in graph.nodes if node.op.kind not in KNOWN]
    if unknown:
        raise SpaceError(f"{unknown[0].name} ({unknown[0].op.kind}) reads a fixed size")
    try:
        other = resized(graph, (channels, size, width * size // height))
    except (OperatorError, GraphError) as error:
        raise SpaceError(str(error)) from None
    kinds = {node.name: node.op.kind for node in graph.nodes}
    for (name, parameter), (_, twin) in zip(graph_parameters(graph), graph_parameters(other), strict=True):
        if parameter.shape != twin.shape:
            node = name.rpartition(".")[0]
            if kinds[node] == "linear":
                raise SpaceError(f"{node} reads a flattened feature map")
            raise SpaceError(f"the weights of {node} follow the size of the image")
    if other.output_shape != graph.output_shape:
        raise SpaceError("the output follows the size of the image")
    return other


def for_smaller_images(graph: OpGraph) -> OpGraph:
    """Return the network of ONNX's operators (`expand`) for images of about three quarters of the height and width.

    Raises:
        SpaceError: It reads no images, or only those of one size; the text says why.
    """
    if len(graph.inputs) != 1 or len(graph.input_shape) != 3:
        raise SpaceError("its input is no image")
    _, height, width = graph.input_shape
    reason = SpaceError(f"images of {height}x{width} pixels are small already")
    for size in (2 * round(0.375 * height), three_quarters(graph)):
        if size < height:
            try:
                return _at_height(graph, size)
            except SpaceError as error:
                reason = error
    raise reason
