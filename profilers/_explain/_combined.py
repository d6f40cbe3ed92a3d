"""Prices from two measurements: differences of windows, and events in the network, each by how sure it is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from profilers._explain._prices import BETWEEN, Price, Times, around, steadied
from profilers._explain._windows import Window
from profilers._samples import Z90

FloatArray = npt.NDArray[np.float64]
Estimate = tuple[float, float]
"""A price and its standard deviation, in milliseconds."""
_CHI2_MEDIAN = 0.4549
"""Median of the chi-squared distribution with one degree of freedom."""
_LARGE = 10.0
"""From how many times the error of events on a node tells the error of windows."""
_FEWEST = 5
"""Fewest nodes that tell an error of their own."""


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
    prices = shared(combined(differences, together), {window.key: window.work for window in taken})
    return {key: around(*estimate) for key, estimate in prices.items()}


def _mean(estimates: Sequence[Estimate]) -> Estimate:
    """Return the mean for equal nodes, with its standard deviation."""
    values, deviations = np.array(estimates).T
    return float(np.mean(values)), float(np.linalg.norm(deviations)) / len(estimates)


def combined(windows: Mapping[str, Estimate], events: Mapping[str, Estimate]) -> dict[str, Estimate]:
    """Return the mean of what windows and events say, weighted by how sure each is.

    Both are given and returned as price and standard deviation, by the same keys. They differ beyond these deviations
    for two reasons. For each, a systematic error is found from the differences (the random effect of a meta-analysis,
    from the median instead of the mean):

    * writing an event takes about as long for each node, so events are off by a number of milliseconds, which the
      cheaper half of the nodes tells;
    * a window finds its weights and inputs in the caches where the network, with other nodes in between, does not. So
      windows are too short by a share of what a node costs beyond `_LARGE` times the error of events. Such nodes tell
      it; where most of their windows are longer than their events, there is no such error.

    Where the two contradict each other even so, the deviation of the mean grows in proportion.

    Args:
        windows: Differences of windows.
        events: Events; keys that are missing keep what windows say.
    """
    both = [key for key in windows if key in events]
    windowed, window_sd = np.array([windows[key] for key in both]).reshape(-1, 2).T
    timed, event_sd = np.array([events[key] for key in both]).reshape(-1, 2).T
    squares, variances = (windowed - timed) ** 2, window_sd**2 + event_sd**2
    cheap = timed <= np.median(timed) if len(both) >= 2 * _FEWEST else np.ones(len(both), dtype=bool)
    offset = _error(squares[cheap], variances[cheap])
    beyond = np.maximum(timed - _LARGE * offset, 0.0)
    large = beyond > 0
    share = 0.0
    if np.count_nonzero(large) >= _FEWEST and np.median((timed - windowed)[large]) > 0:
        share = _error(squares[large] / beyond[large] ** 2, (variances[large] + offset**2) / beyond[large] ** 2)
    window_sd, event_sd = np.hypot(window_sd, share * beyond), np.hypot(event_sd, offset)
    together = np.hypot(window_sd, event_sd)
    result = dict(windows)
    for number, key in enumerate(both):
        if together[number] > 0:
            weight = (window_sd[number] / together[number]) ** 2  # of events
            price = (1 - weight) * windowed[number] + weight * timed[number]
            apart = abs(windowed[number] - timed[number]) / together[number]
            deviation = window_sd[number] * event_sd[number] / together[number] * max(1.0, apart / Z90)
            result[key] = float(price), float(deviation)
    return result


def shared(prices: Mapping[str, Estimate], works: Mapping[str, str]) -> dict[str, Estimate]:
    """Return prices where nodes that do the same work have one price, as far as a measurement does not part them.

    Nodes are parted that lie further from the median of their equals than their standard deviation and `BETWEEN`
    together: two explanations of a model differ by the latter, so what differs by less has no order that would repeat.
    The price of the others is their mean, weighted by how sure each is. Its deviation remains that of one node: an
    error that equal nodes have in common does not average out.

    Args:
        prices: Prices with their standard deviations.
        works: What stands for the work of each, by the same keys: equal where it is the same.
    """
    groups: dict[str, list[str]] = {}
    for key in prices:
        groups.setdefault(works[key], []).append(key)
    result = dict(prices)
    for keys in groups.values():
        values, deviations = np.array([prices[key] for key in keys]).T
        middle = np.median(values)
        near = np.abs(values - middle) <= np.hypot(BETWEEN * middle, deviations)
        if np.count_nonzero(near) > 1 and np.all(deviations > 0):
            mean = float(np.average(values[near], weights=deviations[near] ** -2.0))
            result.update((key, (mean, prices[key][1])) for key, one in zip(keys, near, strict=True) if one)
    return result


def _error(squares: FloatArray, variances: FloatArray) -> float:
    """Return the error x for which the median of squares / (variances + x^2) is that of chi-squared; 0 for none."""
    if not len(squares):
        return 0.0
    low, high = 0.0, float(np.sqrt(np.max(squares) / _CHI2_MEDIAN))
    for _ in range(60):
        middle = (low + high) / 2
        ratios = squares / np.maximum(variances + middle**2, 1e-30)
        low, high = (middle, high) if float(np.median(ratios)) > _CHI2_MEDIAN else (low, middle)
    return high if low > 0 else 0.0
