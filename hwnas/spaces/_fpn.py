"""`fpn`: detectors with an elastic backbone, feature pyramid and head."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property, partial
from typing import ClassVar

from hwnas._errors import SpaceError
from hwnas.spaces._base import Architecture, Choice, Segments, Value, require_positive
from hwnas.spaces._choice_graph import Alternative, ChoiceGraph, Make
from hwnas.spaces._choice_space import ChoiceGraphSpace
from hwnas.spaces._mobilenetv3 import block_maker
from hwnas.spaces._presets import Stage
from hwnas.spaces._rounding import scaled
from hwnas.spaces._several import several, several_widths
from hwnas.spaces._stage_text import StageText, Word
from hwnas.spaces._task import Task
from latency_tables import Op, Shape
from profilers import BOX_VALUES, ops

STAGES = (
    Stage(24, 2, "relu", False),
    Stage(40, 2, "relu", True),
    Stage(80, 2, "hswish", False),
    Stage(112, 2, "hswish", True),
)
"""The stages of MobileNetV3-Large (Howard et al. 2019, arXiv 1905.02244, table 1) up to stride 32, but for those of
stride 1. The last three give the maps C3, C4 and C5."""
STEM = 16
DEPTHS, KERNELS, EXPANSIONS = (1, 2, 3), (3, 5), (2, 4, 6)
MAPS = (3, 4, 5)
NODES = ((4, (5, 3)), (3, (4, 5)), (4, (3, 5)), (5, (4, 3)), (3, (4, 5)))
"""Nodes of the pyramid: the map that each replaces, and the maps that it may take in."""
OPERATIONS = ("skip", "sep3", "sep3d3", "sep5d2", "conv3")
"""NAS-FCOS's (Wang et al. 2020, arXiv 1906.04423, table 1) without deformable convolutions, with less dilation in the
largest one (maps are small here), and with the plain convolution of FCOS."""
AGGREGATIONS = ("alone", "sum", "concat")
LAYERS = 3
PYRAMIDS = ("searched", "fcos")
SIZES = (64, 512)
_CHANNELS = 2
"""Where an architecture states the channels of the pyramid."""


class FPN(ChoiceGraphSpace):
    """Anchor-free detectors (FCOS) with NAS-FCOS's pyramid and head as choices; networks end in boxes.

    Five nodes of the pyramid each replace one of the maps P3, P4, P5 by an operation of it, alone, or summed up with or
    concatenated to an operation of another map. The head is up to three operations, the same for classes and boxes; one
    tower of them serves both, or each has its own. From a chosen layer on, the maps share the head's weights (batch
    norms are each map's own). FCOS's own pyramid and head are members: `hand_made`.

    Args:
        classes: Number of classes.
        resolution: Image sizes to choose from, multiples of 32. One number or several.
        width: Width multipliers of the backbone to choose from.
        channels: Channels of pyramid and head to choose from.
        pyramid: ``"searched"``, or ``"fcos"`` for FCOS's pyramid and head in every network.
        image_channels: Channels of the images.
        most: Boxes that a network gives at most.

    Raises:
        SpaceError: A setting is out of range.
    """

    name = "fpn"
    sharing: ClassVar[int] = 2
    most_forms: ClassVar[int] = 4_000_000

    def __init__(
        self,
        classes: int = 20,
        resolution: int | Sequence[int] | None = None,
        width: float | Sequence[float] | None = None,
        channels: int | Sequence[int] | None = None,
        pyramid: str = "searched",
        image_channels: int = 3,
        most: int = 100,
    ) -> None:
        require_positive(self.name, {"classes": classes, "image_channels": image_channels, "most": most})
        if pyramid not in PYRAMIDS:
            raise SpaceError(f"space fpn: pyramid must be {' or '.join(PYRAMIDS)}, got {pyramid!r:.40}")
        self._classes, self._image_channels, self._most, self._pyramid = classes, image_channels, most, pyramid
        self._resolutions = several(self.name, "resolution", resolution, (128, 160))
        self._widths = several_widths(self.name, width, (0.5, 1.0))
        self._channels = several(self.name, "channels", channels, (24, 40, 64))
        low, high = SIZES
        for size in self._resolutions:
            if type(size) is not int or size % 32 or not low <= size <= high:
                raise SpaceError(f"space fpn: image sizes must be multiples of 32 from {low} to {high}, got {size}")
        for count in self._channels:
            if type(count) is not int or not 8 <= count <= 512:
                raise SpaceError(f"space fpn: channels must be whole numbers from 8 to 512, got {count}")

    @property
    def settings(self) -> dict[str, object]:
        """Keyword arguments of the constructor."""
        return {
            "classes": self._classes,
            "resolution": list(self._resolutions),
            "width": list(self._widths),
            "channels": list(self._channels),
            "pyramid": self._pyramid,
            "image_channels": self._image_channels,
            "most": self._most,
        }

    @classmethod
    def defaults_from(cls, task: Task, chosen: Mapping[str, object] | None = None) -> dict[str, object]:
        """Return the classes and channels of a task, and two image sizes: that of the data and three quarters of it."""
        side = min(task.input_shape[1:])
        sizes = {min(max(round(share * side / 32) * 32, SIZES[0]), SIZES[1]) for share in (0.75, 1.0)}
        return {**super().defaults_from(task, chosen), "resolution": sorted(sizes)}

    def state(self) -> ChoiceGraph:
        """State the backbone, the pyramid and the head, cut where few tensors pass."""
        graph = ChoiceGraph()
        width, resolution = graph.choice("width", self._widths), graph.choice("resolution", self._resolutions)
        channels = graph.choice("channels", self._channels)
        image = graph.read(self._image_channels, resolution, resolution)
        maps = _backbone(graph, image, width)
        for level in MAPS:
            maps[level] = graph.add(f"lateral{level}", ops.conv, maps[level], channels=channels, act="relu")
        graph.cut()
        for number, (level, sources) in enumerate(NODES):
            maps[level] = self._node(graph, number, level, sources, maps, channels)
            graph.cut()
        return graph.finish(self._head(graph, maps, channels))

    def weight_segments(self, arch: Architecture) -> Segments:
        """Return what convolutions behind a concatenation use: leading channels of both maps."""
        most, own = max(self._channels), int(arch.values[_CHANNELS])
        if own == most:
            return {}
        return {f"fpn{number}.mixed.weight": {1: ((0, own), (most, own))} for number in range(len(NODES))}

    def hand_made(self, arch: Architecture) -> Architecture:
        """Return a network with the backbone of another, and FCOS's pyramid and head.

        Top-down sums, a 3x3 convolution behind each map, and two towers of 3x3 convolutions shared by all maps.
        """
        values = dict(zip((choice.name for choice in self.choices), arch.values, strict=True))
        values |= {name: value for name, value in _fcos().items() if name in values}
        return self.canonical(Architecture(tuple(values[choice.name] for choice in self.choices)))

    def format(self, arch: Architecture) -> str:
        """Return ``w0.5r160c24_k5e6+k3e2_k5e6_k3e2_k5e6_p5-sep3-skip-sum_..._conv3-sep3-skip_t2s0``.

        The words are width, resolution and channels; for each stage the kernels and expansions of its blocks; for each
        node of the pyramid the other map, the operation of its own map, that of the other, and how they are aggregated;
        the operations of the head; its towers, and the layer from which its weights are shared.
        """
        return self._text.format(self.canonical(arch).values)

    def parse(self, text: str) -> Architecture:
        """Read what `format` prints, or ``name=value`` of all choices as earlier versions wrote them."""
        if "=" in text:
            with suppress(SpaceError):
                return super().parse(text)
        return Architecture(self._text.parse(text))

    @cached_property
    def _text(self) -> StageText:
        words = [Word((("w", "width"), ("r", "resolution"), ("c", "channels")))]
        for s in range(len(STAGES)):
            blocks = (f"stage{s}.block{b}" for b in range(max(DEPTHS)))
            fields = tuple((("k", f"{block}.kernel"), ("e", f"{block}.expansion")) for block in blocks)
            words.append(Word((), f"stage{s}.depth", fields))
        for number in range(len(NODES)):
            marks = (("p", "source"), ("-", "own"), ("-", "other"), ("-", "aggregation"))
            words.append(Word(tuple((mark, f"fpn{number}.{choice}") for mark, choice in marks)))
        words.append(Word(tuple(("-" if layer else "", f"head{layer}") for layer in range(LAYERS))))
        words.append(Word((("t", "towers"), ("s", "shared_from"))))
        return StageText(self.name, self.choices, words)

    def _choice(self, graph: ChoiceGraph, name: str, values: tuple[Value, ...]) -> Choice:
        """State a choice; with FCOS's pyramid it has FCOS's value alone."""
        return graph.choice(name, values if self._pyramid == "searched" else (_fcos()[name],))

    def _node(
        self,
        graph: ChoiceGraph,
        number: int,
        level: int,
        sources: tuple[int, int],
        maps: Mapping[int, str],
        channels: Choice,
    ) -> str:
        """State a node of the pyramid; returns its tensor."""
        name = f"fpn{number}"
        source = self._choice(graph, f"{name}.source", sources)
        own, other = (self._choice(graph, f"{name}.{side}", OPERATIONS) for side in ("own", "other"))
        aggregation = self._choice(graph, f"{name}.aggregation", AGGREGATIONS)
        resized = {value: _resize(maps[int(value)], int(value), level) for value in source.values}
        taken = graph.choose(f"{name}.taken", source, resized)
        left = graph.choose(f"{name}.left", own, _operations(own, maps[level], channels))
        right = graph.choose(f"{name}.right", other, _operations(other, taken, channels))
        total = graph.sum(f"{name}.total", left, right)
        both = graph.add(f"{name}.both", ops.concat, left, right)
        mixed = graph.add(f"{name}.mixed", ops.conv, both, channels=channels, act="relu")
        made = {"alone": left, "sum": total, "concat": mixed}
        return graph.choose(name, aggregation, {value: made[str(value)] for value in aggregation.values})

    def _head(self, graph: ChoiceGraph, maps: Mapping[int, str], channels: Choice) -> str:
        """State the head and the boxes; returns the tensor of the detections."""
        operations = [self._choice(graph, f"head{layer}", OPERATIONS) for layer in range(LAYERS)]
        towers = self._choice(graph, "towers", (1, 2))
        shared = self._choice(graph, "shared_from", tuple(range(LAYERS + 1)))
        joined = []
        for level in MAPS:
            ends = [
                _tower(graph, tower, level, maps[level], operations, shared, channels) for tower in ("class", "box")
            ]
            apart = {1: ends[0], 2: ends[1]}
            boxes = graph.choose(f"box_features{level}", towers, {value: apart[int(value)] for value in towers.values})
            said = [
                graph.add(f"classes@p{level}", ops.conv, ends[0], channels=self._classes, kernel=3, norm="bias"),
                graph.add(f"boxes@p{level}", ops.conv, boxes, channels=BOX_VALUES, kernel=3, norm="bias"),
            ]
            joined.append(graph.add(f"said{level}", ops.concat, *said))
        places = graph.add("places", ops.join, *joined)
        return graph.add("detections", partial(_detections, most=self._most), places)


def _backbone(graph: ChoiceGraph, image: str, width: Choice) -> dict[int, str]:
    """State the backbone; returns its maps by their number."""
    channels = partial(scaled, width)
    x, maps = graph.add("stem", ops.conv, image, channels=channels(STEM), kernel=3, stride=2, act="hswish"), {}
    for s, stage in enumerate(STAGES):
        depth = graph.choice(f"stage{s}.depth", DEPTHS)
        for b in range(max(DEPTHS)):
            x = graph.add(
                f"stage{s}.block{b}",
                block_maker(stage, first=b == 0),
                x,
                when=(depth, partial(operator.lt, b)),
                channels=channels(stage.channels),
                kernel=graph.choice(f"stage{s}.block{b}.kernel", KERNELS),
                expansion=graph.choice(f"stage{s}.block{b}.expansion", EXPANSIONS),
            )
            if s > 1:
                graph.cut()
        maps[s + 2] = x
    return {level: maps[level] for level in MAPS}


def _resize(tensor: str, source: int, level: int) -> Make:
    """Bring a map to the size of another: repeat its elements, or take the largest of each window."""
    factor = int(2 ** abs(source - level))
    if source > level:
        return Make(ops.upsample, tensor, factor=factor)
    return Make(ops.pool, tensor, kernel=factor, stride=factor, padding=0, mode="max")


def _operations(choice: Choice, tensor: str, channels: Choice) -> dict[Value, Alternative]:
    made: dict[str, Alternative] = {
        "skip": tensor,
        "sep3": Make(ops.separable, tensor, channels=channels, kernel=3),
        "sep3d3": Make(ops.separable, tensor, channels=channels, kernel=3, dilation=3),
        "sep5d2": Make(ops.separable, tensor, channels=channels, kernel=5, dilation=2),
        "conv3": Make(ops.conv, tensor, channels=channels, kernel=3, act="relu"),
    }
    return {value: made[str(value)] for value in choice.values}


def _tower(
    graph: ChoiceGraph, tower: str, level: int, x: str, operations: Sequence[Choice], shared: Choice, channels: Choice
) -> str:
    """State the layers of one tower on one map, each with weights of its own or shared by all maps."""
    for layer, operation in enumerate(operations):
        own = graph.choose(f"{tower}{layer}_p{level}", operation, _operations(operation, x, channels))
        common = graph.choose(f"{tower}{layer}@p{level}", operation, _operations(operation, x, channels))
        first = {value: common if layer >= int(value) else own for value in shared.values}
        x = graph.choose(f"{tower}{layer}.p{level}", shared, first)
    return x


def _detections(shape: Shape, *, most: int) -> Op:
    """Make the boxes of square images with maps of strides 8, 16 and 32: 21 places for each 32x32 pixels."""
    cells = round((shape[1] / 21) ** 0.5)
    return ops.detections(shape, tuple((cells * n, cells * n) for n in (4, 2, 1)), most=most)


def _fcos() -> dict[str, Value]:
    """Return the choices of FCOS's pyramid and head (Tian et al. 2019, arXiv 1904.01355, fig. 2)."""
    values: dict[str, Value] = {"towers": 2, "shared_from": 0}
    for number, (_, sources) in enumerate(NODES):
        top_down = number < 2
        values[f"fpn{number}.source"] = sources[0]
        values[f"fpn{number}.own"] = "skip" if top_down else "conv3"
        values[f"fpn{number}.other"] = "skip"
        values[f"fpn{number}.aggregation"] = "sum" if top_down else "alone"
    return values | {f"head{layer}": "conv3" for layer in range(LAYERS)}
