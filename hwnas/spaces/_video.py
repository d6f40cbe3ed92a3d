"""`video`: inverted residuals for clips, whose middle operator is a choice."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

from hwnas._errors import SpaceError
from hwnas.spaces._base import Architecture, Value, require_positive
from hwnas.spaces._choice_graph import ChoiceGraph
from hwnas.spaces._choice_space import ChoiceGraphSpace
from hwnas.spaces._rounding import scaled
from hwnas.spaces._task import Task
from latency_tables import Op, Shape
from profilers import ops

Kernel = tuple[int, int, int]
"""Extents along time, height and width."""


@dataclass(frozen=True)
class Middle:
    """What stands between the two 1x1x1 convolutions of a block.

    Attributes:
        kernel: Kernel of the depthwise convolution; zeros for none.
        beside: Kernel of a second depthwise convolution, added to the first; None for none.
        shifts: Whether an eighth of the channels each moves one step forward and back in time first.
        still: The middle operator that sees the same of single frames, and nothing of their neighbours.
    """

    kernel: Kernel
    beside: Kernel | None = None
    shifts: bool = False
    still: str = "1x3x3"


SKIP = "skip"
MIDDLES: Mapping[str, Middle] = {
    SKIP: Middle((0, 0, 0), still=SKIP),
    "3x1x1": Middle((3, 1, 1)),
    "shift": Middle((1, 3, 3), shifts=True),
    "1x3x3": Middle((1, 3, 3)),
    "sum": Middle((1, 3, 3), (3, 1, 1)),
    "1x5x5": Middle((1, 5, 5), still="1x5x5"),
    "3x3x3": Middle((3, 3, 3)),
}
"""The middle operators by name, from few to many multiply-accumulates."""
STEM = (16, 2)
STAGES = ((16, 1), (24, 2), (40, 2))
LATER_STAGES = ((64, 2), (96, 2))
"""Channels at width 1 and spatial stride of the stem and of each stage; the later ones are for frames of `LARGE`."""
LARGE = 64
DEPTHS = (1, 2, 3)
EXPANSIONS = (2, 3, 4)
WIDTHS = (0.5, 0.75, 1.0)
HEAD = 160
_FRAMES, _SIZES = (2, 64), (8, 256)
_SHARE = 8
_BLOCK = re.compile(r"(\w+)\.e([0-9]+)\Z")


class Video(ChoiceGraphSpace):
    """Inverted residual networks for clips; each block chooses what it looks at in space and time.

    After the idea of PV-NAS (Wang et al. 2020, arXiv 2011.00826), which has no public code, with operators of our own
    choice: blocks choose among 1x3x3, 1x5x5, 3x1x1, the sum of 1x3x3 and 3x1x1, 3x3x3, the temporal shift (Lin et al.
    2019, arXiv 1811.08383) followed by 1x3x3, and nothing (``skip``: the two 1x1x1 convolutions alone, in blocks that
    keep the size). Time is never strided; the head averages over it.

    Args:
        classes: Number of classes.
        image_channels: Channels of the frames.
        frames: Frames of a clip.
        image_size: Height and width of the frames; frames of `LARGE` pixels and more pass five stages, others three.
        width: Width multipliers to choose from; None for 0.5, 0.75 and 1. One number or several.

    Raises:
        SpaceError: A setting is out of range.
    """

    name = "video"

    def __init__(
        self,
        classes: int = 8,
        image_channels: int = 1,
        frames: int = 8,
        image_size: int = 24,
        width: float | Sequence[float] | None = None,
    ) -> None:
        whole = {"classes": classes, "image_channels": image_channels, "frames": frames, "image_size": image_size}
        require_positive(self.name, whole)
        for name, value, (low, high) in (("frames", frames, _FRAMES), ("image_size", image_size, _SIZES)):
            if not low <= value <= high:
                raise SpaceError(f"space video: {name} must be {low} to {high}, got {value}")
        given = WIDTHS if width is None else width
        self._widths = tuple(given) if isinstance(given, Sequence) else (given,)
        usual = all(type(factor) in (int, float) and 0.25 <= factor <= 4 for factor in self._widths)
        if not usual or not 1 <= len(self._widths) <= 8 or len(set(self._widths)) != len(self._widths):
            raise SpaceError(f"space video: width must be one to eight different numbers of 0.25-4, got {width!r:.60}")
        self._whole = whole
        self.stages = STAGES + (LATER_STAGES if image_size >= LARGE else ())

    @property
    def settings(self) -> dict[str, object]:
        """Keyword arguments of the constructor."""
        return {**self._whole, "width": list(self._widths)}

    @classmethod
    def defaults_from(cls, task: Task, chosen: Mapping[str, object] | None = None) -> dict[str, object]:
        """Return classes, channels, frames and size of a task of clips."""
        defaults = super().defaults_from(task, chosen)
        if len(task.input_shape) == 4:
            _, frames, *size = task.input_shape
            defaults |= {"frames": frames, "image_size": min(size)}
        return defaults

    def state(self) -> ChoiceGraph:
        """State the stem, which looks at single frames, the stages, and the head."""
        graph = ChoiceGraph()
        width = graph.choice("width", self._widths)
        size = self._whole["image_size"]
        clip = graph.read(self._whole["image_channels"], self._whole["frames"], size, size)
        channels = partial(scaled, width)

        (count, stride), spatial = STEM, (1, 3, 3)
        x = graph.add(
            "stem", ops.conv, clip, channels=channels(count), kernel=spatial, stride=(1, stride, stride), act="relu"
        )
        for s, (count, stride) in enumerate(self.stages):
            depth = graph.choice(f"stage{s}.depth", DEPTHS)
            for b in range(max(DEPTHS)):
                x = graph.add(
                    f"stage{s}.block{b}",
                    _block(stride if b == 0 else 1),
                    x,
                    when=(depth, partial(operator.lt, b)),
                    channels=channels(count),
                    middle=graph.choice(f"stage{s}.block{b}.middle", self._middles(b)),
                    expansion=graph.choice(f"stage{s}.block{b}.expansion", EXPANSIONS),
                )
        head = graph.add("head", ops.head, x, classes=self._whole["classes"], hidden=channels(HEAD), features=0)
        return graph.finish(head)

    @cached_property
    def size(self) -> int:
        """Number of distinct networks: choices of absent blocks are not counted."""
        options = [len(self._middles(b)) * len(EXPANSIONS) for b in range(max(DEPTHS))]
        stage, blocks = 0, 1
        for depth, count in enumerate(options, start=1):
            blocks *= count
            stage += blocks * (depth in DEPTHS)
        return len(self._widths) * int(stage ** len(self.stages))

    def everywhere(self, middle: str, arch: Architecture | None = None) -> Architecture:
        """Return the network with one middle operator in every block.

        ``everywhere("3x3x3")`` is the network of 3-D convolutions, ``everywhere("1x3x3")`` one of 2-D convolutions.

        Args:
            middle: A name of `MIDDLES`; where a block cannot be without one, ``skip`` becomes ``1x3x3``.
            arch: Gives width, depths and expansions; None for the largest.

        Raises:
            SpaceError: There is no such operator.
        """
        if middle not in MIDDLES:
            raise SpaceError(f"space video: the middle operator must be one of {', '.join(MIDDLES)}, got {middle!r}")
        largest = Architecture(tuple(choice.values[-1] for choice in self.choices))
        return self._with_middles(arch or largest, lambda before: middle)

    def still(self, arch: Architecture) -> Architecture:
        """Return the network that looks at each frame alone: every middle operator without its part in time."""
        return self._with_middles(arch, lambda before: MIDDLES[before].still)

    def sees_motion(self, arch: Architecture) -> bool:
        """Return whether some block looks at several frames; else only the head's average joins them."""
        return self.still(arch) != self.canonical(arch)

    def format(self, arch: Architecture) -> str:
        """Return ``w0.5_1x3x3.e2_sum.e4+skip.e2_...``: width, then for each stage its blocks."""
        values = self.canonical(arch).values
        parts = [f"w{values[0]}"]
        for s in range(len(self.stages)):
            start = self._start(s)
            blocks = [values[start + 1 + 2 * b : start + 3 + 2 * b] for b in range(int(values[start]))]
            parts.append("+".join(f"{middle}.e{expansion}" for middle, expansion in blocks))
        return "_".join(parts)

    def parse(self, text: str) -> Architecture:
        """Read what `format` prints."""
        first, *words = text.strip().split("_")
        widths = {f"w{value}": value for value in self._widths}
        stages = [[_BLOCK.match(block) for block in word.split("+")] for word in words]
        fits = first in widths and len(stages) == len(self.stages)
        if not fits or not all(all(stage) and len(stage) in DEPTHS for stage in stages):
            raise SpaceError(
                f"space video: cannot read {text!r}; it must look like w{self._widths[0]}_1x3x3.e2_..., with "
                f"{len(self.stages)} stages of one to {max(DEPTHS)} blocks like sum.e3+skip.e2"
            )
        values: list[Value] = [widths[first]]
        for stage in stages:
            blocks: list[Value] = [value for m in stage if m for value in (m[1], int(m[2]))]
            absent = [value for b in range(len(stage), max(DEPTHS)) for value in (self._middles(b)[0], EXPANSIONS[0])]
            values += [len(stage), *blocks, *absent]
        return self.canonical(self.decode(self.encode(Architecture(tuple(values)))))

    def _middles(self, block: int) -> tuple[str, ...]:
        """Return the operators to choose from: a stage's first block may change the size, and always has one."""
        return tuple(name for name in MIDDLES if block or name != SKIP)

    def _with_middles(self, arch: Architecture, change: Callable[[str], str]) -> Architecture:
        values = list(arch.values)
        for column, choice in enumerate(self.choices):
            if choice.name.endswith(".middle"):
                wanted = change(str(values[column]))
                values[column] = wanted if wanted in choice.values else "1x3x3"
        return self.canonical(Architecture(tuple(values)))

    def _start(self, stage: int) -> int:
        """Return the column of a stage's depth; middle and expansion of each block follow."""
        return 1 + stage * (1 + 2 * max(DEPTHS))


def _block(stride: int) -> Callable[..., Op]:
    """Make blocks from their input's shape, channels, middle operator and expansion."""

    def make(shape: Shape, *, channels: int, middle: str, expansion: int) -> Op:
        """Make one block."""
        hidden, chosen = shape[0] * expansion, MIDDLES[middle]
        return ops.inverted_residual(
            shape,
            channels,
            kernel=chosen.kernel,
            stride=(1, stride, stride),
            hidden=hidden,
            squeeze=0,
            act="relu",
            beside=chosen.beside,
            shift=hidden // _SHARE if chosen.shifts else 0,
        )

    return make
