"""Operators made of others: squeeze-excite, the inverted residual block, the classifier head.

A latency table prices each as one row, measured as a whole inside a chain. Their rank is that of their input.
"""

from __future__ import annotations

from latency_tables import INPUT, GraphBuilder, Op, OpGraph
from profilers._errors import OperatorError
from profilers._executed import executed_graph
from profilers._operators._base import Composite
from profilers._operators._make import activation, add, conv, depthwise, global_pool, linear, scale, squeeze_excite
from profilers._operators._make import shift as shifted


class SqueezeExcite(Composite):
    """Channel attention (Hu et al. 2018, arXiv 1709.01507), with MobileNetV3's hard sigmoid.

    Attribute: ``squeeze``, the channels of the bottleneck.
    """

    kind = "squeeze_excite"

    def expand(self, op: Op) -> OpGraph:
        """Build pooling, a bottleneck of two 1x1 convolutions, and the product of its result with the input."""
        graph = GraphBuilder(op.inputs[0])
        channels = op.inputs[0][0]
        pooled = graph.add("pool", global_pool(op.inputs[0]), INPUT)
        reduce = conv(graph.shape(pooled), op.integer("squeeze"), norm="bias", act="relu")
        reduced = graph.add("reduce", reduce, pooled)
        widen = conv(graph.shape(reduced), channels, norm="bias", act="hsigmoid")
        gate = graph.add("expand", widen, reduced)
        return graph.build(graph.add("scale", scale(op.inputs[0]), INPUT, gate))


class InvertedResidual(Composite):
    """MobileNetV3's block (Howard et al. 2019, arXiv 1905.02244, fig. 4): expand, depthwise, squeeze-excite, project.

    Attributes: ``kernel``, ``stride`` and ``dilation`` (an integer, or one for each axis; a kernel of 0 leaves the
    depthwise convolution out, a dilation of 1 is left out), ``hidden`` (expanded channels), ``squeeze`` (0 for none),
    ``act``, ``residual`` (1 where the input is added to the result). Without widening (``hidden`` equal to the input's
    channels) the first convolution is left out. Two more are left out where nothing asks for them: ``beside``, the
    kernel of a second depthwise convolution that is added to the first, and ``shift``, the channels that `Shift` moves
    each way before the first.
    """

    kind = "mbconv"

    def expand(self, op: Op) -> OpGraph:
        """Build the block; raise `OperatorError` where a residual block changes its shape."""
        graph, name = GraphBuilder(op.inputs[0]), INPUT
        hidden, squeeze = op.integer("hidden"), op.integer("squeeze")
        if hidden != op.inputs[0][0]:
            name = graph.add("expand", conv(op.inputs[0], hidden, act=op.word("act")), name)
        name = self._middle(op, graph, name)
        if squeeze:
            name = graph.splice(
                SqueezeExcite().expand(squeeze_excite(graph.shape(name), squeeze)), prefix="se.", at=name
            )
        project = conv(graph.shape(name), op.output[0], act="none")
        name = graph.add("project", project, name)
        if op.integer("residual"):
            if op.inputs[0] != project.output:
                raise OperatorError(f"op {op.key}: with residual=1 the output must have the shape of the input")
            name = graph.add("sum", add(project.output), name, INPUT)
        return executed_graph(graph.build(name))

    def _middle(self, op: Op, graph: GraphBuilder, name: str) -> str:
        """Append what stands between the two 1x1 convolutions; return its tensor."""
        axes, given, act = len(op.inputs[0]) - 1, dict(op.attributes), op.word("act")
        kernel, stride = op.integers("kernel", axes), op.integers("stride", axes)
        dilation = op.integers("dilation", axes, 1)
        if not any(kernel):
            if max(stride) > 1 or {"beside", "dilation", "shift"} & given.keys():
                why = "with kernel=0 the stride must be 1, without beside, dilation and shift"
                raise OperatorError(f"op {op.key}: {why}")
            return name
        if "shift" in given:
            name = graph.add("shift", shifted(graph.shape(name), op.integer("shift")), name)
        first = "none" if "beside" in given else act
        taps = depthwise(graph.shape(name), kernel, stride=stride, dilation=dilation, act=first)
        spatial = graph.add("depthwise", taps, name)
        if "beside" not in given:
            return spatial
        beside = depthwise(graph.shape(name), op.integers("beside", axes), stride=stride, dilation=dilation)
        both = graph.add("both", add(beside.output), spatial, graph.add("beside", beside, name))
        return graph.add("act", activation(beside.output, act), both)


class Separable(Composite):
    """Depthwise convolution and a 1x1 convolution behind it, each with batch norm (Chollet 2017, arXiv 1610.02357).

    Attributes: ``kernel`` and ``dilation`` (an integer, or one for each axis), ``act``, behind the second.
    """

    kind = "separable"

    def expand(self, op: Op) -> OpGraph:
        """Build the two convolutions."""
        graph, axes = GraphBuilder(op.inputs[0]), len(op.inputs[0]) - 1
        kernel, dilation = op.integers("kernel", axes), op.integers("dilation", axes)
        spatial = depthwise(op.inputs[0], kernel, dilation=dilation)
        name = graph.add("depthwise", spatial, INPUT)
        return graph.build(graph.add("pointwise", conv(spatial.output, op.output[0], act=op.word("act")), name))


class Head(Composite):
    """Classifier of MobileNetV3: 1x1 convolution, global pooling, two linear layers.

    Attributes: ``hidden`` (channels of the convolution), ``features`` (width of the first linear layer; 0 leaves it
    out).
    """

    kind = "head"

    def expand(self, op: Op) -> OpGraph:
        """Build the convolution, the pooling and the linear layers."""
        graph = GraphBuilder(op.inputs[0])
        name = graph.add("conv", conv(op.inputs[0], op.integer("hidden"), act="hswish"), INPUT)
        name = graph.add("pool", global_pool(graph.shape(name)), name)
        if op.integer("features"):
            name = graph.add("features", linear(graph.shape(name), op.integer("features"), act="hswish"), name)
        return graph.build(graph.add("classes", linear(graph.shape(name), op.output[0]), name))
