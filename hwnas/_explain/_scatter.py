"""Points on two axes as SVG inside a page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from hwnas._explain._pictures import Scale
from hwnas._report._html import escape

Point = tuple[float, float, str, bool]
"""Its values, what to say of it, and whether it is emphasised."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 64.0, 780.0, 24.0, 330.0


def axis_scale(values: Sequence[float], start: float, end: float, *, log: bool) -> Scale:
    """Return a scale with some room beyond the values.

    Args:
        values: The values, at least one.
        start: Place of the lowest.
        end: Place of the highest.
        log: Whether it is logarithmic; the values are then above 0.
    """
    low, high = min(values), max(values)
    if log:
        return Scale(low / 1.25, high * 1.25, start, end, log=True)
    room = 0.08 * (high - low) or 0.05 * abs(high) or 1.0
    return Scale(low - room, high + room, start, end)


def scatter(
    points: Sequence[Point],
    across_label: str,
    up_label: str,
    *,
    log: bool = False,
    upright: float | None = None,
    roof: float | None = None,
    slope: float | None = None,
    sizes: Sequence[float] | None = None,
    named: Mapping[int, str] | None = None,
) -> str:
    """Return points on two axes.

    Args:
        points: The points, at least one.
        across_label: Label of the horizontal axis.
        up_label: Label of the vertical axis.
        log: Whether both axes are logarithmic.
        upright: Where to draw a line upwards, such as a budget; None for none.
        roof: Where to draw a line across; None for none.
        slope: Ratio of both values along a third line; None for none.
        sizes: Radius of each point in pixels; None for equal ones.
        named: Names that points carry, by the number of the point; None for none.
    """
    across = axis_scale([p[0] for p in points] + ([upright] if upright else []), _LEFT, _RIGHT, log=log)
    up = axis_scale([p[1] for p in points] + ([roof] if roof else []), _BOTTOM, _TOP, log=log)
    parts = [_axes(across, up, across_label, up_label)]
    if upright is not None:
        parts.append(_line(across.at(upright), _BOTTOM, across.at(upright), _TOP))
    if roof is not None:
        parts.append(_line(_LEFT, up.at(roof), _RIGHT, up.at(roof)))
    if slope is not None:
        parts.append(_slope(across, up, slope, roof))
    for number in sorted(range(len(points)), key=lambda i: -(sizes[i] if sizes else 1)):
        x, y, text, emphasised = points[number]
        radius = sizes[number] if sizes is not None else 6.0
        kind = "dot strong" if emphasised else "dot"
        mark = f"cx={across.at(x):.1f} cy={up.at(y):.1f} r={radius:.1f}"
        parts.append(f"<circle class='{kind}' {mark}><title>{escape(text)}</title></circle>")
    lowest = math.inf
    upwards = sorted((named or {}).items(), key=lambda item: points[item[0]][1])  # so that no name covers another
    for i, name in upwards:
        lowest = min(up.at(points[i][1]), lowest - 20.0)
        parts.append(_name(across.at(points[i][0]), lowest, name))
    label = escape(f"{up_label} against {across_label}")
    return f"<svg class=plot viewBox='0 0 800 380' role=img aria-label='{label}'>{''.join(parts)}</svg>"


def _axes(across: Scale, up: Scale, across_label: str, up_label: str) -> str:
    parts = [
        f"<line class=grid x1={across.at(tick):.1f} x2={across.at(tick):.1f} y1={_TOP:g} y2={_BOTTOM:g} />"
        f"<text x={across.at(tick):.1f} y={_BOTTOM + 16:g} text-anchor=middle>{tick:.6g}</text>"
        for tick in across.ticks(8)
    ]
    parts += [
        f"<line class=grid x1={_LEFT:g} x2={_RIGHT:g} y1={up.at(tick):.1f} y2={up.at(tick):.1f} />"
        f"<text x={_LEFT - 6:g} y={up.at(tick) + 4:.1f} text-anchor=end>{tick:.6g}</text>"
        for tick in up.ticks()
    ]
    middle = (_LEFT + _RIGHT) / 2
    parts.append(f"<text x={middle:g} y={_BOTTOM + 40:g} text-anchor=middle>{escape(across_label)}</text>")
    parts.append(f"<text x=4 y=14>{escape(up_label)}</text>")
    return "".join(parts)


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f"<line class=limit x1={x1:.1f} y1={y1:.1f} x2={x2:.1f} y2={y2:.1f} />"


def _slope(across: Scale, up: Scale, slope: float, roof: float | None) -> str:
    """Draw ``y = slope x`` where it is within both axes and below the roof."""
    low = max(across.low, up.low / slope)
    high = min(across.high, min(up.high, roof or up.high) / slope)
    return _line(across.at(low), up.at(slope * low), across.at(high), up.at(slope * high)) if high > low else ""


def _name(x: float, y: float, text: str) -> str:
    short = text if len(text) <= 32 else f"{text[:14]}...{text[-15:]}"
    anchor, shift = ("end", -10) if x > (_LEFT + _RIGHT) / 2 else ("start", 10)
    return f"<text class=name x={x + shift:.1f} y={y - 6:.1f} text-anchor={anchor}>{escape(short)}</text>"
