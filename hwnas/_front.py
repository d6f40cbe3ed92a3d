"""Which networks of a search to hand over, and which one to pick."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas._errors import RunError
from search import hypervolume

PICKS = ("fastest", "knee", "most-accurate")
BELOW = 0.1
"""How far below the worst point the reference of a hypervolume lies, as a share of the range."""
_POINTS = 100


def spread_along(latencies_ms: Sequence[float], most: int) -> list[int]:
    """Indices of at most `most` points spread along a front: both ends, then the largest gap in log latency first.

    Args:
        latencies_ms: positive, in any order.
        most: how many to keep, at least 2.

    Returns:
        Indices, sorted by latency.
    """
    order = sorted(range(len(latencies_ms)), key=lambda i: latencies_ms[i])
    if len(order) <= most:
        return order
    logs = np.log(np.maximum([latencies_ms[i] for i in order], 1e-9))
    kept = [0, len(order) - 1]
    while len(kept) < most:
        distances = np.abs(logs[:, None] - logs[kept][None]).min(axis=1)
        distances[kept] = -1.0
        kept.append(int(distances.argmax()))
    return [order[k] for k in sorted(kept)]


def hypervolume_curve(
    scaled: npt.NDArray[np.float64], counted: npt.NDArray[np.bool_] | None = None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """How the hypervolume of a run grew, at a hundred numbers of trials at most.

    Args:
        scaled: objectives ``(n, m)``, all to be maximised, 0 to 1; the reference lies at minus `BELOW`.
        counted: which trials count ``(n,)``; None for all.

    Returns:
        Numbers of trials ``(k,)``, and the hypervolume ``(k,)`` after so many.
    """
    kept = np.ones(len(scaled), dtype=np.bool_) if counted is None else counted
    reference = np.full(scaled.shape[1], -BELOW)
    samples = np.unique(np.linspace(1, len(scaled), min(len(scaled), _POINTS)).astype(np.int64))
    return samples, np.array([hypervolume(scaled[:n][kept[:n]], reference) for n in samples])


def knee_index(latencies_ms: Sequence[float], accuracies: Sequence[float]) -> int:
    """The point farthest above the chord between the front's ends, in log latency and accuracy scaled to 0-1."""
    x, y = np.log(np.maximum(np.asarray(latencies_ms, dtype=float), 1e-9)), np.asarray(accuracies, dtype=float)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return int(np.lexsort((x, -y))[0])
    u, v = (x - x.min()) / np.ptp(x), (y - y.min()) / np.ptp(y)
    first, last = int(x.argmin()), int(x.argmax())
    height = v - (v[first] + (v[last] - v[first]) * u)
    return int(height.argmax())


def pick_network(networks: Sequence[Mapping[str, Any]], pick: str) -> Mapping[str, Any]:
    """One of a run's networks.

    Args:
        networks: entries of ``pareto.json``.
        pick: one of `PICKS`, or an id.

    Raises:
        RunError: there is none of that name.
    """
    if not networks:
        raise RunError("the run has no networks to export")
    latencies = [latency_of(n) for n in networks]
    _, accuracies = measure_of(networks)
    if pick == "fastest":
        return networks[int(np.argmin(latencies))]
    if pick == "most-accurate":
        return networks[int(np.argmax(accuracies))]
    if pick == "knee":
        return networks[knee_index(latencies, accuracies)]
    for network in networks:
        if network["id"] == pick:
            return network
    ids = ", ".join(str(n["id"]) for n in networks)
    raise RunError(f"the run has no network {pick!r}; pick {', '.join(PICKS)} or one of {ids}")


def measure_of(networks: Sequence[Mapping[str, Any]]) -> tuple[str, list[float]]:
    """What networks are compared by, and its values: test accuracy, else what the search saw: accuracy or a score."""
    found: list[float] = []
    name = "accuracy"
    for network in networks:
        value = network["accuracy"] if network["accuracy"] is not None else network["validation_accuracy"]
        if value is None:
            ((name, value),) = network["score"].items()
        found.append(float(value))
    return name, found


def latency_of(network: Mapping[str, Any]) -> float:
    """Measured latency in milliseconds, or the predicted one where it was not measured."""
    latency = network["latency_ms"]
    value = latency["measured"] if latency["measured"] is not None else latency["predicted"]
    return float(value) if value is not None else math.nan
