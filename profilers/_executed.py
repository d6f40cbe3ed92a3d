"""The graph that a runtime executes: without identities and dead code, and with ops merged that it runs as one kernel.

Everything that prices, profiles, trains and ships works on executed graphs. `executed_graph` makes one of any graph;
`hwnas.Space` and the functions that measure apply it, so that whoever writes a graph need not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Protocol

from latency_tables import Node, Op, OpGraph


class Fusion(Protocol):
    """Which chains of ops a runtime executes as one kernel. Applied to its own result, it changes nothing."""

    def fuse(self, graph: OpGraph) -> OpGraph:
        """Return the same function with merged nodes; a merged node keeps the name under which its weights are kept."""


NEVER_FUSED = ("silu", "gelu")
"""Activations that ONNX Runtime executes as several nodes, or as one of their own behind a convolution."""


class ConvolutionFusion:
    """Merges conv + add, then (conv or conv + add) + activation.

    A convolution takes in an addition when nothing else reads its result and it has no activation yet, and an
    activation under the same condition (not one of `NEVER_FUSED`): the rule of ONNX Runtime's blocked (NCHWc)
    convolutions, which the CUDA back end follows. The merged node keeps the convolution's name.
    """

    def fuse(self, graph: OpGraph) -> OpGraph:
        """Return the same function with additions and activations merged into their convolutions."""
        return _ConvolutionPass(graph).run()


CONVOLUTION_FUSION = ConvolutionFusion()
"""The rule of ONNX Runtime and of the CUDA back end, and of back ends that state none."""


def fusion_of(backend: object) -> Fusion:
    """Return what a back end's runtime fuses; `CONVOLUTION_FUSION` for one that does not say."""
    fusion: Fusion = getattr(backend, "fusion", CONVOLUTION_FUSION)
    return fusion


def executed_graph(graph: OpGraph, fusion: Fusion = CONVOLUTION_FUSION) -> OpGraph:
    """Return the graph that a runtime executes. Applied to its own result, it changes nothing.

    ONNX Runtime executes branches that reach no output, so they must be gone before a network is priced or exported.

    Args:
        graph: Any graph.
        fusion: What the runtime fuses.
    """
    return fusion.fuse(_without_identities(graph).without_dead_code())


def _without_identities(graph: OpGraph) -> OpGraph:
    """Return the same function with every reader of an identity reading what the identity reads."""
    alias: dict[str, str] = {}
    for node in graph.nodes:
        if node.op.kind == "identity":
            alias[node.name] = alias.get(node.inputs[0], node.inputs[0])
    if not alias:
        return graph
    nodes = tuple(_reading(node, alias) for node in graph.nodes if node.name not in alias)
    return replace(graph, nodes=nodes, outputs=tuple(alias.get(name, name) for name in graph.outputs))


class _ConvolutionPass:
    """One pass over a graph; `done` holds the nodes so far, in order, under their final names."""

    def __init__(self, graph: OpGraph) -> None:
        self.graph = graph
        self.readers = {name: len(nodes) for name, nodes in graph.consumers().items()}
        for name in graph.outputs:
            self.readers[name] += 1
        self.done: dict[str, Node] = {}
        self.alias: dict[str, str] = {}

    def run(self) -> OpGraph:
        for node in self.graph.nodes:
            current = _reading(node, self.alias)
            if not self._absorbed(current):
                self.done[node.name] = current
        if not self.alias:
            return self.graph
        outputs = tuple(self.alias.get(name, name) for name in self.graph.outputs)
        return replace(self.graph, nodes=tuple(self.done.values()), outputs=outputs)

    def _absorbed(self, node: Node) -> bool:
        """Merge the node into a convolution where possible; return whether it was merged."""
        if node.op.kind == "add":
            for position, name in enumerate(node.inputs):
                conv = self._open_conv(name, node.op.dtype)
                if conv is not None and not conv.op.integer("add", 0):
                    others = node.inputs[:position] + node.inputs[position + 1 :]
                    self._merge(conv, node, _with_add(conv.op), others)
                    return True
        elif node.op.kind == "activation":
            conv = self._open_conv(node.inputs[0], node.op.dtype)
            if conv is not None and node.op.word("function") not in NEVER_FUSED:
                self._merge(conv, node, _with_activation(conv.op, node.op.word("function")), ())
                return True
        return False

    def _open_conv(self, name: str, dtype: str) -> Node | None:
        """Return the convolution called `name`, if one more step of this dtype can be merged into it."""
        node = self.done.get(name)
        if node is None or node.op.kind != "conv" or node.op.word("act") != "none" or self.readers[name] != 1:
            return None
        return node if node.op.dtype == dtype else None

    def _merge(self, conv: Node, sink: Node, op: Op, extra: tuple[str, ...]) -> None:
        """Put the merged node at the sink's place, where all of its inputs are known."""
        del self.done[conv.name]
        self.done[conv.name] = Node(conv.name, op, (*conv.inputs, *extra))
        self.alias[sink.name] = conv.name
        self.readers[conv.name] = self.readers[sink.name]


def _reading(node: Node, alias: Mapping[str, str]) -> Node:
    """Return the node with its inputs read from their aliases."""
    if not any(name in alias for name in node.inputs):
        return node
    return Node(node.name, node.op, tuple(alias.get(name, name) for name in node.inputs))


@cache
def _with_add(conv: Op) -> Op:
    return replace(conv.with_attributes(add=1), inputs=(*conv.inputs, conv.output))


@cache
def _with_activation(conv: Op, function: str) -> Op:
    return conv.with_attributes(act=function)
