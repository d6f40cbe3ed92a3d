"""`dash1d` and `dash2d`: residual networks whose convolutions choose their kernel size and dilation."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from typing import ClassVar

from hwnas._errors import SpaceError
from hwnas.spaces._base import Architecture, require_positive
from hwnas.spaces._choice_graph import ChoiceGraph, follow
from hwnas.spaces._choice_space import ChoiceGraphSpace
from hwnas.spaces._task import Task
from latency_tables import Op, Shape
from profilers import ops

DILATIONS = (1, 3, 7, 15)
KERNELS_1D, KERNELS_2D = (3, 7, 11, 15, 19), (3, 5, 7, 9)
OUTPUTS = ("classes", "map")
_LENGTH = 250
"""Samples behind the stem of `dash1d`, about."""
_STAGES = 3
_MOST_BLOCKS = 4


class _DashSpace(ChoiceGraphSpace):
    """What both spaces share: filters by name, texts of architectures, residual blocks."""

    filters: ClassVar[Mapping[str, tuple[int, int]]]
    """Kernel and dilation by name: ``k7d3`` has 7 taps, 3 samples from each other."""
    network_settings: Mapping[str, int]

    @property
    def settings(self) -> dict[str, object]:
        """Keyword arguments of the constructor."""
        return dict(self.network_settings)

    @cached_property
    def size(self) -> int:
        """Number of networks."""
        return math.prod(self.cardinalities)

    def everywhere(self, name: str) -> Architecture:
        """Return the network with one filter in every searched convolution, such as ``k3d1``.

        Raises:
            SpaceError: There is no such filter.
        """
        return self.parse("_".join([name] * len(self.choices)))

    def format(self, arch: Architecture) -> str:
        """Return ``k3d1_k7d15_...``: the filter of each searched convolution, from input to output."""
        return "_".join(map(str, self.canonical(arch).values))

    def parse(self, text: str) -> Architecture:
        """Read what `format` prints."""
        words = text.strip().split("_")
        if len(words) != len(self.choices) or any(word not in self.filters for word in words):
            raise SpaceError(
                f"space {self.name}: cannot read {text!r:.80}; it must be {len(self.choices)} filters joined by _, "
                f"each one of {', '.join(self.filters)}"
            )
        return Architecture(tuple(words))

    def _read_settings(self, settings: Mapping[str, int]) -> None:
        require_positive(self.name, settings)
        if settings["blocks"] > _MOST_BLOCKS:
            raise SpaceError(f"space {self.name}: blocks must be 1 to {_MOST_BLOCKS}, got {settings['blocks']}")
        self.network_settings = settings

    def _searched(self, graph: ChoiceGraph, name: str, x: str, channels: int, act: str) -> str:
        """Append a convolution whose filter is a choice."""
        choice = graph.choice(f"{name}.filter", tuple(self.filters))
        kernel = follow(lambda word: self._extents(self.filters[str(word)][0]), choice)
        dilation = follow(lambda word: self._extents(self.filters[str(word)][1]), choice)
        return graph.add(name, partial(ops.conv, channels=channels, act=act), x, kernel=kernel, dilation=dilation)

    @abstractmethod
    def _extents(self, number: int) -> tuple[int, int]:
        """Return a kernel, a dilation or a stride along both axes of a map."""

    def _block(
        self, graph: ChoiceGraph, name: str, x: str, channels: int, *, stride: int = 1, project: bool = False
    ) -> str:
        """Append a residual block; its shortcut and a convolution with a stride are not searched."""
        extents = self._extents(stride)
        if stride > 1:
            first = graph.add(f"{name}.a", _conv(channels, self._extents(3), extents, "relu"), x)
        else:
            first = self._searched(graph, f"{name}.a", x, channels, "relu")
        second = self._searched(graph, f"{name}.b", first, channels, "none")
        short = graph.add(f"{name}.short", _conv(channels, (1, 1), extents, "none"), x) if project else x
        return graph.add(f"{name}.act", ops.activation, graph.sum(f"{name}.sum", second, short), function="relu")


class Dash1d(_DashSpace):
    """A residual network for signals; each convolution has 3 to 19 taps, 1 to 15 samples from each other.

    After the 1-D network of DASH (Shen et al. 2022, arXiv 2204.07554): three stages of residual blocks that keep the
    length, and a pooling over time. Stem and shortcuts are not searched. The stem's stride shortens long signals to
    about 250 samples. Inside, signals are maps ``(channels, 1, length)``, for which ONNX Runtime has faster kernels.

    Args:
        classes: Number of outputs: classes, or values of a regression.
        input_channels: Channels of the signals.
        length: Samples of a signal.
        channels: Channels of the first stage; the later ones have twice as many.
        blocks: Residual blocks of each stage, 1 to 4, with two searched convolutions each.

    Raises:
        SpaceError: A setting is out of range.
    """

    name = "dash1d"
    filters: ClassVar[Mapping[str, tuple[int, int]]] = {f"k{k}d{d}": (k, d) for k in KERNELS_1D for d in DILATIONS}

    def __init__(
        self, classes: int = 10, input_channels: int = 1, length: int = 1000, channels: int = 16, blocks: int = 1
    ) -> None:
        settings = {"classes": classes, "input_channels": input_channels, "length": length}
        self._read_settings({**settings, "channels": channels, "blocks": blocks})

    @classmethod
    def defaults_from(cls, task: Task, chosen: Mapping[str, object] | None = None) -> dict[str, object]:
        """Return the outputs, channels and length of a task."""
        return {**super().defaults_from(task, chosen), "length": task.input_shape[-1]}

    def state(self) -> ChoiceGraph:
        """State the stem, three stages and the classifier."""
        graph, own = ChoiceGraph(), self.network_settings
        stride = 1 << max(0, round(math.log2(own["length"] / _LENGTH)))
        x = graph.add("signal", _as_row, graph.read(own["input_channels"], own["length"]))
        x = graph.add("stem", _conv(own["channels"], (1, 2 * stride + 1), (1, stride), "relu"), x)
        before = own["channels"]
        for s in range(_STAGES):
            count = own["channels"] * (1 if s == 0 else 2)
            for b in range(own["blocks"]):
                x = self._block(graph, f"stage{s}.block{b}", x, count, project=count != before)
                before = count
        x = graph.add("pool", ops.global_pool, x)
        return graph.finish(graph.add("classes", ops.linear, x, features=own["classes"]))

    def _extents(self, number: int) -> tuple[int, int]:
        return 1, number


class Dash2d(_DashSpace):
    """A wide residual network for images; each searched convolution has a kernel of 3 to 9 and a dilation of 1 to 15.

    After the 2-D network of DASH (Shen et al. 2022, arXiv 2204.07554), a WRN (Zagoruyko and Komodakis 2016,
    arXiv 1605.07146) of 6 `blocks` + 4 layers. Stem, shortcuts and the convolutions that halve the map are not
    searched. As in the paper, a network for a dense task halves nothing, and ends in a 1x1 convolution.

    Args:
        classes: Number of outputs: classes, or channels of a map.
        image_channels: Channels of the images.
        image_size: Height and width of the images.
        channels: Channels of the first stage; each later one has twice as many.
        blocks: Residual blocks of each stage, 1 to 4.
        outputs: ``"classes"`` for one answer to each image, ``"map"`` for one to each pixel.

    Raises:
        SpaceError: A setting is out of range.
    """

    name = "dash2d"
    filters: ClassVar[Mapping[str, tuple[int, int]]] = {f"k{k}d{d}": (k, d) for k in KERNELS_2D for d in DILATIONS}

    def __init__(
        self,
        classes: int = 10,
        image_channels: int = 3,
        image_size: int = 32,
        channels: int = 16,
        blocks: int = 2,
        outputs: str = "classes",
    ) -> None:
        settings = {"classes": classes, "image_channels": image_channels, "image_size": image_size}
        self._read_settings({**settings, "channels": channels, "blocks": blocks})
        if outputs not in OUTPUTS:
            raise SpaceError(f"space dash2d: outputs must be {' or '.join(OUTPUTS)}, got {outputs!r:.40}")
        self._map = outputs == "map"

    @property
    def settings(self) -> dict[str, object]:
        """Keyword arguments of the constructor; ``outputs`` only for maps."""
        return {**super().settings, **({"outputs": "map"} if self._map else {})}

    @classmethod
    def defaults_from(cls, task: Task, chosen: Mapping[str, object] | None = None) -> dict[str, object]:
        """Return the classes, channels and size of a task."""
        return {**super().defaults_from(task, chosen), "image_size": min(task.input_shape[-2:])}

    def state(self) -> ChoiceGraph:
        """State the stem, three stages, and the classifier or the convolution that makes the map."""
        graph, own = ChoiceGraph(), self.network_settings
        x = graph.read(own["image_channels"], own["image_size"], own["image_size"])
        x = graph.add("stem", _conv(own["channels"], (3, 3), (1, 1), "relu"), x)
        for s in range(_STAGES):
            for b in range(own["blocks"]):
                widens = s > 0 and b == 0
                count, stride = own["channels"] << s, 2 if widens and not self._map else 1
                x = self._block(graph, f"stage{s}.block{b}", x, count, stride=stride, project=widens)
        if self._map:
            return graph.finish(graph.add("output", ops.conv, x, channels=own["classes"], norm="bias"))
        x = graph.add("pool", ops.global_pool, x)
        return graph.finish(graph.add("classes", ops.linear, x, features=own["classes"]))

    def _extents(self, number: int) -> tuple[int, int]:
        return number, number


def _as_row(shape: Shape) -> Op:
    """Make the op that puts a signal into a map of height 1."""
    return ops.reshape(shape, (shape[0], 1, shape[1]))


def _conv(channels: int, kernel: tuple[int, int], stride: tuple[int, int], act: str) -> Callable[[Shape], Op]:
    """Make convolutions that are not searched from their input's shape."""

    def make(shape: Shape) -> Op:
        return ops.conv(shape, channels, kernel, stride=stride, act=act)

    return make
