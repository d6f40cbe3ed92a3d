"""Channel axes as runs of segments, and the ties between them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(eq=False)
class Segment:
    """Units that must be kept or left out alike wherever they occur; a unit is one channel or a block of channels.

    Attributes:
        count: Number of units.
        reason: Why the units cannot be left out; empty where they can.
        merged: The segment that this one became a part of, and how many units of this one are one unit there.
        parts: What this segment was split into.
    """

    count: int
    reason: str = ""
    merged: tuple[Segment, int] | None = None
    parts: tuple[Segment, ...] = ()


@dataclass(frozen=True)
class Run:
    """A segment where it occurs in a channel axis.

    Attributes:
        segment: The segment.
        width: Channels (or features) of one unit there.
    """

    segment: Segment
    width: int

    @property
    def size(self) -> int:
        """Number of channels."""
        return self.segment.count * self.width


Axis = tuple[Run, ...]
"""The channels of a tensor, from first to last."""


def fresh(count: int, reason: str = "") -> Axis:
    """Return an axis of channels that are tied to no others."""
    return (Run(Segment(count, reason), 1),)


def resolved(axis: Iterable[Run]) -> Axis:
    """Return an axis in terms of the segments as they are by now."""
    runs: list[Run] = []
    for run in axis:
        segment, width = run.segment, run.width
        if segment.merged is not None:
            other, factor = segment.merged
            runs += resolved([Run(other, width * factor)])
        elif segment.parts:
            runs += resolved(Run(part, width) for part in segment.parts)
        else:
            runs.append(run)
    return tuple(runs)


def protect(axis: Iterable[Run], reason: str) -> None:
    """Keep all channels of an axis; a reason that was given before stays."""
    for run in resolved(axis):
        run.segment.reason = run.segment.reason or reason


def tie(a: Axis, b: Axis, reason: str) -> None:
    """Tie the channels of two axes of one size, first to first.

    Segments are split where the other axis has a border, and units become larger where the other axis has larger ones.

    Args:
        a: One axis.
        b: The other.
        reason: Why channels are kept where borders do not fall between units.
    """
    left, right = list(reversed(resolved(a))), list(reversed(resolved(b)))
    while left and right:
        one, other = _pop(left), _pop(right)
        if one.size == other.size:
            if not _merge(one, other):
                protect((one,), reason)
            continue
        short, long, rest = (one, other, right) if one.size < other.size else (other, one, left)
        if short.segment is long.segment or short.size % long.width:
            protect((*a, *b), reason)
            return
        (left if rest is right else right).append(short)
        rest += reversed(_split(long, short.size))


def cut(axis: Axis, start: int, size: int) -> Axis | None:
    """Return part of an axis, splitting segments at its ends; None where an end falls within a unit."""
    runs = list(resolved(axis))
    for border in (start, start + size):
        place = 0
        for i, run in enumerate(runs):
            if place < border < place + run.size:
                if (border - place) % run.width:
                    return None
                runs[i : i + 1] = _split(run, border - place)
                return cut(tuple(runs), start, size)
            place += run.size
    inside, place = [], 0
    for run in runs:
        if start <= place < start + size:
            inside.append(run)
        place += run.size
    return tuple(inside)


def widened(axis: Axis, factor: int) -> Axis:
    """Return an axis in which each channel became `factor` neighbours, as by flattening."""
    return tuple(Run(run.segment, run.width * factor) for run in axis)


def _pop(stack: list[Run]) -> Run:
    """Take the next run, resolved."""
    first, *others = resolved([stack.pop()])
    stack += reversed(others)
    return first


def _split(run: Run, size: int) -> Sequence[Run]:
    units = size // run.width
    segment = run.segment
    segment.parts = (Segment(units, segment.reason), Segment(segment.count - units, segment.reason))
    return [Run(part, run.width) for part in segment.parts]


def _merge(a: Run, b: Run) -> bool:
    """Make one segment of two runs of one size; returns whether each unit meets one unit."""
    one, other = a.segment, b.segment
    if one is other:
        return a.width == b.width
    width, reason = math.lcm(a.width, b.width), one.reason or other.reason
    if a.width == width:
        one.reason, other.merged = reason, (one, width // b.width)
    elif b.width == width:
        other.reason, one.merged = reason, (other, width // a.width)
    else:
        both = Segment(a.size // width, reason)
        one.merged, other.merged = (both, width // a.width), (both, width // b.width)
    return True
