"""Whether ONNX Runtime executes a network as the table prices it: its optimised graph, node by node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from latency_tables import OpGraph
from profilers._errors import UnsupportedGraphError
from profilers._executed import NEVER_FUSED
from profilers._operators import expand, trained_graph
from profilers._weights import random_weights

_NODE_OF = {"conv": "Conv", "add": "Add", "global_pool": "GlobalAveragePool", "linear": "Gemm"}
_POOLS = {"average": "AveragePool", "max": "MaxPool"}
_BLOCKED_RANK = 3
"""Blocked (NCHWc) convolutions work on channels x height x width."""
_ACTIVATIONS = {
    "relu": ("Relu",),
    "hswish": ("HardSwish", "HardSigmoid"),
    "hsigmoid": ("HardSigmoid",),
    "relu6": ("Clip",),
    "sigmoid": ("Sigmoid",),
    "silu": ("Sigmoid", "QuickGelu"),
    "tanh": ("Tanh",),
    "gelu": ("Erf", "Gelu"),
}


def optimised_here(graph: OpGraph) -> bytes:
    """Return the ONNX file of the graph that ONNX Runtime's CPU provider executes here after its optimisations.

    Raises:
        UnsupportedGraphError: It cannot execute the graph.
    """
    from profilers._onnx import build_onnx
    from profilers._session import optimised_model

    return optimised_model(build_onnx(graph, random_weights(graph)).SerializeToString())


def executed_nodes(graph: OpGraph, optimised: Callable[[OpGraph], bytes] = optimised_here) -> Counter[str]:
    """Count the node types that a runtime executes.

    Args:
        graph: The network.
        optimised: Returns the ONNX file of what is executed for it.

    Raises:
        UnsupportedGraphError: The runtime cannot execute the graph, or what it wrote is not an ONNX file.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model_from_string(optimised(graph))
    except DecodeError:
        raise UnsupportedGraphError("the optimised graph that ONNX Runtime wrote cannot be read") from None
    return Counter(str(node.op_type) for node in model.graph.node)


def fusion_differences(graph: OpGraph, optimised: Callable[[OpGraph], bytes] = optimised_here) -> list[str]:
    """Return how the executed nodes differ from the fused ops that the table prices; empty where they agree.

    Every convolution, sum and pooling of the graph must be one node, and activations may be nodes of their own only
    where the graph has them apart from a convolution. Convolutions over one or three axes have no blocked kernels: ONNX
    Runtime executes their sums and most of their activations as nodes of their own, in networks as in the chains that
    priced them.
    """
    graph = trained_graph(graph)  # post-processing writes nodes of these types that are no ops of the graph
    executed, expected, separate = executed_nodes(graph, optimised), Counter[str](), Counter[str]()
    executed["Conv"] += executed["FusedConv"]
    for node in expand(graph.without_dead_code()).nodes:
        if node.op.kind in _NODE_OF:
            expected[_NODE_OF[node.op.kind]] += 1
        elif node.op.kind == "pool":
            expected[_POOLS[node.op.word("mode")]] += 1
        blocked = node.op.kind == "conv" and len(node.op.output) == _BLOCKED_RANK
        if node.op.kind == "conv" and not blocked:
            expected["Add"] += node.op.integer("add", 0)
        attributes = dict(node.op.attributes)
        function = str(attributes.get("function", attributes.get("act")))
        if not blocked or function in NEVER_FUSED:
            separate.update(_ACTIVATIONS.get(function, ()))
    norms = sum(node.op.kind == "norm" for node in graph.nodes)  # ONNX Runtime may make a convolution of one
    lines = [
        f"it executes {executed[kind]} {kind} nodes, the table prices {expected[kind]}"
        for kind in sorted({*_NODE_OF.values(), *_POOLS.values()})
        if not expected[kind] <= executed[kind] <= expected[kind] + (norms if kind == "Conv" else 0)
    ]
    for kind in sorted({kind for kinds in _ACTIVATIONS.values() for kind in kinds}):
        if executed[kind] > separate[kind]:
            lines.append(f"it executes {executed[kind]} separate {kind} nodes, the table prices {separate[kind]}")
    return lines


def fusion_notes(networks: Mapping[str, OpGraph], optimised: Callable[[OpGraph], bytes] = optimised_here) -> list[str]:
    """Return one line for each network whose executed nodes differ from the priced ones or could not be checked.

    Args:
        networks: The networks, by name.
        optimised: Returns the ONNX file of what is executed for one of them.
    """
    notes = []
    for name, graph in networks.items():
        try:
            lines = fusion_differences(graph, optimised)
        except (UnsupportedGraphError, OSError) as error:
            notes.append(
                f"could not check whether ONNX Runtime executes network {name} as the table prices it: {error}"
            )
            continue
        if lines:
            notes.append(
                f"ONNX Runtime does not execute network {name} as the table prices it ({'; '.join(lines)}); "
                "predictions of such networks may be off, so rely on measured latencies"
            )
    return notes
