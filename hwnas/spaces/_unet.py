"""`unet`: elastic encoders and decoders with skip connections, whose outputs have the resolution of their inputs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from hwnas._errors import SpaceError
from hwnas.spaces._base import Architecture, Segments, Value, require_positive
from hwnas.spaces._choice_graph import ChoiceGraph, Extent, Make
from hwnas.spaces._choice_space import ChoiceGraphSpace
from hwnas.spaces._rounding import divisible, scaled
from hwnas.spaces._task import Task
from latency_tables import Op, Shape
from profilers import ops

KERNELS = (3, 5)
EXPANSIONS = (2, 4)
KINDS = ("mbconv", "conv")
JOINS = ("sum", "concat")
DILATIONS = (1, 2, 4)
JOIN_KERNELS = (1, 3)
_DIVISOR = 4
"""Channels are multiples of it: dense networks have few at full resolution."""
_LEVELS = (2, 3)
_MULTIPLES = (1.0, 1.5, 2.5, 4.0)
"""Channels of each level of the encoder, as multiples of those of the first."""
_LETTERS = {"mbconv": "m", "conv": "c"}
_BLOCK = re.compile(r"(?:c([0-9]+)|m([0-9]+)e([0-9]+))\Z")
_JOIN = re.compile(r"(sum|concat)([0-9]+)\Z")
_MOST_SIZE, _MOST_WIDTHS = 2**20, 32


class UNet(ChoiceGraphSpace):
    """Networks in the form of a U (Ronneberger et al. 2015, arXiv 1505.04597, fig. 1) for signals and images.

    The encoder has a level of one or two blocks for each resolution: inverted residuals or plain convolutions. Its last
    level ends in a convolution of elastic dilation. Each level of the decoder reduces the channels, repeats every
    element twice along each axis (nearest neighbours), takes in the encoder's result of the same resolution by a sum or
    a concatenation, and convolves; one more block may follow.

    Args:
        size: Extents of a sample behind its channels: ``[height, width]``, or ``[length]`` of a signal. Multiples of 2
            to the power of `levels`.
        classes: Channels of the output: classes, or values of each pixel.
        image_channels: Channels of a sample.
        levels: How often the encoder halves the resolution: 2 or 3.
        channels: Channels of the first level at width 1.
        width: Width multipliers to choose from. One number or several.

    Raises:
        SpaceError: A setting is out of range.
    """

    name = "unet"

    def __init__(
        self,
        size: int | Sequence[int] = (32, 32),
        classes: int = 2,
        image_channels: int = 3,
        levels: int = 3,
        channels: int = 16,
        width: float | Sequence[float] = (0.5, 1.0),
    ) -> None:
        require_positive(self.name, {"classes": classes, "image_channels": image_channels, "channels": channels})
        if levels not in _LEVELS or type(levels) is not int:
            raise SpaceError(f"space unet: levels must be 2 or 3, got {levels!r:.40}")
        self._size = tuple(size) if isinstance(size, (list, tuple)) else (size,)
        self._widths = tuple(width) if isinstance(width, (list, tuple)) else (width,)
        self._classes, self._image_channels, self._channels, self._levels = classes, image_channels, channels, levels
        step = 2**levels
        if not 1 <= len(self._size) <= 2 or not all(type(n) is int and 0 < n <= _MOST_SIZE for n in self._size):
            raise SpaceError(f"space unet: size must be one or two positive integers, got {size!r:.60}")
        if any(n % step for n in self._size):
            raise SpaceError(
                f"space unet: with levels={levels} every extent of size must be a multiple of {step}, got "
                f"{'x'.join(map(str, self._size))}; scale or cut the samples{', or set levels=2' * (levels > 2)}"
            )
        usual = all(type(factor) in (int, float) and 0.1 <= factor <= 4 for factor in self._widths)
        if not 1 <= len(self._widths) <= _MOST_WIDTHS or not usual or len(set(self._widths)) < len(self._widths):
            raise SpaceError(
                f"space unet: width must be 1 to {_MOST_WIDTHS} different multipliers from 0.1 to 4, got {width!r:.60}"
            )

    @property
    def settings(self) -> dict[str, object]:
        """Keyword arguments of the constructor."""
        return {
            "size": list(self._size),
            "classes": self._classes,
            "image_channels": self._image_channels,
            "levels": self._levels,
            "channels": self._channels,
            "width": list(self._widths),
        }

    @classmethod
    def defaults_from(cls, task: Task, chosen: Mapping[str, object] | None = None) -> dict[str, object]:
        """Return channels, classes and size of a task, and as many levels as the size can be halved."""
        defaults = super().defaults_from(task, chosen)
        size = task.input_shape[1:]
        halved = all(n % 8 == 0 and n >= 16 for n in size)
        return {**defaults, "size": list(size), "levels": 3 if halved else 2}

    def state(self) -> ChoiceGraph:
        """State the encoder, the decoder and the convolution that makes the output."""
        graph = ChoiceGraph()
        width = graph.choice("width", self._widths)
        widths = [scaled(width, self._channels * multiple, _DIVISOR) for multiple in _MULTIPLES[: self._levels + 1]]
        x = graph.read(self._image_channels, *self._size)
        x = graph.add("stem", ops.conv, x, channels=widths[0], kernel=3, act="relu")
        skips = []
        for level, channels in enumerate(widths):
            x = _blocks(graph, f"enc{level}", x, channels, depths=(1, 2), stride=1 if level == 0 else 2)
            skips.append(x)
        dilation = graph.choice("bottom.dilation", DILATIONS)
        y = graph.add("bottom.conv", ops.conv, x, channels=widths[-1], kernel=3, dilation=dilation)
        y = graph.sum("bottom.sum", y, x)
        for level in reversed(range(self._levels)):
            y = _joined(graph, f"dec{level}", y, skips[level], widths[level])
            y = _blocks(graph, f"dec{level}", y, widths[level], depths=(0, 1))
        return graph.finish(graph.add("output", ops.conv, y, channels=self._classes, norm="bias"))

    def weight_segments(self, arch: Architecture) -> Segments:
        """Return what convolutions behind a concatenation use: leading channels of both tensors."""
        segments: dict[str, dict[int, tuple[tuple[int, int], ...]]] = {}
        width = float(arch.values[0])
        for level in range(self._levels):
            channels = self._channels * _MULTIPLES[level]
            most, own = (divisible(channels * factor, _DIVISOR) for factor in (max(self._widths), width))
            if own < most:
                segments[f"dec{level}.conv.concat.weight"] = {1: ((0, own), (most, own))}
        return segments

    def reference(self) -> Architecture:
        """Return the member of the space that is nearest to the published U-Net.

        Two plain 3x3 convolutions in each level of the encoder, concatenated skip connections, no dilation, and two
        convolutions in each level of the decoder, at the largest width. It differs in that strided convolutions take
        the place of max pooling, and in the numbers of channels.
        """
        wanted: dict[str, Value] = {"width": max(self._widths), "dilation": 1, "kernel": 3, "kind": "conv"}
        wanted |= {"join": "concat", "join_kernel": 3, "expansion": EXPANSIONS[0]}
        values = []
        for choice in self.choices:
            last = choice.name.rpartition(".")[2]
            values.append(choice.values[-1] if last == "depth" else wanted[last])
        return self.canonical(Architecture(tuple(values)))

    def format(self, arch: Architecture) -> str:
        """Return ``w1.0_c3+m5e4_..._d2_concat3+m3e2_...``: width, encoder level by level, dilation, decoder."""
        values = self._by_name(self.canonical(arch))
        parts = [f"w{values['width']}"]
        for level in range(self._levels + 1):
            blocks = range(int(values[f"enc{level}.depth"]))
            parts.append("+".join(_block_text(values, f"enc{level}.block{b}") for b in blocks))
        parts.append(f"d{values['bottom.dilation']}")
        for level in reversed(range(self._levels)):
            join = f"{values[f'dec{level}.join']}{values[f'dec{level}.join_kernel']}"
            blocks = range(int(values[f"dec{level}.depth"]))
            parts.append("+".join([join, *(_block_text(values, f"dec{level}.block{b}") for b in blocks)]))
        return "_".join(parts)

    def parse(self, text: str) -> Architecture:
        """Read what `format` prints."""
        words = text.strip().split("_")
        try:
            return self._read(words)
        except (ValueError, KeyError, IndexError):
            raise SpaceError(
                f"space unet: cannot read {text!r:.200}; it must look like {self.format(self.reference())}"
            ) from None

    def _read(self, words: Sequence[str]) -> Architecture:
        if len(words) != 2 * self._levels + 3 or words[0][:1] != "w":
            raise ValueError("another number of parts")
        values: dict[str, Value] = {choice.name: choice.values[0] for choice in self.choices}
        values["width"] = {f"w{width}": width for width in self._widths}[words[0]]
        dilation = words[self._levels + 2]
        values["bottom.dilation"] = int(dilation[1:]) if dilation[:1] == "d" else -1
        for level in range(self._levels + 1):
            blocks = words[1 + level].split("+")
            values |= {f"enc{level}.depth": len(blocks), **_blocks_read(blocks, f"enc{level}")}
        for level, word in zip(reversed(range(self._levels)), words[self._levels + 3 :], strict=True):
            join, *blocks = word.split("+")
            match = _JOIN.match(join)
            if match is None:
                raise ValueError("no join")
            values |= {f"dec{level}.join": match[1], f"dec{level}.join_kernel": int(match[2])}
            values |= {f"dec{level}.depth": len(blocks), **_blocks_read(blocks, f"dec{level}")}
        if len(values) != len(self.choices):
            raise ValueError("more blocks than there are")
        return self.canonical(Architecture(tuple(values[choice.name] for choice in self.choices)))

    def _by_name(self, arch: Architecture) -> dict[str, Value]:
        return {choice.name: value for choice, value in zip(self.choices, arch.values, strict=True)}


def _blocks(
    graph: ChoiceGraph, name: str, x: str, channels: Extent, *, depths: tuple[int, int], stride: int = 1
) -> str:
    """State the blocks of one level, of which the last may be left out; the first may halve the resolution."""
    depth = graph.choice(f"{name}.depth", depths)
    for number in range(max(depths)):
        block = f"{name}.block{number}"
        own = {"channels": channels, "kernel": graph.choice(f"{block}.kernel", KERNELS)}
        own["stride"] = stride if number == 0 else 1
        expansion = graph.choice(f"{block}.expansion", EXPANSIONS)
        made = graph.choose(
            f"{block}.op",
            graph.choice(f"{block}.kind", KINDS),
            {"mbconv": Make(_mbconv, x, expansion=expansion, **own), "conv": Make(ops.conv, x, act="relu", **own)},
        )
        x = made if number < min(depths) else graph.choose(block, depth, _by_depth(depths, number, made, x))
    return x


def _by_depth(depths: tuple[int, int], number: int, made: str, before: str) -> dict[int, str]:
    """Return for each depth of a level what its block with a number is: the block, or what it would read."""
    return {depth: made if number < depth else before for depth in depths}


def _joined(graph: ChoiceGraph, name: str, low: str, skip: str, channels: Extent) -> str:
    """State the first half of a level of the decoder: twice the resolution, and the skip connection."""
    y = graph.add(f"{name}.reduce", ops.conv, low, channels=channels)
    y = graph.add(f"{name}.up", ops.upsample, y, factor=2)
    join, kernel = graph.choice(f"{name}.join", JOINS), graph.choice(f"{name}.join_kernel", JOIN_KERNELS)
    joined = graph.choose(f"{name}.skip", join, {"sum": Make(ops.add, y, skip), "concat": Make(ops.concat, y, skip)})
    convolved = {how: Make(ops.conv, joined, channels=channels, kernel=kernel, act="relu") for how in JOINS}
    return graph.choose(f"{name}.conv", join, convolved)


def _mbconv(shape: Shape, *, channels: int, kernel: int, expansion: int, stride: int) -> Op:
    """Make an inverted residual."""
    hidden = shape[0] * expansion
    return ops.inverted_residual(shape, channels, kernel=kernel, stride=stride, hidden=hidden, squeeze=0, act="relu")


def _block_text(values: Mapping[str, Value], block: str) -> str:
    kind, kernel = str(values[f"{block}.kind"]), values[f"{block}.kernel"]
    return f"{_LETTERS[kind]}{kernel}" + (f"e{values[f'{block}.expansion']}" if kind == "mbconv" else "")


def _blocks_read(blocks: Sequence[str], name: str) -> dict[str, Value]:
    """Return the values of a level's blocks by the names of their choices."""
    values: dict[str, Value] = {}
    for number, text in enumerate(blocks):
        match, block = _BLOCK.match(text), f"{name}.block{number}"
        if match is None:
            raise ValueError("no block")
        plain, kernel, expansion = match.groups()
        values |= {f"{block}.kind": "mbconv" if plain is None else "conv", f"{block}.kernel": int(plain or kernel)}
        values |= {f"{block}.expansion": int(expansion)} if plain is None else {}
    return values
