"""Layers of a file beside those of a network with other names: by the order and the extents of their weights."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from hwnas.training._start._layers import Layer, natural
from latency_tables import Shape

_RESNET = re.compile(r"layer([0-9]+)\.([0-9]+)\.(conv[0-9]+|downsample)\b")
_SAME, _OTHER_KERNEL = 4, 1
"""What a pair of layers counts: equal extents, and equal channels alone."""
_MOST_LAYERS = 2000


def aligned(layers: Sequence[Layer], shapes: Mapping[str, Shape], *, in_order: bool) -> dict[str, Layer]:
    """Return the layers that fit a network's, in the order of both.

    The longest common subsequence, where layers of equal extents count most and those of equal channels a little. A
    state dict does not say whether the convolution of a ResNet's shortcut comes first or last in its block; the order
    that fits more layers counts.

    Args:
        layers: Layers of the file.
        shapes: Extents of the weight of each of the network's nodes, in the network's order.
        in_order: Whether the layers are in the order of their network.

    Returns:
        Layers by node; none where fewer than half of the nodes have one.
    """
    if len(layers) > _MOST_LAYERS:
        return {}
    orders = [list(layers)]
    if not in_order:
        orders = [sorted(layers, key=lambda layer, at=at: _resnet_key(layer.name, at)) for at in (0.5, 1.5, 9.0)]  # type: ignore[misc]
    best = max((_common(order, list(shapes.items())) for order in orders), key=len)
    return best if 2 * len(best) >= len(shapes) else {}


def _resnet_key(name: str, shortcut: float) -> tuple[object, ...]:
    """Return a sort key in the order of a ResNet: stem, blocks with the shortcut at a place, classifier."""
    match = _RESNET.match(name)
    if match is None:
        return (2 if name.startswith(("fc", "classifier", "head")) else 0, natural(name))
    place = shortcut if match[3] == "downsample" else float(match[3].removeprefix("conv"))
    return (1, int(match[1]), int(match[2]), place)


def _common(layers: Sequence[Layer], nodes: Sequence[tuple[str, Shape]]) -> dict[str, Layer]:
    """Return the pairs of the common subsequence that counts most."""
    worth = np.zeros((len(layers) + 1, len(nodes) + 1), dtype=np.int64)
    for i, layer in enumerate(layers, 1):
        for j, (_, shape) in enumerate(nodes, 1):
            pair = worth[i - 1, j - 1] + _worth(layer.weight.shape, shape)
            worth[i, j] = max(pair, worth[i - 1, j], worth[i, j - 1])
    pairs: dict[str, Layer] = {}
    i, j = len(layers), len(nodes)
    while i and j:
        if worth[i, j] == worth[i - 1, j]:
            i -= 1
        elif worth[i, j] == worth[i, j - 1]:
            j -= 1
        else:
            i, j = i - 1, j - 1
            pairs[nodes[j][0]] = layers[i]
    return dict(reversed(pairs.items()))


def _worth(have: Shape, want: Shape) -> int:
    """Return what a layer counts in the place of another; 0 where it does not fit."""
    if squeezed(have) == squeezed(want):
        return _SAME
    return _OTHER_KERNEL if len(have) == len(want) > 2 and have[:2] == want[:2] else 0


def squeezed(shape: Shape) -> Shape:
    """Return a weight's extents without kernel axes of one tap at its end: a 1x1 convolution is a linear layer."""
    while len(shape) > 2 and shape[-1] == 1:
        shape = shape[:-1]
    return tuple(shape)
