"""Off-the-shelf networks as op graphs for images of 32 pixels: what an engineer would use without a search.

MobileNets keep a stride of 8 in all (the stem and the first strided block do not stride), as is usual on CIFAR-10:
with their published strides of 32 the last stages would see a single pixel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hwnas.spaces import divisible
from latency_tables import INPUT, GraphBuilder, OpGraph, Shape
from profilers import executed_graph, ops

# kernel, expanded channels, channels, squeeze-excite, activation, stride
_SMALL = (
    (3, 16, 16, True, "relu", 1),
    (3, 72, 24, False, "relu", 2),
    (3, 88, 24, False, "relu", 1),
    (5, 96, 40, True, "hswish", 2),
    (5, 240, 40, True, "hswish", 1),
    (5, 240, 40, True, "hswish", 1),
    (5, 120, 48, True, "hswish", 1),
    (5, 144, 48, True, "hswish", 1),
    (5, 288, 96, True, "hswish", 2),
    (5, 576, 96, True, "hswish", 1),
    (5, 576, 96, True, "hswish", 1),
)
# expansion, channels, blocks, stride
_SECOND = ((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))

Baseline = Callable[[float], OpGraph]
"""A family: maps a width multiplier to a network."""
IMAGE: Shape = (3, 32, 32)
CLASSES = 10


def mobilenetv3_small(width: float) -> OpGraph:
    """Build MobileNetV3-Small (Howard et al. 2019, arXiv 1905.02244, table 2)."""
    builder = GraphBuilder(IMAGE)
    x = builder.add("stem", ops.conv(IMAGE, divisible(16 * width), 3, act="hswish"), INPUT)
    for i, (kernel, hidden, channels, squeeze, act, stride) in enumerate(_SMALL):
        wide = divisible(hidden * width)
        block = ops.inverted_residual(
            builder.shape(x),
            divisible(channels * width),
            kernel=kernel,
            stride=stride,
            hidden=wide,
            squeeze=divisible(wide / 4) if squeeze else 0,
            act=act,
        )
        x = builder.add(f"block{i}", block, x)
    head = ops.head(builder.shape(x), CLASSES, hidden=divisible(576 * width), features=divisible(1024 * width))
    return builder.build(builder.add("head", head, x))


def mobilenetv2(width: float) -> OpGraph:
    """Build MobileNetV2 (Sandler et al. 2018, arXiv 1801.04381, table 2), with ReLU for ReLU6."""
    builder = GraphBuilder(IMAGE)
    x = builder.add("stem", ops.conv(IMAGE, divisible(32 * width), 3, act="relu"), INPUT)
    for s, (expansion, channels, blocks, stride) in enumerate(_SECOND):
        for b in range(blocks):
            shape = builder.shape(x)
            block = ops.inverted_residual(
                shape,
                divisible(channels * width),
                kernel=3,
                stride=stride if b == 0 else 1,
                hidden=shape[0] * expansion,
                squeeze=0,
                act="relu",
            )
            x = builder.add(f"stage{s}.block{b}", block, x)
    x = builder.add("conv", ops.conv(builder.shape(x), divisible(1280 * max(1.0, width)), act="relu"), x)
    x = builder.add("pool", ops.global_pool(builder.shape(x)), x)
    return builder.build(builder.add("classes", ops.linear(builder.shape(x), CLASSES), x))


def resnet(depth: int, width: float) -> OpGraph:
    """Build a ResNet for CIFAR-10 (He et al. 2016, arXiv 1512.03385, section 4.2) with projection shortcuts.

    At width 1 the depth 8 is MLPerf Tiny's first network for image classification (IC01).

    Args:
        depth: Number of layers, 6 n + 2.
        width: Width multiplier.
    """
    channels = [divisible(count * width, 4) for count in (16, 32, 64)]
    return _resnet(channels, blocks=(depth - 2) // 6)


def resnet_ic02(width: float) -> OpGraph:
    """Build MLPerf Tiny's larger ResNet for image classification (IC02): ResNet-8 with 26, 52 and 104 filters.

    Source: ``benchmark/training/image_classification/keras_model.py`` of github.com/mlcommons/tiny,
    ``resnet_v1_eembc(conv_filters=26)``.

    Args:
        width: Width multiplier.
    """
    return _resnet([divisible(count * width, 2) for count in (26, 52, 104)], blocks=1)


def _resnet(stages: Sequence[int], blocks: int) -> OpGraph:
    builder = GraphBuilder(IMAGE)
    x = builder.add("stem", ops.conv(IMAGE, stages[0], 3, act="relu"), INPUT)
    for s, channels in enumerate(stages):
        for b in range(blocks):
            x = _basic_block(builder, x, channels, 2 if s and not b else 1, f"stage{s}.block{b}")
    x = builder.add("pool", ops.global_pool(builder.shape(x)), x)
    return executed_graph(builder.build(builder.add("classes", ops.linear(builder.shape(x), CLASSES), x)))


def _basic_block(builder: GraphBuilder, x: str, channels: int, stride: int, name: str) -> str:
    shortcut = x
    if builder.shape(x)[0] != channels or stride > 1:
        shortcut = builder.add(f"{name}.shortcut", ops.conv(builder.shape(x), channels, stride=stride), x)
    y = builder.add(f"{name}.conv1", ops.conv(builder.shape(x), channels, 3, stride=stride, act="relu"), x)
    y = builder.add(f"{name}.conv2", ops.conv(builder.shape(y), channels, 3), y)
    y = builder.add(f"{name}.sum", ops.add(builder.shape(y)), y, shortcut)
    return builder.add(f"{name}.relu", ops.activation(builder.shape(y), "relu"), y)


BASELINES: dict[str, Baseline] = {
    "MobileNetV3-Small": mobilenetv3_small,
    "MobileNetV2": mobilenetv2,
    "ResNet-8": lambda width: resnet(8, width),
    "ResNet-14": lambda width: resnet(14, width),
    "ResNet-20": lambda width: resnet(20, width),
}
"""Families of the small scale; these are narrowed to the latencies of found networks."""
FULL_BASELINES: dict[str, Baseline] = {
    "ResNet-8": lambda width: resnet(8, width),
    "ResNet-IC02": resnet_ic02,
    "MobileNetV3-Small": mobilenetv3_small,
    "MobileNetV2": mobilenetv2,
}
"""Families of the full scale: MLPerf Tiny's two networks as they are, and MobileNets narrowed to their latencies."""
