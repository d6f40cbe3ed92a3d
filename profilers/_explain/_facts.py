"""What is known of an executed node without measuring: its text, bytes, block, and why it can be slow."""

from __future__ import annotations

import platform
from collections.abc import Sequence

import numpy as np

from profilers._explain._graph import ExecutedGraph, ExecutedNode
from profilers._explain._trace import Trace
from profilers._explain._values import Values
from profilers._fingerprint import isa_flags

_ACTIVATIONS = {"Relu", "LeakyRelu", "PRelu", "Clip", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Elu", "Selu"}
_ACTIVATIONS |= {"Softplus", "Softsign", "Mish", "Gelu", "FastGelu", "QuickGelu", "Erf", "Celu", "Swish", "Silu"}
_PRODUCTS = {"Conv", "FusedConv", "ConvTranspose", "Gemm", "FusedGemm", "MatMul", "FusedMatMul"}
_LOOKUPS = {"Gather", "GatherElements", "GatherND"}
_REORDERS = ("ReorderInput", "ReorderOutput")
_TINY = 3.0
"""A node is tiny below this many times the cost of starting one."""
_NEAR = 0.5
"""A node that moves bytes at this share of the machine's bandwidth, or more, waits for memory."""


def block_channels() -> int:
    """Return how many channels ONNX Runtime stores together on this processor: as many floats as a register holds."""
    if platform.machine().lower() in ("x86_64", "amd64"):
        return 16 if "avx512f" in isa_flags() else 8
    return 16


def op_text(node: ExecutedNode) -> str:
    """Return the operator with what the runtime fused into it: ``"Conv+Add+Relu"``."""
    proto = node.proto
    fused = proto.op_type.startswith("Fused") and proto.op_type not in ("FusedMatMul",)
    parts = [proto.op_type.removeprefix("Fused") if fused else proto.op_type]
    if parts[0] == "Conv" and len(proto.input) > 3 and proto.input[3]:
        parts.append("Add")
    for attribute in proto.attribute:
        if attribute.name == "activation" and attribute.s:
            parts.append(attribute.s.decode(errors="replace"))
    return "+".join(parts)


def shape_of(values: Values, name: str) -> tuple[int, ...]:
    """Return the shape of a tensor; ``()`` for what is no tensor."""
    value = values.get(name)
    return () if value is None else tuple(int(size) for size in value.shape)


def bytes_of(values: Values, name: str) -> int:
    """Return the bytes of a tensor; 0 for what is no tensor."""
    value = values.get(name)
    return 0 if value is None else int(value.nbytes)


def read_bytes(graph: ExecutedGraph, values: Values, node: ExecutedNode) -> int:
    """Return the bytes that a node reads; of what it looks rows up in, only the rows."""
    sizes = {name: bytes_of(values, name) for name in node.reads}
    sizes |= {name: len(t.raw_data) or t.ByteSize() for name, t in graph.constants.items() if name in node.constants}
    table = node.proto.input[0] if node.proto.op_type in _LOOKUPS and node.proto.input else ""
    if table in sizes:
        sizes[table] = min(sizes[table], sum(bytes_of(values, name) for name in node.writes))
    return sum(sizes.values())


def live_bytes(graph: ExecutedGraph, values: Values) -> tuple[int, ...]:
    """Return the bytes of the tensors that are alive while each node runs."""
    live = np.zeros(len(graph.nodes) + 1, dtype=np.int64)
    born = {**dict.fromkeys(graph.inputs, 0), **graph.producer}
    for name, start in born.items():
        end = min(graph.last_reader.get(name, start), len(graph.nodes) - 1)
        live[start] += bytes_of(values, name)
        live[max(start, end) + 1] -= bytes_of(values, name)
    return tuple(int(size) for size in np.cumsum(live)[:-1])


def blocks(graph: ExecutedGraph, names: Sequence[str]) -> tuple[str, ...]:
    """Return the block of each node: what its name says before the last ``/``, else what ends where branches meet.

    Args:
        graph: The graph.
        names: A name of the file for each node; empty where none is known.
    """
    if sum("/" in name.strip("/") for name in names) * 2 > len(names):
        last, found = "", []
        for name in names:
            parts = name.strip("/").split("/")[:-1][:2]
            last = "/".join(parts) if name else last
            found.append(last)
        return tuple(found)
    number, branched, found = 1, False, []
    alive: set[str] = set()
    for place, node in enumerate(graph.nodes):
        alive |= set(node.writes)
        alive = {name for name in alive if graph.last_reader.get(name, place) > place}
        found.append(f"block {number}")
        if len(alive) > 1:
            branched = True
        elif branched:
            number, branched = number + 1, False
    return tuple(found) if number > 1 else ("",) * len(names)


def reasons_of(
    graph: ExecutedGraph,
    trace: Trace,
    number: int,
    *,
    ms: float,
    start_ms: float,
    gmacs_share: float,
    bandwidth_share: float,
) -> tuple[str, ...]:
    """Return why a node is slower than the device's best, as words of `REASONS`.

    Args:
        graph: The graph.
        trace: Which nodes of the file it executes.
        number: Number of the node.
        ms: Its price.
        start_ms: What starting a node costs.
        gmacs_share: Its GMAC/s over the device's best.
        bandwidth_share: Its bytes a second over the machine's memory bandwidth.
    """
    node, reasons = graph.nodes[number], []
    convolution = trace.convolution(number)
    if convolution is not None:
        read, written, groups = convolution
        if groups > 1 and groups == read:
            reasons.append("depthwise")
        elif _may_be_blocked(node, trace) and _unaligned(read // groups, written // groups):
            reasons.append("unaligned")
    if node.proto.op_type in (*_REORDERS, "Transpose") or _is_part_of_transposition(graph, node):
        reasons.append("layout")
    if _is_unfused(graph, node):
        reasons.append("unfused")
    if ms < _TINY * start_ms:
        reasons.append("tiny")
    elif gmacs_share < _NEAR and bandwidth_share >= _NEAR:
        reasons.append("memory")
    return tuple(reasons)


def _may_be_blocked(node: ExecutedNode, trace: Trace) -> bool:
    """Whether the runtime stores channels in blocks for such a node: a convolution of images in float32."""
    shape = trace.shapes.get(node.writes[0], ()) if node.writes else ()
    return node.proto.op_type in ("Conv", "FusedConv") and len(shape) == 4


def _unaligned(read: int, written: int) -> bool:
    """Whether the channels of a convolution leave part of a block unused; images have too few for one."""
    block = block_channels()
    return bool(written % block) or (read > 4 and bool(read % block))


def _is_part_of_transposition(graph: ExecutedGraph, node: ExecutedNode) -> bool:
    """Whether a node is a Reshape right before or after a Transpose, as in a channel shuffle."""
    if node.proto.op_type != "Reshape":
        return False
    before = [graph.producer.get(name) for name in node.reads]
    after = [graph.last_reader.get(name) for name in node.writes]
    beside = [number for number in (*before, *after) if number is not None and number < len(graph.nodes)]
    return any(graph.nodes[number].proto.op_type == "Transpose" for number in beside)


def _is_unfused(graph: ExecutedGraph, node: ExecutedNode) -> bool:
    """Whether a node is an activation, or a step of one, right after a product that it could be part of."""
    if node.proto.op_type in _ACTIVATIONS:
        return any(_source(graph, _before_activations(graph, name)[-1]) in _PRODUCTS for name in node.reads)
    if node.proto.op_type == "Mul" and len(node.reads) == 2:
        for name, other in (node.reads, node.reads[::-1]):
            passed = _before_activations(graph, name)
            if other in passed[1:] and _source(graph, other) in _PRODUCTS:
                return True
    return False


def _before_activations(graph: ExecutedGraph, name: str) -> list[str]:
    """Return a tensor, and the tensors that activations computed it from, one after the other."""
    passed = [name]
    while (number := graph.producer.get(passed[-1])) is not None:
        node = graph.nodes[number]
        if node.proto.op_type not in _ACTIVATIONS or not node.reads:
            break
        passed.append(node.reads[0])
    return passed


def _source(graph: ExecutedGraph, name: str) -> str:
    """Return the operator that computes a tensor, layout changes passed over."""
    number = graph.producer.get(name)
    while number is not None and graph.nodes[number].proto.op_type in _REORDERS:
        number = graph.producer.get(graph.nodes[number].reads[0])
    return "" if number is None else graph.nodes[number].proto.op_type
