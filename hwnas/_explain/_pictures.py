"""Bars and areas as SVG inside a page: no style attributes, no script."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hwnas._report._html import escape

_WIDTH = 200.0


@dataclass(frozen=True)
class Scale:
    """Maps values to places.

    Attributes:
        low: Value at `start`.
        high: Value at `end`.
        start: Place of `low`.
        end: Place of `high`.
        log: Whether the scale is logarithmic; its values are above 0.
    """

    low: float
    high: float
    start: float = 0.0
    end: float = _WIDTH
    log: bool = False

    def at(self, value: float) -> float:
        """Return the place of a value, within the ends."""
        if self.log:
            share = math.log(value / self.low) / math.log(self.high / self.low) if self.high > self.low else 0.5
        else:
            share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.0
        return self.start + min(1.0, max(0.0, share)) * (self.end - self.start)

    def ticks(self, most: int = 6) -> list[float]:
        """Return round values within the scale."""
        return _log_ticks(self.low, self.high, most) if self.log else _round_ticks(self.low, self.high, most)


def _round_ticks(low: float, high: float, most: int) -> list[float]:
    span = (high - low) / most
    if not span > 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(span))
    step = next((k * power for k in (1, 2, 5, 10) if k * power >= span), 10 * power)
    return [float(f"{i * step:.12g}") for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _log_ticks(low: float, high: float, most: int) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in (range(1, 10), (1, 2, 5), (1, 3), (1,)):
        ticks = [k * 10.0**power for power in powers for k in steps if low <= k * 10.0**power <= high]
        if len(ticks) <= most:
            return ticks
    return ticks[:: math.ceil(len(ticks) / most)]


def interval_bar(value: float, low: float, high: float, scale: Scale, mark: float | None = None) -> str:
    """Return a bar from 0 to a value, with its interval, and a mark such as a budget.

    Args:
        value: The value.
        low: Lower end of its interval.
        high: Upper end.
        scale: From 0 to the longest bar.
        mark: Where to draw a line across; None for none.
    """
    parts = [f"<rect class=length x=0 y=3 width={max(0.0, scale.at(value)):.1f} height=10 />"]
    if high > low:
        parts.append(f"<line class=spread x1={scale.at(low):.1f} x2={scale.at(high):.1f} y1=8 y2=8 />")
    if mark is not None and 0 < mark <= scale.high:
        parts.append(f"<line class=limit x1={scale.at(mark):.1f} x2={scale.at(mark):.1f} y1=0 y2=16 />")
    label = escape(f"{value:.4g} ms, 90 % interval {low:.4g} to {high:.4g} ms")
    return (
        f"<svg class=bar viewBox='0 0 {_WIDTH:g} 16' preserveAspectRatio=none role=img aria-label='{label}'>"
        f"<title>{label}</title>{''.join(parts)}</svg>"
    )


def area(values: Sequence[float], texts: Sequence[str], axis: str, label: str) -> str:
    """Return values over steps as an area, the largest one named.

    Args:
        values: One value a step, at least one.
        texts: What to say of each step.
        axis: Label of the vertical axis.
        label: What the picture shows, for readers without it.
    """
    left, right, top, bottom = 70.0, 790.0, 26.0, 210.0
    across, up = Scale(0, len(values), left, right), Scale(0, 1.05 * max(values) or 1.0, bottom, top)
    points = [f"{left:.1f},{bottom:.1f}"]
    for i, value in enumerate(values):
        points += [f"{across.at(i):.1f},{up.at(value):.1f}", f"{across.at(i + 1):.1f},{up.at(value):.1f}"]
    points.append(f"{right:.1f},{bottom:.1f}")
    grid = "".join(
        f"<line class=grid x1={left:g} x2={right:g} y1={up.at(tick):.1f} y2={up.at(tick):.1f} />"
        f"<text x={left - 6:g} y={up.at(tick) + 4:.1f} text-anchor=end>{tick:g}</text>"
        for tick in up.ticks(5)
    )
    steps = "".join(
        f"<rect class=step x={across.at(i):.2f} y={top:g} width={across.at(1) - left:.2f} height={bottom - top:g}>"
        f"<title>{escape(text)}</title></rect>"
        for i, text in enumerate(texts)
    )
    peak = max(range(len(values)), key=lambda i: values[i])
    at = across.at(peak + 0.5)
    anchor = "start" if at < left + 150 else "end" if at > right - 150 else "middle"
    return (
        f"<svg class=plot viewBox='0 0 800 236' role=img aria-label='{escape(label)}'>{grid}"
        f"<polygon class=live-area points='{' '.join(points)}' />{steps}"
        f"<line class=limit x1={at:.1f} x2={at:.1f} y1={up.at(values[peak]):.1f} y2={top - 6:g} />"
        f"<text x={at:.1f} y={top - 10:g} text-anchor={anchor}>{escape(texts[peak])}</text>"
        f"<text x={left:g} y=12 text-anchor=end>{escape(axis)}</text>"
        f"<text x={(left + right) / 2:g} y=230 text-anchor=middle>nodes, in the order of their execution</text></svg>"
    )
