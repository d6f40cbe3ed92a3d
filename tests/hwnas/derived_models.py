"""Models to derive spaces from: small ones of the usual families, and random ones."""

import numpy as np

from latency_tables import INPUT, GraphBuilder
from profilers import ops


class Net(GraphBuilder):
    """Builds a network of plain ops, as a reader of ONNX files does: nothing is fused."""

    def __init__(self, shape, norm="batch"):
        super().__init__(shape)
        self.norm = norm

    def conv(self, name, x, channels, kernel=1, act="", **options):
        """A convolution with its norm and perhaps an activation behind it."""
        y = self.add(name, ops.conv(self.shape(x), channels, kernel, norm=self.norm, **options), x)
        return self.act(f"{name}.{act}", y, act) if act else y

    def act(self, name, x, function="relu"):
        """An activation."""
        return self.add(name, ops.activation(self.shape(x), function), x)

    def plus(self, name, a, b):
        """A sum."""
        return self.add(name, ops.add(self.shape(a)), a, b)

    def concat(self, name, *tensors):
        """A concatenation."""
        return self.add(name, ops.concat(*(self.shape(x) for x in tensors)), *tensors)

    def gate(self, name, x, squeeze):
        """A squeeze-excite."""
        pooled = self.add(f"{name}.pool", ops.global_pool(self.shape(x)), x)
        options = {"norm": "bias"}
        small = self.add(f"{name}.reduce", ops.conv(self.shape(pooled), squeeze, **options), pooled)
        small = self.act(f"{name}.relu", small)
        wide = self.add(f"{name}.expand", ops.conv(self.shape(small), self.shape(x)[0], **options), small)
        factors = self.act(f"{name}.gate", wide, "hsigmoid")
        return self.add(f"{name}.scale", ops.scale(self.shape(x)), x, factors)

    def classify(self, x, classes=10):
        """Global pooling and a linear layer; returns the graph."""
        x = self.add("pool", ops.global_pool(self.shape(x)), x)
        return self.build(self.add("classes", ops.linear(self.shape(x), classes), x))


def resnet(blocks=3, widths=(16, 32, 64), size=32, norm="batch", classes=10):
    """A residual network for small images; three blocks a stage make ResNet-20."""
    net = Net((3, size, size), norm)
    x = net.conv("stem", INPUT, widths[0], 3, "relu")
    for s, width in enumerate(widths):
        for b in range(blocks):
            stride = 2 if s and not b else 1
            name = f"layer{s}.{b}"
            y = net.conv(f"{name}.conv1", x, width, 3, "relu", stride=stride)
            y = net.conv(f"{name}.conv2", y, width, 3)
            x = net.conv(f"{name}.down", x, width, stride=stride) if stride > 1 else x
            x = net.act(f"{name}.out", net.plus(f"{name}.sum", y, x))
    return net.classify(x, classes)


MOBILE = ((16, 1, 1, 3, False), (24, 3, 2, 5, True), (32, 3, 2, 3, True), (64, 2, 2, 5, True))
"""Stages of the inverted-residual network: channels, blocks, stride, kernel, squeeze-excite."""


def mobile(stages=MOBILE, size=32, norm="batch", classes=10, act="hswish"):
    """An inverted-residual network with squeeze-excite."""
    net = Net((3, size, size), norm)
    x = net.conv("stem", INPUT, 16, 3, act)
    for s, (width, blocks, stride, kernel, gated) in enumerate(stages):
        for b in range(blocks):
            name, channels, first = f"stage{s}.{b}", net.shape(x)[0], stride if b == 0 else 1
            y = net.conv(f"{name}.expand", x, 4 * channels, 1, act)
            y = net.conv(f"{name}.depthwise", y, 4 * channels, kernel, act, stride=first, groups=4 * channels)
            y = net.gate(f"{name}.se", y, channels) if gated else y
            y = net.conv(f"{name}.project", y, width)
            x = net.plus(f"{name}.sum", y, x) if net.shape(y) == net.shape(x) else y
    return net.classify(net.conv("head", x, 96, 1, act), classes)


def random_graph(seed, size=8, steps=9):
    """A network with sums, concatenations, groups, depthwise convolutions, gates, slices and poolings in any order."""
    rng = np.random.default_rng(seed)
    net = Net((3, size, size), norm=str(rng.choice(["batch", "bias"])))
    tensors = [net.conv("stem", INPUT, 16, 3, "relu")]
    for i in range(steps):
        x = tensors[int(rng.integers(max(0, len(tensors) - 3), len(tensors)))]
        kind = rng.choice(["conv", "depthwise", "groups", "sum", "residual", "concat", "gate", "slice", "pool", "norm"])
        tensors.append(_step(net, str(kind), f"n{i}", x, tensors, rng))
    ends = [tensors[-1], *(t for t in tensors[1:-1] if not any(t in node.inputs for node in net._nodes))]
    x = ends[0] if len(ends) == 1 else net.concat("ends", *ends)
    if rng.random() < 0.4:
        return net.build(net.add("classes", ops.linear(net.shape(x), 5), x))
    return net.classify(x, 5)


def _step(net, kind, name, x, tensors, rng):
    channels = net.shape(x)[0]
    if kind == "depthwise":
        return net.conv(name, x, channels, 5, "hswish", groups=channels)
    if kind == "groups" and channels % 4 == 0:
        return net.conv(name, x, channels * int(rng.integers(1, 3)), 3, "relu", groups=4)
    if kind == "sum":
        twins = [t for t in tensors if net.shape(t) == net.shape(x) and t != x]
        return net.plus(name, x, twins[-1]) if twins else net.conv(name, x, 24, 1)
    if kind == "residual":
        y = net.conv(f"{name}.a", x, int(rng.choice([8, 16, 24])), 3, "relu")
        return net.act(name, net.plus(f"{name}.sum", net.conv(f"{name}.b", y, channels), x), "hswish")
    if kind == "concat":
        y = net.conv(f"{name}.a", x, 8, 1, "relu")
        return net.concat(name, y, tensors[int(rng.integers(len(tensors)))])
    if kind == "gate":
        return net.gate(name, x, 4)
    if kind == "slice" and channels > 12:
        return net.add(name, ops.slice_channels(net.shape(x), 4, channels - 8), x)
    if kind == "pool":
        return net.add(name, ops.pool(net.shape(x), 3, stride=1, mode="max"), x)
    if kind == "norm":
        return net.add(name, ops.norm(net.shape(x), act="relu"), x)
    return net.conv(name, x, int(rng.choice([8, 16, 32])), int(rng.choice([1, 3])), "relu")


def dense_block(layers=8, growth=8, size=16):
    """A dense block: every layer reads what all layers before it wrote."""
    net = Net((3, size, size))
    tensors = [net.conv("stem", INPUT, 16, 3, "relu")]
    for i in range(layers):
        x = net.concat(f"join{i}", *tensors) if i else tensors[0]
        y = net.conv(f"layer{i}.a", x, 32, 1, "relu")
        tensors.append(net.conv(f"layer{i}.b", y, growth, 3, "relu"))
    return net.classify(net.concat("joined", *tensors))
