"""`convnet1d`: elastic convolutional networks for signals."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

from hwnas._errors import SpaceError
from hwnas.spaces._base import Architecture, require_positive
from hwnas.spaces._choice_graph import ChoiceGraph
from hwnas.spaces._choice_space import ChoiceGraphSpace
from hwnas.spaces._frontend import LogMelFrontEnd, frontend_defaults, wants_logmel
from hwnas.spaces._rounding import divisible, scaled
from hwnas.spaces._several import several, several_widths
from hwnas.spaces._stage_text import StageText, Word
from hwnas.spaces._task import Task
from latency_tables import Op, Shape
from profilers import ops

_FILTER = re.compile(r"k([0-9]+)(?:d([0-9]+))?\Z")
_LAST_LENGTH = 16
"""Length of the last feature map, about, if every stride has its smaller value."""
_MOST_STRIDE_BITS = 2
"""Strides of stages are 1, 2 or 4."""
_SQUEEZES = (0, 1)


@dataclass(frozen=True)
class Stage:
    """Channels of a stage at width 1, and its filters: ``k7d2`` is a kernel of 7 with a dilation of 2."""

    channels: int
    filters: tuple[str, ...]


@dataclass(frozen=True)
class Preset:
    """Ranges of one member of the family: channels behind the stem, stages, depths, expansions and widths."""

    stem: int
    stages: tuple[Stage, ...]
    depths: tuple[int, ...]
    expansions: tuple[int, ...]
    widths: tuple[float, ...]


_SHORT, _MIDDLE, _LONG = ("k3", "k5", "k9"), ("k3", "k7", "k7d2", "k15"), ("k3", "k7", "k15", "k31")
PRESETS = {
    "small": Preset(16, (Stage(32, _SHORT), Stage(64, _MIDDLE), Stage(96, _LONG)), (1, 2, 3), (1, 2, 3), (0.5, 1.0)),
    "large": Preset(32, (Stage(64, _SHORT), Stage(128, _MIDDLE), Stage(192, _LONG)), (2, 3, 4), (2, 3, 4), (0.75, 1.0)),
}
"""`small` has networks of a tenth to a few times the multiply-accumulates of DS-CNN (2.7 million, Zhang et al. 2017,
arXiv 1711.07128); `large` has about ten times as many."""


class ConvNet1d(ChoiceGraphSpace):
    """Convolutional networks over time with elastic depth, width, expansion, kernels, dilation and strides.

    A stem, three stages of inverted residual blocks (without expansion these are depthwise-separable), a pooling over
    time and a linear layer. Signals are maps ``(channels, 1, length)`` inside the network: ONNX Runtime has fast
    (blocked) kernels for convolutions over two axes, not for those over one.

    Args:
        preset: ``"small"`` or ``"large"``.
        classes: Number of outputs: classes, or values of a regression.
        input_channels: Channels of the signals.
        length: Samples of a signal.
        width: Width multipliers to choose from; None for the preset's own. One number or several.
        frontend: ``"none"`` to read samples, ``"logmel"`` to put a log-mel front end before the stem, whose bands are
            then the channels.
        sample_rate: Front end: samples a second; 16000 by default.
        window_ms: Front end: milliseconds of a frame; 30 by default. One number or several.
        hop_ms: Front end: milliseconds between frames, 20 by default. One number or several.
        bands: Front end: number of mel bands, 40 by default.
        high_hz: Front end: upper end of the bands; half the sample rate by default.

    Raises:
        SpaceError: An unknown preset, or a setting out of range.
    """

    name = "convnet1d"

    def __init__(
        self,
        preset: str = "small",
        classes: int = 10,
        input_channels: int = 1,
        length: int = 8000,
        width: float | Sequence[float] | None = None,
        frontend: str = "none",
        sample_rate: int | None = None,
        window_ms: float | Sequence[float] | None = None,
        hop_ms: float | Sequence[float] | None = None,
        bands: int | None = None,
        high_hz: int | None = None,
    ) -> None:
        if not isinstance(preset, str) or preset not in PRESETS:
            raise SpaceError(f"space convnet1d: unknown preset {preset!r}; known presets: {', '.join(PRESETS)}")
        require_positive(self.name, {"classes": classes, "input_channels": input_channels, "length": length})
        self.preset = PRESETS[preset]
        self._preset_name, self._classes, self._input = preset, classes, (input_channels, length)
        self._widths = several_widths(self.name, width, self.preset.widths)
        framing = {"sample_rate": sample_rate, "high_hz": high_hz}
        self._frontend: LogMelFrontEnd | None = None
        if wants_logmel(self.name, frontend, hop_ms=hop_ms, window_ms=window_ms, bands=bands, **framing):
            counts, hops = several(self.name, "bands", bands, (40,)), several(self.name, "hop_ms", hop_ms, (20.0,))
            if len(counts) > 1:
                raise SpaceError(f"space convnet1d: mel bands are its channels, so bands must be one, got {bands}")
            self._frontend = LogMelFrontEnd.of(self.name, self._input, hops, counts, window_ms, framing)

    @property
    def settings(self) -> dict[str, object]:
        """Keyword arguments of the constructor."""
        return {
            "preset": self._preset_name,
            "classes": self._classes,
            "input_channels": self._input[0],
            "length": self._input[1],
            "width": list(self._widths),
            **(self._frontend.settings if self._frontend else {}),
        }

    @classmethod
    def defaults_from(cls, task: Task, chosen: Mapping[str, object] | None = None) -> dict[str, object]:
        """Return the outputs, channels and length of a task; for a front end also its sample rate."""
        defaults = {**super().defaults_from(task, chosen), "length": task.input_shape[-1]}
        return defaults | (frontend_defaults(task) if (chosen or {}).get("frontend") == "logmel" else {})

    def state(self) -> ChoiceGraph:
        """State the stem, stages of blocks of which the last may be skipped, and the classifier."""
        graph = ChoiceGraph()
        width = graph.choice("width", self._widths)
        read = self._frontend.add(graph) if self._frontend else graph.read(*self._input)
        x = graph.add("signal", _as_row, read)
        channels = partial(scaled, width)

        stem, *strides = self._strides
        x = graph.add(
            "stem",
            _stem,
            x,
            channels=channels(self.preset.stem),
            kernel=graph.choice("stem.kernel", (2 * stem + 1, 4 * stem + 1)),
            stride=graph.choice("stem.stride", (stem, 2 * stem)),
        )
        for s, (stage, stride) in enumerate(zip(self.preset.stages, strides, strict=True)):
            last = s + 1 == len(strides)
            first = graph.choice(f"stage{s}.stride", (stride, 2 * stride)) if last else stride
            depth = graph.choice(f"stage{s}.depth", self.preset.depths)
            for b in range(max(self.preset.depths)):
                x = graph.add(
                    f"stage{s}.block{b}",
                    _block,
                    x,
                    when=(depth, partial(operator.lt, b)),
                    channels=channels(stage.channels),
                    taps=graph.choice(f"stage{s}.block{b}.kernel", stage.filters),
                    expansion=graph.choice(f"stage{s}.block{b}.expansion", self.preset.expansions),
                    squeeze=graph.choice(f"stage{s}.block{b}.squeeze", _SQUEEZES),
                    stride=first if b == 0 else 1,
                )
        x = graph.add("pool", ops.global_pool, x)
        return graph.finish(graph.add("classes", ops.linear, x, features=self._classes))

    @cached_property
    def size(self) -> int:
        """Number of distinct networks: choices of absent blocks are not counted."""
        total = math.prod(len(c.values) for c in self.choices if "stage" not in c.name or c.name.endswith(".stride"))
        for stage in self.preset.stages:
            options = len(stage.filters) * len(self.preset.expansions) * len(_SQUEEZES)
            total *= sum(options**depth for depth in self.preset.depths)
        return total

    def format(self, arch: Architecture) -> str:
        """Return ``w1.0_n8k17_k3e2s0+k9e1s1_...``: width, stride and kernel of the stem, then the blocks of each stage.

        The last stage begins with its stride, ``t4:``; with a front end, ``m40h20`` follows the width.
        """
        return self._text.format(self.canonical(arch).values)

    def parse(self, text: str) -> Architecture:
        """Read what `format` prints."""
        return Architecture(self._text.parse(text))

    @cached_property
    def _text(self) -> StageText:
        words = [Word((("w", "width"),))]
        words += [Word((("", "frontend"),))] if self._frontend else []
        words.append(Word((("n", "stem.stride"), ("k", "stem.kernel"))))
        for s in range(len(self.preset.stages)):
            blocks = tuple(
                (("", f"{name}.kernel"), ("e", f"{name}.expansion"), ("s", f"{name}.squeeze"))
                for name in (f"stage{s}.block{b}" for b in range(max(self.preset.depths)))
            )
            own = (("t", f"stage{s}.stride"),) if s + 1 == len(self.preset.stages) else ()
            words.append(Word(own, f"stage{s}.depth", blocks))
        return StageText(self.name, self.choices, words)

    @cached_property
    def _strides(self) -> list[int]:
        """The smaller stride of the stem, and of each stage: the longer the signal, the larger."""
        length = max(self._frontend.frames) if self._frontend else self._input[1]
        stages = len(self.preset.stages)
        bits = max(0, round(math.log2(length / _LAST_LENGTH)))
        each = min(_MOST_STRIDE_BITS, max(1, math.ceil(bits / (stages + 1) - 0.5)))
        shared = [min(each, max(0, bits - each * later)) for later in reversed(range(stages))]
        return [1 << (bits - sum(shared)), *(1 << own for own in shared)]


def _as_row(shape: Shape) -> Op:
    """Make the op that puts a signal, or the bands of a map, into a map of height 1."""
    return ops.reshape(shape, (math.prod(shape[:-1]), 1, shape[-1]))


def _stem(shape: Shape, *, channels: int, kernel: int, stride: int) -> Op:
    """Make the first convolution."""
    return ops.conv(shape, channels, (1, kernel), stride=(1, stride), act="relu")


def _block(shape: Shape, *, channels: int, taps: str, expansion: int, squeeze: int, stride: int) -> Op:
    """Make an inverted residual block over time."""
    match = _FILTER.match(taps)
    assert match is not None
    hidden = shape[0] * expansion
    return ops.inverted_residual(
        shape,
        channels,
        kernel=(1, int(match.group(1))),
        stride=(1, stride),
        dilation=(1, int(match.group(2) or 1)),
        hidden=hidden,
        squeeze=divisible(hidden / 4) if squeeze else 0,
        act="relu",
    )
