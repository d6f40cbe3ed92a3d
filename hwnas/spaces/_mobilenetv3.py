"""`mobilenetv3`: the elastic MobileNetV3 family."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial

import numpy as np
import numpy.typing as npt

from hwnas._errors import SpaceError
from hwnas.spaces._base import Architecture, FloatArray, IntArray, Value, require_positive
from hwnas.spaces._choice_graph import ChoiceGraph
from hwnas.spaces._choice_space import ChoiceGraphSpace
from hwnas.spaces._frontend import LogMelFrontEnd, frontend_defaults, wants_logmel
from hwnas.spaces._presets import PRESETS, Stage
from hwnas.spaces._rounding import divisible, scaled
from hwnas.spaces._several import several, several_widths
from hwnas.spaces._task import Task
from latency_tables import Op, Shape
from profilers import ops

KERNELS = (3, 5, 7)
_HEAD, _HEAD_OF_MAPS = re.compile(r"w([0-9.]+)_r([0-9]+)(_|\Z)"), re.compile(r"w([0-9.]+)_(m[0-9]+h[0-9.]+)(_|\Z)")
_STRIDE_ON_MAPS = 2
"""Least stride of the stem behind a front end, whose bands and frames overlap."""
_BLOCK = re.compile(r"k([0-9]+)e([0-9]+)\Z")


class MobileNetV3(ChoiceGraphSpace):
    """Inverted residual networks with elastic depth, kernels, expansions, width and resolution.

    Args:
        preset: ``"tiny"`` for images of 8-32 pixels, ``"imagenet"`` for 128-224.
        classes: Number of classes.
        resolution: Image sizes to choose from; None for the preset's own. One number or several.
        width: Width multipliers to choose from; None for the preset's own.
        image_channels: Channels of the images, or of the signals of a front end.
        frontend: ``"none"`` to read images, ``"logmel"`` to read samples through a log-mel front end.
        length: Front end: samples of a signal; 16000 by default.
        sample_rate: Front end: samples a second; 16000 by default.
        window_ms: Front end: milliseconds of a frame; 30 by default. One number or several.
        hop_ms: Front end: milliseconds between frames, 20 by default. One number or several.
        bands: Front end: mel bands, 32 by default. One number or several.
        high_hz: Front end: upper end of the bands; half the sample rate by default.

    Raises:
        SpaceError: An unknown preset, or a setting out of range.
    """

    name = "mobilenetv3"

    def __init__(
        self,
        preset: str = "tiny",
        classes: int = 10,
        resolution: int | Sequence[int] | None = None,
        width: float | Sequence[float] | None = None,
        image_channels: int = 3,
        frontend: str = "none",
        length: int | None = None,
        sample_rate: int | None = None,
        window_ms: float | Sequence[float] | None = None,
        hop_ms: float | Sequence[float] | None = None,
        bands: int | Sequence[int] | None = None,
        high_hz: int | None = None,
    ) -> None:
        if not isinstance(preset, str) or preset not in PRESETS:
            raise SpaceError(f"space mobilenetv3: unknown preset {preset!r}; known presets: {', '.join(PRESETS)}")
        require_positive(self.name, {"classes": classes, "image_channels": image_channels})
        self.preset = PRESETS[preset]
        self._preset_name, self._classes, self._image_channels = preset, classes, image_channels
        self._resolutions = several(self.name, "resolution", resolution, self.preset.resolutions)
        self._widths = several_widths(self.name, width, self.preset.widths)
        low, high = self.preset.limits
        framing = {"sample_rate": sample_rate, "high_hz": high_hz}
        self._frontend: LogMelFrontEnd | None = None
        if wants_logmel(self.name, frontend, length=length, hop_ms=hop_ms, window_ms=window_ms, bands=bands, **framing):
            if resolution is not None:
                raise SpaceError(
                    "space mobilenetv3: the front end sets the size of maps; leave resolution out, set bands"
                )
            hops, counts = several(self.name, "hop_ms", hop_ms, (20.0,)), several(self.name, "bands", bands, (32,))
            signal = (image_channels, 16_000 if length is None else length)
            self._frontend = LogMelFrontEnd.of(self.name, signal, hops, counts, window_ms, framing)
        for size in () if self._frontend else self._resolutions:
            if type(size) is not int or not low <= size <= high:
                raise SpaceError(f"space mobilenetv3: preset {preset} needs images of {low}-{high} pixels, got {size}")

    @property
    def settings(self) -> dict[str, object]:
        """Keyword arguments of the constructor."""
        return {
            "preset": self._preset_name,
            "classes": self._classes,
            **({} if self._frontend else {"resolution": list(self._resolutions)}),
            "width": list(self._widths),
            "image_channels": self._image_channels,
            **(self._frontend.settings if self._frontend else {}),
        }

    @classmethod
    def defaults_from(cls, task: Task, chosen: Mapping[str, object] | None = None) -> dict[str, object]:
        """Return the classes and channels of a task; for the preset ``tiny`` also two image sizes.

        Small images are also offered at twice their size, larger ones at three quarters of it. Signals are read through
        a log-mel front end, whose length and sample rate are theirs.
        """
        defaults = super().defaults_from(task, chosen)
        if len(task.input_shape) == 2:
            return {**defaults, "frontend": "logmel", **frontend_defaults(task)}
        if (chosen or {}).get("preset", "tiny") == "tiny":
            low, high = PRESETS["tiny"].limits
            side = min(max(min(task.input_shape[1:]), low), high)
            defaults["resolution"] = sorted({side, 2 * side if side <= high // 2 else 3 * side // 4})
        return defaults

    def state(self) -> ChoiceGraph:
        """State the stem, stages of blocks of which the last may be skipped, and the head."""
        graph = ChoiceGraph()
        width = graph.choice("width", self._widths)
        if self._frontend:
            image = self._frontend.add(graph)
        else:
            resolution = graph.choice("resolution", self._resolutions)
            image = graph.read(self._image_channels, resolution, resolution)
        channels = partial(scaled, width)

        stem, stride = self.preset.stem
        stride = max(stride, _STRIDE_ON_MAPS) if self._frontend else stride
        x = graph.add("stem", ops.conv, image, channels=channels(stem), kernel=3, stride=stride, act="hswish")
        if self.preset.fixed is not None:
            fixed = self.preset.fixed
            x = graph.add(
                "fixed", block_maker(fixed, first=True), x, channels=channels(fixed.channels), kernel=3, expansion=1
            )
        for s, stage in enumerate(self.preset.stages):
            depth = graph.choice(f"stage{s}.depth", self.preset.depths)
            for b in range(max(self.preset.depths)):
                x = graph.add(
                    f"stage{s}.block{b}",
                    block_maker(stage, first=b == 0),
                    x,
                    when=(depth, partial(operator.lt, b)),
                    channels=channels(stage.channels),
                    kernel=graph.choice(f"stage{s}.block{b}.kernel", KERNELS),
                    expansion=graph.choice(f"stage{s}.block{b}.expansion", self.preset.expansions),
                )
        hidden, features = (channels(count) for count in self.preset.head)
        return graph.finish(graph.add("head", ops.head, x, classes=self._classes, hidden=hidden, features=features))

    @cached_property
    def size(self) -> int:
        """Number of distinct networks: choices of absent blocks are not counted."""
        options = len(KERNELS) * len(self.preset.expansions)
        stage = sum(options**depth for depth in self.preset.depths)
        return len(self._widths) * self.cardinalities[1] * int(stage ** len(self.preset.stages))

    def canonical_codes(self, codes: npt.ArrayLike) -> IntArray:
        """Set the choices of absent blocks to the first value; faster than what follows from the graph."""
        rows = np.array(codes, dtype=np.int64).reshape(-1, len(self.choices))
        depths = np.array(self.preset.depths)
        for s in range(len(self.preset.stages)):
            for b in range(min(self.preset.depths), max(self.preset.depths)):
                depth, kernel, expansion = self._columns(s, b)
                absent = depths[rows[:, depth]] <= b
                rows[absent, kernel] = 0
                rows[absent, expansion] = 0
        return rows

    def features(self, codes: npt.ArrayLike) -> FloatArray:
        """Return one-hot width and resolution (or front end), then depths and each block's kernel and expansion.

        Those of absent blocks are 0.

        Returns:
            ``(n, f)``; the last columns hold each stage's summed expansions and kernels.
        """
        rows = self.canonical_codes(codes)
        depths = np.array(self.preset.depths)
        columns: list[FloatArray] = []
        for c in (0, 1):
            columns += [(rows[:, c] == v).astype(float) for v in range(self.cardinalities[c])]
        for s in range(len(self.preset.stages)):
            depth = depths[rows[:, self._columns(s, 0)[0]]]
            parts = []
            for b in range(max(self.preset.depths)):
                _, kernel, expansion = self._columns(s, b)
                present = (depth > b).astype(float)
                parts += [present * (rows[:, kernel] + 1) / 3, present * (rows[:, expansion] + 1) / 3]
            columns += [depth / depths.max(), *parts, np.sum(parts[0::2], axis=0), np.sum(parts[1::2], axis=0)]
        return np.stack(columns, axis=1)

    def input_shape(self, arch: Architecture) -> Shape:
        """Return ``(image_channels, resolution, resolution)``; with a front end ``(image_channels, length)``."""
        if self._frontend:
            return (self._image_channels, self._frontend.length)
        size = int(arch.values[1])
        return (self._image_channels, size, size)

    def format(self, arch: Architecture) -> str:
        """Return ``w0.5_r16_k3e2_k5e4+k3e2_...``: width, resolution, then for each stage its blocks.

        With a front end, ``m32h20`` (its bands and hop) takes the place of the resolution.
        """
        values = self.canonical(arch).values
        parts = [f"w{values[0]}", str(values[1]) if self._frontend else f"r{values[1]}"]
        for s in range(len(self.preset.stages)):
            depth = int(values[self._columns(s, 0)[0]])
            columns = [self._columns(s, b) for b in range(depth)]
            parts.append("+".join(f"k{values[k]}e{values[e]}" for _, k, e in columns))
        return "_".join(parts)

    def parse(self, text: str) -> Architecture:
        """Read what `format` prints."""
        words = text.strip().split("_")
        stages = [[_BLOCK.match(block) for block in word.split("+")] for word in words[2:]]
        head = (_HEAD_OF_MAPS if self._frontend else _HEAD).match(text.strip())
        if head is None or len(stages) != len(self.preset.stages) or not all(all(stage) for stage in stages):
            second = self._frontend.forms[0] if self._frontend else "r32"
            raise SpaceError(
                f"space mobilenetv3: cannot read {text!r}; it must look like "
                f"w1.0_{second}_k3e4 with {len(self.preset.stages)} stages of blocks like k3e4+k5e6"
            )
        values: list[Value] = [_number(head.group(1)), head.group(2) if self._frontend else int(head.group(2))]
        for stage in stages:
            values.append(len(stage))
            blocks = [(int(m.group(1)), int(m.group(2))) for m in stage if m]
            absent = [(KERNELS[0], self.preset.expansions[0])] * (max(self.preset.depths) - len(blocks))
            values += [number for block in [*blocks, *absent] for number in block]
        arch = Architecture(tuple(values))
        return self.decode(self.encode(arch))

    def _columns(self, stage: int, block: int) -> tuple[int, int, int]:
        """Return the columns of a stage's depth and of a block's kernel and expansion."""
        start = 2 + stage * (1 + 2 * max(self.preset.depths))
        return start, start + 1 + 2 * block, start + 2 + 2 * block


def block_maker(stage: Stage, *, first: bool) -> Callable[..., Op]:
    """Make blocks of a stage from their input's shape, channels, kernel and expansion."""

    def make(shape: Shape, *, channels: int, kernel: int, expansion: int) -> Op:
        """Make one block."""
        hidden = shape[0] * expansion
        return ops.inverted_residual(
            shape,
            channels,
            kernel=kernel,
            stride=stage.stride if first else 1,
            hidden=hidden,
            squeeze=divisible(hidden / 4) if stage.squeeze else 0,
            act=stage.act,
        )

    return make


def _number(text: str) -> Value:
    try:
        return float(text)
    except ValueError:
        raise SpaceError(f"space mobilenetv3: a width must be a number, got {text!r}") from None
