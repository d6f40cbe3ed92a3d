"""Front ends: what turns raw samples into a map inside the network."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from hwnas._errors import SpaceError
from hwnas.spaces._base import require_positive
from hwnas.spaces._choice_graph import ChoiceGraph
from hwnas.spaces._several import several
from hwnas.spaces._task import Task
from latency_tables import Op, Shape
from profilers import MOST_PIECES, MOST_SAMPLES, empty_mel_bands, ops

FRONTENDS = ("none", "logmel")
FRONTEND = "frontend"
"""Name of the choice, and of the node."""
_FORM = re.compile(r"m([0-9]+)h([0-9]+(?:\.[0-9]+)?)(?:w([0-9]+(?:\.[0-9]+)?))?\Z")
_PARTS = 8
"""Windows are multiples of so many parts of a hop, or of fewer: frames are then cut out in few pieces."""
_LONG_HOP = 4 * _PARTS
"""Shorter hops, in samples, are not divided."""
_CLOSE = 0.03
"""How far a window may be from the one that was asked for, relative, to be cut out in fewer pieces."""
_LEAST_MS, _MOST_MS = 0.01, 60_000
"""Range of windows and hops."""


@dataclass(frozen=True)
class LogMelFrontEnd:
    """A log-mel front end; its number of bands, its hop and its window can be choices.

    Attributes:
        space: Name of the space, for errors.
        channels: Channels of the signal.
        length: Its samples.
        sample_rate: Samples a second.
        windows_ms: Milliseconds of a frame, to choose from.
        hops_ms: Milliseconds between the starts of two frames, to choose from.
        bands: Numbers of mel bands, to choose from.
        high_hz: Upper end of the bands; 0 for half the sample rate.

    Raises:
        SpaceError: A value is out of range, or a window is longer than the signal.
    """

    space: str
    channels: int
    length: int
    sample_rate: int
    windows_ms: tuple[float, ...]
    hops_ms: tuple[float, ...]
    bands: tuple[int, ...]
    high_hz: int = 0

    def __post_init__(self) -> None:
        require_positive(self.space, {"length": self.length, "sample_rate": self.sample_rate})
        for count in self.bands:
            require_positive(self.space, {"bands": count})
        times = [("window_ms", window) for window in self.windows_ms] + [("hop_ms", hop) for hop in self.hops_ms]
        for name, value in times:
            if type(value) not in (int, float) or not _LEAST_MS <= value <= _MOST_MS:
                raise SpaceError(f"space {self.space}: {name} must be {_LEAST_MS} to {_MOST_MS}, got {value}")
        if type(self.high_hz) is not int or not 0 <= 2 * self.high_hz <= self.sample_rate:
            raise SpaceError(
                f"space {self.space}: high_hz must be above 0 and at most half the sample rate, got {self.high_hz}"
            )
        for form in self.forms:
            self.op((self.channels, self.length), form=form)

    @classmethod
    def of(
        cls,
        space: str,
        signal: Shape,
        hops_ms: tuple[float, ...],
        bands: tuple[int, ...],
        window_ms: float | Sequence[float] | None,
        framing: Mapping[str, int | None],
    ) -> LogMelFrontEnd:
        """Make a front end with defaults: a sample rate of 16 kHz, frames of 30 ms, all frequencies.

        Args:
            space: Name of the space, for errors.
            signal: ``(channels, length)``.
            hops_ms: As the attribute.
            bands: As the attribute.
            window_ms: One window or several; None for the default.
            framing: ``sample_rate`` and ``high_hz``; None for the default.
        """
        stated = {name: value for name, value in framing.items() if value is not None}
        values: dict[str, Any] = {"sample_rate": 16_000, **stated}
        windows_ms = several(space, "window_ms", window_ms, (30.0,))
        channels, length = signal
        return cls(space, channels, length, windows_ms=windows_ms, hops_ms=hops_ms, bands=bands, **values)

    @property
    def frames(self) -> tuple[int, ...]:
        """Frames of the map, for each form."""
        return tuple(self.op((self.channels, self.length), form=form).output[2] for form in self.forms)

    @property
    def settings(self) -> dict[str, object]:
        """Settings of the space that state this front end."""
        return {
            "frontend": "logmel",
            "length": self.length,
            "sample_rate": self.sample_rate,
            "window_ms": self.windows_ms[0] if len(self.windows_ms) == 1 else list(self.windows_ms),
            "hop_ms": list(self.hops_ms),
            "bands": list(self.bands),
            **({"high_hz": self.high_hz} if self.high_hz else {}),
        }

    @property
    def forms(self) -> tuple[str, ...]:
        """What can be chosen: ``m40h20`` is 40 mel bands and a hop of 20 ms.

        Where windows are to choose from, ``m40h20w25`` is one with a window of 25 ms.
        """
        several_windows = len(self.windows_ms) > 1
        return tuple(
            f"m{bands}h{_plain(hop)}" + (f"w{_plain(window)}" if several_windows else "")
            for bands, hop, window in product(self.bands, self.hops_ms, self.windows_ms)
        )

    def add(self, graph: ChoiceGraph) -> str:
        """Append the input of a graph, the choice between the forms, and the node; returns the name of the map."""
        x = graph.read(self.channels, self.length)
        return graph.add(FRONTEND, self.op, x, form=graph.choice(FRONTEND, self.forms))

    def op(self, shape: Shape, *, form: str) -> Op:
        """Make the op of a form.

        Hop and window are rounded to whole samples. The transform is as long as the window, or up to four times as long
        where bands would have no frequency.

        Raises:
            SpaceError: A window is longer than the signal, or there are too many bands.
        """
        match = _FORM.match(form)
        assert match is not None
        bands, hop_ms = int(match.group(1)), float(match.group(2))
        window_ms = float(match.group(3) or self.windows_ms[0])
        hop, window = _samples(self.sample_rate * hop_ms / 1000, self.sample_rate * window_ms / 1000)
        if window > shape[1] or window > MOST_SAMPLES:
            most = min(shape[1], MOST_SAMPLES)
            raise SpaceError(
                f"space {self.space}: a window of {_plain(window_ms)} ms has {window} samples at "
                f"{self.sample_rate} Hz, but can have {most} at most (the signal has {shape[1]}); "
                "make window_ms shorter"
            )
        if window // math.gcd(window, hop) > MOST_PIECES:
            raise SpaceError(
                f"space {self.space}: a hop of {_plain(hop_ms)} ms is too short for a window of "
                f"{_plain(window_ms)} ms at {self.sample_rate} Hz; make hop_ms longer"
            )
        for fft in (window, 2 * window, 4 * window):
            op = ops.logmel(shape, bands, rate=self.sample_rate, window=window, hop=hop, fft=fft, high=self.high_hz)
            if fft <= MOST_SAMPLES and not empty_mel_bands(op):
                return op
        raise SpaceError(
            f"space {self.space}: {bands} mel bands are too many for a window of {_plain(window_ms)} ms at "
            f"{self.sample_rate} Hz; use fewer bands or a longer window"
        )


def _samples(hop: float, window: float) -> tuple[int, int]:
    """Round a hop and a window to samples; a window is even, and a multiple of 1, 1/2, 1/4 or 1/8 of a long hop."""
    if hop < _LONG_HOP:
        return max(1, round(hop)), max(2, 2 * round(window / 2))
    whole = _PARTS * round(hop / _PARTS)
    parts, rounded = 1, 0
    while parts <= _PARTS:
        part = whole // parts
        rounded = max(1, round(window / part)) * part
        if rounded % 2 == 0 and abs(rounded - window) <= _CLOSE * window:
            break
        parts *= 2
    return whole, rounded + rounded % 2 * (whole // _PARTS)


def wants_logmel(space: str, frontend: str, **settings: object) -> bool:
    """Return whether a space has a log-mel front end.

    Args:
        space: Name of the space, for errors.
        frontend: One of `FRONTENDS`.
        settings: Settings that only a front end has; None where they are not stated.

    Raises:
        SpaceError: An unknown front end, or a setting of a front end without one.
    """
    if frontend not in FRONTENDS:
        raise SpaceError(f"space {space}: frontend must be one of {', '.join(FRONTENDS)}, got {frontend!r}")
    stated = [name for name, value in settings.items() if value is not None]
    if frontend == "none" and stated:
        raise SpaceError(f"space {space}: {stated[0]} is a setting of the front end; set frontend=logmel too")
    return frontend == "logmel"


def frontend_defaults(task: Task) -> dict[str, object]:
    """Return the settings of a front end that follow from a task: its length, and its sample rate where it has one."""
    rate = getattr(task, "sample_rate", None)
    return {"length": task.input_shape[-1], **({} if rate is None else {"sample_rate": round(rate)})}


def _plain(number: float) -> str:
    """Return a number without a needless fraction."""
    return f"{number:.10g}"
