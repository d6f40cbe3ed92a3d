"""`dscnn`: depthwise-separable networks on spectrograms, after DS-CNN."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import Any

from hwnas._errors import SpaceError
from hwnas.spaces._base import Architecture, Choice, require_positive
from hwnas.spaces._choice_graph import ChoiceGraph
from hwnas.spaces._choice_space import ChoiceGraphSpace
from hwnas.spaces._frontend import FRONTEND, LogMelFrontEnd, frontend_defaults, wants_logmel
from hwnas.spaces._several import several
from hwnas.spaces._stage_text import StageText, Word
from hwnas.spaces._task import Task
from latency_tables import Op, Shape
from profilers import ops

STEMS = ("2x6", "4x10", "6x16")
"""Kernels of the first convolution, bands x frames; all even, so that smaller ones lie at the centre of larger ones."""
KERNELS = (3, 5)
DEPTHS = (1, 2, 3)
STRIDES = (1, 2)
SEPARABLE, DENSE = "separable", "dense"
PRESETS: Mapping[str, tuple[str, ...]] = {"separable": (SEPARABLE,), "both": (SEPARABLE, DENSE)}
"""Kinds of blocks that a stage chooses from."""
_STEM_STRIDE = (2, 2)


class DSCNN(ChoiceGraphSpace):
    """Depthwise-separable convolutional networks on maps of mel bands and frames.

    A convolution with stride 2, two stages of depthwise-separable blocks, a pooling, a linear layer. The choices are
    the front end's bands, hop and window, the kernel of the first convolution, the channels of each part, the depth and
    kernels of each stage, and the stride of the second stage. DS-CNN (Zhang et al. 2017, arXiv 1711.07128) in the size
    of MLPerf Tiny's keyword spotting is a member: `reference`.

    With the preset ``both`` each stage has separable or dense blocks (one convolution each), and the first stage has a
    choice of stride, too. Depthwise convolutions take longer than their multiply-accumulates suggest, so dense blocks
    can be faster at equal accuracy.

    Args:
        preset: ``"separable"`` or ``"both"``.
        classes: Number of outputs: classes, or values of a regression.
        input_channels: Channels of the signals, or of the maps.
        filters: Channels of the convolutions to choose from. One number or several.
        frontend: ``"logmel"`` to read samples, ``"none"`` to read maps ``(input_channels, bands, frames)``.
        length: Front end: samples of a signal; 16000 by default.
        sample_rate: Front end: samples a second; 16000 by default.
        window_ms: Front end: milliseconds of a frame; 30 by default. One number or several.
        hop_ms: Front end: milliseconds between frames, 20 and 40 by default. One number or several.
        bands: Mel bands, 10 and 20 by default. One number or several; one of maps that are read, 10 by default.
        frames: Frames of maps that are read; 49 by default.
        high_hz: Front end: upper end of the bands; half the sample rate by default.

    Raises:
        SpaceError: A setting out of range.
    """

    name = "dscnn"

    def __init__(
        self,
        preset: str = "separable",
        classes: int = 10,
        input_channels: int = 1,
        filters: int | Sequence[int] | None = None,
        frontend: str = "logmel",
        length: int | None = None,
        sample_rate: int | None = None,
        window_ms: float | Sequence[float] | None = None,
        hop_ms: float | Sequence[float] | None = None,
        bands: int | Sequence[int] | None = None,
        frames: int | None = None,
        high_hz: int | None = None,
    ) -> None:
        if not isinstance(preset, str) or preset not in PRESETS:
            raise SpaceError(f"space dscnn: unknown preset {preset!r}; known presets: {', '.join(PRESETS)}")
        self._preset, self._kinds = preset, PRESETS[preset]
        self._filters = several(self.name, "filters", filters, (16, 32, 48, 64))
        require_positive(self.name, {"classes": classes, "input_channels": input_channels})
        for count in self._filters:
            require_positive(self.name, {"filters": count})
        self._classes, self._input_channels = classes, input_channels
        framing = {"sample_rate": sample_rate, "high_hz": high_hz}
        self._frontend: LogMelFrontEnd | None = None
        if wants_logmel(self.name, frontend, length=length, hop_ms=hop_ms, window_ms=window_ms, **framing):
            if frames is not None:
                raise SpaceError(
                    "space dscnn: frames follow from the front end; leave frames out, or set frontend=none"
                )
            hops = several(self.name, "hop_ms", hop_ms, (20.0, 40.0))
            counts = several(self.name, "bands", bands, (10, 20))
            signal = (input_channels, 16_000 if length is None else length)
            self._frontend = LogMelFrontEnd.of(self.name, signal, hops, counts, window_ms, framing)
            return
        counts = several(self.name, "bands", bands, (10,))
        if len(counts) > 1:
            raise SpaceError(f"space dscnn: maps that are read have one number of bands, got {list(counts)}")
        self._map = (input_channels, counts[0], 49 if frames is None else frames)
        require_positive(self.name, {"bands": self._map[1], "frames": self._map[2]})

    @property
    def settings(self) -> dict[str, object]:
        """Keyword arguments of the constructor."""
        own: dict[str, object] = {
            **({} if self._preset == "separable" else {"preset": self._preset}),
            "classes": self._classes,
            "input_channels": self._input_channels,
            "filters": list(self._filters),
        }
        if self._frontend is not None:
            return {**own, **self._frontend.settings}
        return {**own, "frontend": "none", "bands": self._map[1], "frames": self._map[2]}

    @classmethod
    def defaults_from(cls, task: Task, chosen: Mapping[str, object] | None = None) -> dict[str, object]:
        """Return the outputs and channels of a task; of signals length and sample rate, of maps bands and frames.

        For a task whose samples are maps, the front end is ``"none"``.
        """
        defaults = super().defaults_from(task, chosen)
        if len(task.input_shape) == 2:
            return defaults | frontend_defaults(task)
        bands, frames = task.input_shape[-2:]
        return {**defaults, "frontend": "none", "bands": bands, "frames": frames}

    def reference(self) -> Architecture:
        """Return DS-CNN as in MLPerf Tiny: a 10x4 convolution and four blocks of 64 channels with kernels of 3.

        Its map has 10 bands and, for signals of a second, 49 frames (a hop of 20 ms), if the space has such a form;
        otherwise it is that of the space's first one. DS-CNN itself reads 10 MFCC coefficients.

        Raises:
            SpaceError: The space has no networks of 64 channels.
        """
        values: dict[str, int | float | str] = {
            "stem.kernel": "4x10",
            "stem.channels": 64,
            "stage0.channels": 64,
            "stage0.depth": 2,
            "stage0.stride": 1,
            "stage1.channels": 64,
            "stage1.depth": 2,
            "stage1.stride": 1,
        }
        if self._frontend is not None:
            forms = self._frontend.forms
            values[FRONTEND] = next((form for form in ("m10h20", "m10h20w30") if form in forms), forms[0])
        arch = Architecture(tuple(values.get(choice.name, choice.values[0]) for choice in self.choices))
        return self.decode(self.encode(arch))

    def state(self) -> ChoiceGraph:
        """State the front end, the first convolution, both stages and the classifier."""
        graph = ChoiceGraph()
        read = self._frontend.add(graph) if self._frontend else graph.read(*self._map)
        x = graph.add(
            "stem",
            _stem,
            read,
            kernel=graph.choice("stem.kernel", STEMS),
            channels=graph.choice("stem.channels", self._filters),
        )
        for s in range(2):
            channels = graph.choice(f"stage{s}.channels", self._filters)
            stride = graph.choice(f"stage{s}.stride", STRIDES) if s in self._halving else 1
            kind = graph.choice(f"stage{s}.kind", self._kinds) if len(self._kinds) > 1 else None
            depth = graph.choice(f"stage{s}.depth", DEPTHS)
            for b in range(max(DEPTHS)):
                x = _block(graph, f"stage{s}.block{b}", x, channels, stride if b == 0 else 1, kind, (depth, b))
        x = graph.add("pool", ops.global_pool, x)
        return graph.finish(graph.add("classes", ops.linear, x, features=self._classes))

    @cached_property
    def size(self) -> int:
        """Number of distinct networks: choices of absent blocks are not counted."""
        stage = sum(len(KERNELS) ** depth for depth in DEPTHS)
        others = [len(c.values) for c in self.choices if not c.name.endswith((".depth", ".kernel"))]
        return math.prod(others) * len(STEMS) * int(stage**2)

    def format(self, arch: Architecture) -> str:
        """Return ``m10h20_k4x10c64_c64:k3+k3_c64t1:k3+k5``; with dense stages ``m10h20_k4x10c64_dense-c64t1:k3_...``.

        The words are the front end (if there is one), kernel and channels of the first convolution, then for each stage
        its kind (if it has a choice), its channels, its stride, and the kernels of its blocks.
        """
        return self._text.format(self.canonical(arch).values)

    def parse(self, text: str) -> Architecture:
        """Read what `format` prints."""
        return Architecture(self._text.parse(text))

    @property
    def _halving(self) -> tuple[int, ...]:
        """The stages whose stride is a choice."""
        return (1,) if len(self._kinds) == 1 else (0, 1)

    @cached_property
    def _text(self) -> StageText:
        words = [Word((("", FRONTEND),))] if self._frontend else []
        words.append(Word((("k", "stem.kernel"), ("c", "stem.channels"))))
        for s in range(2):
            kind = (("", f"stage{s}.kind"),) if len(self._kinds) > 1 else ()
            mark = "-c" if kind else "c"
            stride = (("t", f"stage{s}.stride"),) if s in self._halving else ()
            own = (*kind, (mark, f"stage{s}.channels"), *stride)
            blocks = tuple((("k", f"stage{s}.block{b}.kernel"),) for b in range(max(DEPTHS)))
            words.append(Word(own, f"stage{s}.depth", blocks))
        return StageText(self.name, self.choices, words)


def _block(
    graph: ChoiceGraph,
    name: str,
    x: str,
    channels: Choice,
    stride: int | Choice,
    kind: Choice | None,
    present: tuple[Choice, int],
) -> str:
    """Append a block, separable or of a chosen kind; it passes `x` on where the depth is not above its number."""
    depth, number = present
    when, kernel = (depth, partial(operator.lt, number)), graph.choice(f"{name}.kernel", KERNELS)
    read: dict[str, Any] = {"when": when, "kernel": kernel, "stride": stride, "act": "relu"}
    separable = graph.add(f"{name}.depthwise", ops.depthwise, x, **read)
    separable = graph.add(f"{name}.pointwise", ops.conv, separable, when=when, channels=channels, act="relu")
    if kind is None:
        return separable
    dense = graph.add(f"{name}.dense", ops.conv, x, channels=channels, **read)
    return graph.choose(f"{name}.kind", kind, {SEPARABLE: separable, DENSE: dense})


def _stem(shape: Shape, *, kernel: str, channels: int) -> Op:
    """Make the first convolution: "same" padding, with the larger half at the end where it is odd (as TensorFlow)."""
    extents = tuple(map(int, kernel.split("x")))
    total = [
        max(0, (math.ceil(n / s) - 1) * s + k - n) for n, k, s in zip(shape[1:], extents, _STEM_STRIDE, strict=True)
    ]
    pads = (*(pad // 2 for pad in total), *(pad - pad // 2 for pad in total))
    return ops.conv(shape, channels, extents, stride=_STEM_STRIDE, pads=pads, act="relu")
