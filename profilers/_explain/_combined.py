"""Prices from two measurements: differences of windows, and events in the network, each by how sure it is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from profilers._explain._prices import Price, Times, around, steadied
from profilers._explain._windows import Window

FloatArray = npt.NDArray[np.float64]
Estimate = tuple[float, float]
"""A price and its standard deviation, in milliseconds."""
_CHI2_MEDIAN = 0.4549
"""Median of the chi-squared distribution with one degree of freedom."""


def window_prices(
    names: Sequence[str], windows: Sequence[Window], times: Times, timed: Mapping[str, Estimate]
) -> dict[str, Price]:
    """Return the prices of the windows that were measured, by their keys.

    Args:
        names: Names of the nodes.
        windows: The window of each node.
        times: Times of the windows' parts.
        timed: What events say of nodes, by name.
    """
    taken = [w for w in windows if w.whole.key in times.ms and w.rest.key in times.ms]
    alike = {window.key: window for window in taken}  # equal nodes share a key, and what was measured
    drawn = [times.deviation(w.whole.key, w.rest.key) for w in alike.values()]
    lengths = [math.hypot(times.ms[w.whole.key], times.ms[w.rest.key]) for w in alike.values()]
    deviations = steadied(np.array(drawn), np.array(lengths))
    differences = {
        key: (times.ms[window.whole.key] - times.ms[window.rest.key], float(deviation))
        for (key, window), deviation in zip(alike.items(), deviations, strict=True)
    }
    events: dict[str, list[Estimate]] = {}
    for window in taken:
        if names[window.node] in timed:
            events.setdefault(window.key, []).append(timed[names[window.node]])
    together = {key: _mean(estimates) for key, estimates in events.items()}
    return {key: around(*estimate) for key, estimate in combined(differences, together).items()}


def _mean(estimates: Sequence[Estimate]) -> Estimate:
    """Return the mean for equal nodes, with its standard deviation."""
    values, deviations = np.array(estimates).T
    return float(np.mean(values)), float(np.linalg.norm(deviations)) / len(estimates)


def combined(windows: Mapping[str, Estimate], events: Mapping[str, Estimate]) -> dict[str, Estimate]:
    """Return the mean of what windows and events say, weighted by how sure each is.

    Both are given and returned as price and standard deviation, by the same keys. By how much events differ from
    windows beyond both deviations is a doubt about events, the same number of milliseconds for each (the random
    effect of a meta-analysis, found from the median instead of the mean).

    Args:
        windows: Differences of windows.
        events: Events; keys that are missing keep what windows say.
    """
    both = [key for key in windows if key in events]
    squares = np.array([(windows[key][0] - events[key][0]) ** 2 for key in both])
    variances = np.array([windows[key][1] ** 2 + events[key][1] ** 2 for key in both])
    doubt = _doubt(squares, variances)
    prices = dict(windows)
    for key in both:
        (windowed, window_sd), (timed, event_sd) = windows[key], events[key]
        event_sd = math.hypot(event_sd, doubt)
        together = window_sd**2 + event_sd**2
        if together > 0:
            share = window_sd**2 / together  # of events
            prices[key] = ((1 - share) * windowed + share * timed, window_sd * event_sd / math.sqrt(together))
    return prices


def _doubt(squares: FloatArray, variances: FloatArray) -> float:
    """Return the doubt x for which the median of squares / (variances + x^2) is that of chi-squared; 0 for none."""
    if not len(squares):
        return 0.0
    low, high = 0.0, float(np.sqrt(np.max(squares) / _CHI2_MEDIAN))
    for _ in range(60):
        middle = (low + high) / 2
        ratios = squares / np.maximum(variances + middle**2, 1e-30)
        low, high = (middle, high) if float(np.median(ratios)) > _CHI2_MEDIAN else (low, middle)
    return high if low > 0 else 0.0
