"""`mobilenetv3`: the elastic MobileNetV3 family."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import cached_property
from itertools import product
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from hwnas._errors import SpaceError
from hwnas.spaces._base import (
    Architecture,
    Choice,
    FloatArray,
    IntArray,
    Space,
    Term,
    Value,
    require_positive,
)
from hwnas.spaces._presets import PRESETS, Stage
from latency_tables import INPUT, GraphBuilder, Op, OpGraph, Shape
from profilers import ops

KERNELS = (3, 5, 7)
T = TypeVar("T", int, float)
_BLOCK = re.compile(r"k([0-9]+)e([0-9]+)\Z")
_MOST_VALUES = 32


class MobileNetV3(Space):
    """Inverted residual networks with elastic depth, kernels, expansions, width and resolution.

    Args:
        preset: ``"tiny"`` for images of 8-32 pixels, ``"imagenet"`` for 128-224.
        classes: number of classes.
        resolution: image sizes to choose from; None for the preset's own. One number or several.
        width: width multipliers to choose from; None for the preset's own.
        image_channels: channels of the images.

    Raises:
        SpaceError: an unknown preset, or a setting out of range.
    """

    name = "mobilenetv3"
    terms_want_canonical_codes = False

    def __init__(
        self,
        preset: str = "tiny",
        classes: int = 10,
        resolution: int | Sequence[int] | None = None,
        width: float | Sequence[float] | None = None,
        image_channels: int = 3,
    ) -> None:
        if not isinstance(preset, str) or preset not in PRESETS:
            raise SpaceError(f"space mobilenetv3: unknown preset {preset!r}; known presets: {', '.join(PRESETS)}")
        require_positive(self.name, {"classes": classes, "image_channels": image_channels})
        self.preset = PRESETS[preset]
        self._preset_name, self._classes, self._image_channels = preset, classes, image_channels
        self._resolutions = _several(resolution, self.preset.resolutions)
        self._widths = _several(width, self.preset.widths)
        low, high = self.preset.limits
        for size in self._resolutions:
            if type(size) is not int or not low <= size <= high:
                raise SpaceError(f"space mobilenetv3: preset {preset} takes images of {low}-{high} pixels, not {size}")
        for factor in self._widths:
            if type(factor) not in (int, float) or not 0.1 <= factor <= 4:
                raise SpaceError(f"space mobilenetv3: a width multiplier lies between 0.1 and 4, not at {factor}")

    @property
    def settings(self) -> dict[str, object]:
        """Keyword arguments of the constructor."""
        return {
            "preset": self._preset_name,
            "classes": self._classes,
            "resolution": list(self._resolutions),
            "width": list(self._widths),
            "image_channels": self._image_channels,
        }

    @cached_property
    def choices(self) -> tuple[Choice, ...]:
        """Width and resolution, then for each stage its depth and each block's kernel and expansion."""
        found = [Choice("width", self._widths), Choice("resolution", self._resolutions)]
        for s in range(len(self.preset.stages)):
            found.append(Choice(f"stage{s}.depth", self.preset.depths))
            for b in range(max(self.preset.depths)):
                found.append(Choice(f"stage{s}.block{b}.kernel", KERNELS))
                found.append(Choice(f"stage{s}.block{b}.expansion", self.preset.expansions))
        return tuple(found)

    @cached_property
    def terms(self) -> tuple[Term, ...]:
        """Stem, each block, head."""
        found = [Term("stem", (0, 1))]
        for s in range(len(self.preset.stages)):
            for b in range(max(self.preset.depths)):
                depth, kernel, expansion = self._columns(s, b)
                found.append(Term(f"stage{s}.block{b}", (0, 1, depth, kernel, expansion)))
        return (*found, Term("head", (0, 1)))

    @cached_property
    def size(self) -> int:
        """Number of distinct networks: choices of absent blocks are not counted."""
        options = len(KERNELS) * len(self.preset.expansions)
        stage = sum(options**depth for depth in self.preset.depths)
        return len(self._widths) * len(self._resolutions) * int(stage ** len(self.preset.stages))

    def canonical_codes(self, codes: npt.ArrayLike) -> IntArray:
        """Codes with the choices of absent blocks set to the first value."""
        rows = np.array(codes, dtype=np.int64).reshape(-1, len(self.choices))
        depths = np.array(self.preset.depths)
        for s in range(len(self.preset.stages)):
            for b in range(max(self.preset.depths)):
                depth, kernel, expansion = self._columns(s, b)
                absent = depths[rows[:, depth]] <= b
                rows[absent, kernel] = 0
                rows[absent, expansion] = 0
        return rows

    def features(self, codes: npt.ArrayLike) -> FloatArray:
        """One-hot width, resolution and depths; each block's kernel and expansion within their range, 0 where absent.

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
        """``(image_channels, resolution, resolution)``."""
        size = int(arch.values[1])
        return (self._image_channels, size, size)

    def format(self, arch: Architecture) -> str:
        """``w0.5_r16_k3e2_k5e4+k3e2_...``: width, resolution, then for each stage its blocks."""
        values = self.canonical(arch).values
        parts = [f"w{values[0]}", f"r{values[1]}"]
        for s in range(len(self.preset.stages)):
            depth = int(values[self._columns(s, 0)[0]])
            columns = [self._columns(s, b) for b in range(depth)]
            parts.append("+".join(f"k{values[k]}e{values[e]}" for _, k, e in columns))
        return "_".join(parts)

    def parse(self, text: str) -> Architecture:
        """Read what `format` prints."""
        words = text.strip().split("_")
        stages = [[_BLOCK.match(block) for block in word.split("+")] for word in words[2:]]
        head = re.match(r"w([0-9.]+)_r([0-9]+)(_|\Z)", text.strip())
        if head is None or len(stages) != len(self.preset.stages) or not all(all(stage) for stage in stages):
            raise SpaceError(
                f"space mobilenetv3: cannot read {text!r}; it must look like "
                f"w1.0_r32_k3e4 with {len(self.preset.stages)} stages of blocks like k3e4+k5e6"
            )
        values: list[Value] = [_number(head.group(1)), int(head.group(2))]
        for stage in stages:
            values.append(len(stage))
            blocks = [(int(m.group(1)), int(m.group(2))) for m in stage if m]
            absent = [(KERNELS[0], self.preset.expansions[0])] * (max(self.preset.depths) - len(blocks))
            values += [number for block in [*blocks, *absent] for number in block]
        arch = Architecture(tuple(values))
        return self.decode(self.encode(arch))

    def graph(self, arch: Architecture) -> OpGraph:
        """Stem, blocks and head; composite ops."""
        self.encode(arch)
        builder, x = GraphBuilder(self.input_shape(arch)), INPUT
        for term in self.terms:
            part = self.term_graph(term, arch)
            if part is not None:
                x = builder.splice(part, at=x)
        return builder.build(x)

    def term_graph(self, term: Term, arch: Architecture) -> OpGraph | None:
        """The ops of one term; None for an absent block."""
        width, size = float(arch.values[0]), int(arch.values[1])
        shapes = self._stage_inputs(width, size)
        if term.name == "stem":
            return self._stem(width, size)
        if term.name == "head":
            hidden, features = (_channels(c, width) if c else 0 for c in self.preset.head)
            op = ops.head(shapes[-1], self._classes, hidden=hidden, features=features)
            return OpGraph.single(op, "head")
        s, b = (int(word[5:]) for word in term.name.split("."))
        depth, kernel, expansion = (int(arch.values[c]) for c in self._columns(s, b))
        if b >= depth:
            return None
        return OpGraph.single(self._block(s, b == 0, shapes, width, kernel, expansion), term.name)

    def ops(self) -> list[Op]:
        """All stems, blocks and heads."""
        found: dict[Op, None] = {}
        for width, size in product(self._widths, self._resolutions):
            shapes = self._stage_inputs(width, size)
            found.update(dict.fromkeys(self._stem(width, size).op_counts))
            for s, kernel, expansion in product(range(len(self.preset.stages)), KERNELS, self.preset.expansions):
                for first in (True, False):
                    found[self._block(s, first, shapes, width, kernel, expansion)] = None
            hidden, features = (_channels(c, width) if c else 0 for c in self.preset.head)
            found[ops.head(shapes[-1], self._classes, hidden=hidden, features=features)] = None
        return sorted(found, key=lambda op: op.key)

    def _columns(self, stage: int, block: int) -> tuple[int, int, int]:
        """Columns of a stage's depth and of a block's kernel and expansion."""
        start = 2 + stage * (1 + 2 * max(self.preset.depths))
        return start, start + 1 + 2 * block, start + 2 + 2 * block

    def _stem(self, width: float, size: int) -> OpGraph:
        channels, stride = self.preset.stem
        builder = GraphBuilder((self._image_channels, size, size))
        stem = ops.conv(builder.input_shape, _channels(channels, width), 3, stride=stride, act="hswish")
        x = builder.add("stem", stem, INPUT)
        if self.preset.fixed is not None:
            x = builder.add("fixed", _inverted(builder.shape(x), self.preset.fixed, True, width, 3, 1), x)
        return builder.build(x)

    def _stage_inputs(self, width: float, size: int) -> list[Shape]:
        """Shape before each stage, and behind the last."""
        shapes = [self._stem(width, size).output_shape]
        for stage in self.preset.stages:
            side = math.ceil(shapes[-1][1] / stage.stride)
            shapes.append((_channels(stage.channels, width), side, side))
        return shapes

    def _block(self, s: int, first: bool, shapes: list[Shape], width: float, kernel: int, expansion: int) -> Op:
        return _inverted(shapes[s if first else s + 1], self.preset.stages[s], first, width, kernel, expansion)


def _inverted(shape: Shape, stage: Stage, first: bool, width: float, kernel: int, expansion: int) -> Op:
    hidden = shape[0] * expansion
    return ops.inverted_residual(
        shape,
        _channels(stage.channels, width),
        kernel=kernel,
        stride=stage.stride if first else 1,
        hidden=hidden,
        squeeze=divisible(hidden / 4) if stage.squeeze else 0,
        act=stage.act,
    )


def _channels(channels: int, width: float) -> int:
    return divisible(channels * width)


def divisible(value: float, divisor: int = 8) -> int:
    """The nearest multiple of `divisor`, at least one of it and never below 90 % of `value`."""
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def _several(given: T | Sequence[T] | None, default: tuple[T, ...]) -> tuple[T, ...]:
    if given is None:
        return default
    values = tuple(given) if isinstance(given, (list, tuple)) else (given,)
    if not 1 <= len(values) <= _MOST_VALUES or len(set(map(str, values))) != len(values):
        raise SpaceError(f"space mobilenetv3: give different values, 1 to {_MOST_VALUES}, not {str(given)[:40]}")
    return values


def _number(text: str) -> Value:
    try:
        return float(text)
    except ValueError:
        raise SpaceError(f"space mobilenetv3: {text!r} is no width multiplier") from None
