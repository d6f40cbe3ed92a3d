"""`resnet`: residual networks for small images, each stage of dense or of inverted blocks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hwnas._errors import SpaceError
from hwnas.spaces._base import Architecture, Choice, require_positive
from hwnas.spaces._choice_graph import ChoiceGraph
from hwnas.spaces._choice_space import ChoiceGraphSpace
from hwnas.spaces._task import Task
from latency_tables import Op, Shape
from profilers import ops

SMALLEST, LARGEST = 8, 64
"""Image sizes."""
STEM = (8, 16, 24)
STAGES = (((16, 24, 32, 48), (1, 2)), ((32, 48, 64, 96), (1, 2, 3)), ((64, 96, 128, 160), (0, 1, 2)))
"""Channels and depths of the second to the fourth stage; each halves the map."""
DENSE, INVERTED = "dense", "inverted"
EXPANSION, KERNEL = 3, 5
"""Of the inverted blocks; dense ones have two convolutions of kernel 3."""

When = tuple[Choice, Callable[[Any], bool]] | None


class ResNet(ChoiceGraphSpace):
    """Residual networks after He et al. 2016 (arXiv 1512.03385, section 4.2) for images of 8 to 64 pixels.

    The choices are the channels of the stem, whether a residual block follows at full size, and for each of three
    further stages its channels, its depth (0 leaves the last stage out) and the kind of its blocks: dense (two
    convolutions) or inverted (Sandler et al. 2018, arXiv 1801.04381). ResNet-8, MLPerf Tiny's network for image
    classification, is a member: `reference`.

    Args:
        classes: Number of classes.
        image_channels: Channels of the images.
        image_size: Height and width of the images.

    Raises:
        SpaceError: A setting is out of range.
    """

    name = "resnet"

    def __init__(self, classes: int = 10, image_channels: int = 3, image_size: int = 32) -> None:
        self._settings = {"classes": classes, "image_channels": image_channels, "image_size": image_size}
        require_positive(self.name, self._settings)
        if not SMALLEST <= image_size <= LARGEST:
            raise SpaceError(
                f"space resnet: image_size must be {SMALLEST} to {LARGEST}, got {image_size}; for larger images take "
                "--space mobilenetv3 --preset imagenet"
            )

    @property
    def settings(self) -> dict[str, object]:
        """Keyword arguments of the constructor."""
        return dict(self._settings)

    @classmethod
    def defaults_from(cls, task: Task, chosen: Mapping[str, object] | None = None) -> dict[str, object]:
        """Return the classes, channels and size of a task; larger images are read at the largest size."""
        side = max(SMALLEST, min(*task.input_shape[-2:], LARGEST))
        return {**super().defaults_from(task, chosen), "image_size": side}

    def reference(self) -> Architecture:
        """Return ResNet-8 with 16, 32 and 64 channels."""
        values: dict[str, int | str] = {"stem": 16, "first": "yes", "width2": 32, "width3": 64}
        values |= {"depth2": 1, "depth3": 1, "depth4": 0, "kind2": DENSE, "kind3": DENSE}
        return self.canonical(Architecture(tuple(values.get(choice.name, choice.values[0]) for choice in self.choices)))

    def state(self) -> ChoiceGraph:
        """State the stem, four stages and the classifier."""
        graph, own = ChoiceGraph(), self._settings
        stem, first = graph.choice("stem", STEM), graph.choice("first", ("no", "yes"))
        x = graph.read(own["image_channels"], own["image_size"], own["image_size"])
        x = graph.add("stem", ops.conv, x, channels=stem, kernel=3, act="relu")
        inner = graph.add("first.conv1", ops.conv, x, channels=stem, kernel=3, act="relu")
        inner = graph.add("first.conv2", ops.conv, inner, channels=stem, kernel=3)
        x = _ended(graph, "first", x, graph.sum("first.sum", x, inner), (first, lambda value: value == "yes"))
        for number, (widths, depths) in enumerate(STAGES, start=2):
            width, depth = graph.choice(f"width{number}", widths), graph.choice(f"depth{number}", depths)
            kind = graph.choice(f"kind{number}", (INVERTED, DENSE))
            for b in range(1, depths[-1] + 1):
                when = None if b <= depths[0] else (depth, b.__le__)
                x = _block(graph, f"stage{number}.block{b}", x, width, kind, when, halves=b == 1)
        x = graph.add("pool", ops.global_pool, x)
        return graph.finish(graph.add("classes", ops.linear, x, features=own["classes"]))


def _block(graph: ChoiceGraph, name: str, x: str, width: Choice, kind: Choice, when: When, *, halves: bool) -> str:
    """Append a residual block; where it is absent, all that reads `x` in it is."""
    stride = 2 if halves else 1
    dense = graph.add(
        f"{name}.conv1", ops.conv, x, when=when, otherwise=None, channels=width, kernel=3, stride=stride, act="relu"
    )
    dense = graph.add(f"{name}.conv2", ops.conv, dense, channels=width, kernel=3)
    inverted = graph.add(f"{name}.expand", _expansion, x, when=when, otherwise=None)
    inverted = graph.add(f"{name}.filter", ops.depthwise, inverted, kernel=KERNEL, stride=stride, act="relu")
    inverted = graph.add(f"{name}.project", ops.conv, inverted, channels=width)
    branch = graph.choose(f"{name}.branch", kind, {DENSE: dense, INVERTED: inverted})
    shortcut = x
    if halves:
        shortcut = graph.add(f"{name}.shortcut", ops.conv, x, when=when, otherwise=None, channels=width, stride=stride)
    return _ended(graph, name, x, graph.sum(f"{name}.sum", shortcut, branch), when)


def _ended(graph: ChoiceGraph, name: str, before: str, tensor: str, when: When) -> str:
    """Append the activation that ends a block; the tensor before it passes where the block is absent."""
    return graph.add(name, ops.activation, tensor, when=when, otherwise=before, function="relu")


def _expansion(shape: Shape) -> Op:
    """Make the convolution that widens the input of an inverted block."""
    return ops.conv(shape, EXPANSION * shape[0], act="relu")
